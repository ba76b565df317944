"""Evidence is shown to those who may see it, and each view leaves a row in a chain that shows any change."""

from __future__ import annotations

import pytest

from api import audit
from core.evidence import EvidenceStore
from core.settings import Settings
from tests.api.conftest import LogIn
from tests.api.world import World

DATA = b"\xff\xd8 a frame"


async def stored(settings: Settings, world: World, media_type: str = "image/jpeg") -> str:
    """A frame in the store, shown by an alert of the northern site."""
    evidence = EvidenceStore(settings.evidence_dir).put(DATA, media_type)
    await world.evidence(DATA, media_type)
    await world.alert("a", camera="cam-north", frame_sha256=evidence.sha256)
    return evidence.sha256


async def test_a_picture_is_kept_by_the_browser_but_by_no_proxy(
    settings: Settings, log_in: LogIn, world: World
) -> None:
    sha256 = await stored(settings, world)
    answer = await (await log_in("officer")).get(f"/api/v1/evidence/{sha256}")
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, DATA, "image/jpeg")
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert answer.headers["content-disposition"].startswith("inline")
    assert (await (await log_in("southerner")).get(f"/api/v1/evidence/{sha256}")).status_code == 404


async def test_what_is_no_picture_is_not_shown_inline(settings: Settings, log_in: LogIn, world: World) -> None:
    sha256 = await stored(settings, world, "text/html")
    answer = await (await log_in("officer")).get(f"/api/v1/evidence/{sha256}")
    assert answer.headers["content-disposition"].startswith("attachment")


async def test_a_row_without_its_file_is_not_found(log_in: LogIn, world: World) -> None:
    sha256 = await world.evidence(DATA)
    await world.alert("a", camera="cam-north", crop_sha256=sha256)
    answer = await (await log_in("officer")).get(f"/api/v1/evidence/{sha256}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def test_each_view_is_audited(settings: Settings, log_in: LogIn, world: World) -> None:
    sha256 = await stored(settings, world)
    await (await log_in("officer")).get(f"/api/v1/evidence/{sha256}")
    row = await (
        await world.connection.execute("SELECT actor, action, object, detail FROM audit ORDER BY id DESC")
    ).fetchone()
    assert row == ("code-officer", "evidence.view", f"evidence:{sha256}", {"site": world.ids["north"]})


@pytest.mark.parametrize(
    ("change", "broken_at"),
    [
        ("UPDATE audit SET actor = 'somebody else' WHERE id = 2", 2),
        ("UPDATE audit SET detail = '{\"n\": 9}' WHERE id = 1", 1),
        ("UPDATE audit SET at = at + interval '1 microsecond' WHERE id = 4", 4),
        ("DELETE FROM audit WHERE id = 3", 4),
        ("UPDATE audit SET hash = repeat('0', 64) WHERE id = 3", 3),
    ],
)
async def test_any_change_of_the_chain_shows(world: World, change: str, broken_at: int) -> None:
    for n in range(5):
        detail = {"n": n, "文": "中文", "nested": {"b": 1.5, "a": None}}
        await audit.append(world.connection, at=world.now, actor="a", action="test", thing=f"thing:{n}", detail=detail)
    whole = await audit.verify(world.connection)
    assert (whole.rows, whole.broken_at) == (5, None)
    await world.connection.execute(change.encode())
    assert (await audit.verify(world.connection)).broken_at == broken_at


async def test_actions_at_the_same_time_make_one_chain(settings: Settings, log_in: LogIn, world: World) -> None:
    import asyncio

    sha256 = await stored(settings, world)
    client = await log_in("officer")
    answers = await asyncio.gather(*(client.get(f"/api/v1/evidence/{sha256}") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    found = await audit.verify(world.connection)
    assert (found.rows, found.broken_at) == (21, None)
