"""Evidence is shown to those who may see it, and each view leaves a row in a chain that shows any change."""

from __future__ import annotations

import pytest

from api import audit
from core.evidence import EvidenceStore
from core.settings import Settings
from tests.api.conftest import LogIn
from tests.api.world import World

DATA = b"\xff\xd8 a frame"
FILES = {
    "frame": (b"\xff\xd8 a frame", "image/jpeg"),
    "crop": (b"\xff\xd8 a crop", "image/jpeg"),
    "frame_shown": (b"\xff\xd8 a frame, blurred", "image/jpeg"),
    "crop_shown": (b"\xff\xd8 a crop, blurred", "image/jpeg"),
    "clip": (bytes(range(256)) * 40, "video/mp4"),
}


async def stored(settings: Settings, world: World, media_type: str = "image/jpeg") -> str:
    """A frame in the store, shown by an alert of the northern site."""
    evidence = EvidenceStore(settings.evidence_dir).put(DATA, media_type)
    await world.evidence(DATA, media_type)
    await world.alert("a", camera="cam-north", frame_sha256=evidence.sha256)
    return evidence.sha256


async def proven(settings: Settings, world: World) -> dict[str, str]:
    """An alert of the northern site with its episode and all its files: SHA-256 by role."""
    store = EvidenceStore(settings.evidence_dir)
    digests = {}
    for role, (data, media_type) in FILES.items():
        store.put(data, media_type)
        digests[role] = await world.evidence(data, media_type)
    episode = await world.episode("e", camera="cam-north", files=digests)
    await world.alert(
        "a",
        camera="cam-north",
        episode_id=episode,
        frame_sha256=digests["frame"],
        crop_sha256=digests["crop"],
    )
    return digests


async def test_everybody_of_the_site_sees_blurred_pictures_and_only_judges_see_originals(
    settings: Settings, log_in: LogIn, world: World
) -> None:
    digests = await proven(settings, world)
    seen: dict[str, dict[str, int]] = {}
    for login in ("operator", "supervisor", "officer", "auditor", "southerner"):
        client = await log_in(login)
        seen[login] = {
            role: (await client.get(f"/api/v1/evidence/{digest}")).status_code for role, digest in digests.items()
        }
    everything = dict.fromkeys(FILES, 200)
    blurred = dict.fromkeys(FILES, 403) | {"frame_shown": 200, "crop_shown": 200}
    assert seen == {
        "operator": everything,
        "supervisor": everything,
        "officer": blurred,
        "auditor": blurred,
        "southerner": dict.fromkeys(FILES, 404),
    }


async def test_a_blurred_picture_is_kept_by_the_browser_and_an_original_by_nobody(
    settings: Settings, log_in: LogIn, world: World
) -> None:
    digests = await proven(settings, world)
    client = await log_in("supervisor")
    shown = await client.get(f"/api/v1/evidence/{digests['frame_shown']}")
    assert (shown.content, shown.headers["content-type"]) == (FILES["frame_shown"][0], "image/jpeg")
    assert shown.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert shown.headers["content-disposition"].startswith("inline")
    original = await client.get(f"/api/v1/evidence/{digests['frame']}")
    assert original.headers["cache-control"] == "no-store"
    assert original.content == DATA


async def test_a_clip_can_be_read_in_parts_each_of_them_noted(settings: Settings, log_in: LogIn, world: World) -> None:
    digests = await proven(settings, world)
    client = await log_in("supervisor")
    answer = await client.get(f"/api/v1/evidence/{digests['clip']}", headers={"Range": "bytes=256-511"})
    assert (answer.status_code, answer.content) == (206, bytes(range(256)))
    await client.get(f"/api/v1/evidence/{digests['clip']}", headers={"Range": "bytes=512-"})
    assert await actions(world) == ["evidence.original", "evidence.original"]


async def test_the_alert_tells_what_proves_it(settings: Settings, log_in: LogIn, world: World) -> None:
    digests = await proven(settings, world)
    found = (await (await log_in("officer")).get(f"/api/v1/alerts/{world.ids['a']}")).json()
    assert found["frame_shown_sha256"] == digests["frame_shown"]
    assert found["crop_shown_sha256"] == digests["crop_shown"]
    [sighting] = found["sightings"]
    assert sighting["model"] == "hardhat-yolo26n@0123456789ab"
    assert sighting["kind"] == "no_helmet"
    assert [vote["bare"] for vote in sighting["votes"]] == [True, True, False, True, True, True]
    assert [look["bare"] for look in sighting["history"]] == [True, True, False, True, True, True, False]
    files = {one["role"]: one for one in sighting["files"]}
    assert {role: one["sha256"] for role, one in files.items()} == digests
    assert files["clip"]["bytes"] == len(FILES["clip"][0])
    assert files["clip"]["last_at"] - files["clip"]["first_at"] == 10_000
    assert not any(one["removed_for"] for one in files.values())


async def test_what_was_removed_says_why(settings: Settings, log_in: LogIn, world: World) -> None:
    digests = await proven(settings, world)
    await world.connection.execute(
        "UPDATE evidence SET removed_at = now(), removed_for = 'age' WHERE sha256 = %s", [digests["frame_shown"]]
    )
    client = await log_in("officer")
    answer = await client.get(f"/api/v1/evidence/{digests['frame_shown']}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert "end of its time" in answer.json()["error"]["message"]
    found = (await client.get(f"/api/v1/alerts/{world.ids['a']}")).json()
    assert found["frame_shown_sha256"] is None
    assert found["sightings"][0]["files"][0]["removed_for"] == "age"


async def test_a_file_that_is_blurred_here_and_an_original_there_is_an_original(
    settings: Settings, log_in: LogIn, world: World
) -> None:
    digests = await proven(settings, world)
    await world.episode(
        "odd", camera="cam-north", ago_s=3, files={**digests, "frame_shown": digests["frame"], "clip": digests["clip"]}
    )
    answer = await (await log_in("officer")).get(f"/api/v1/evidence/{digests['frame']}")
    assert answer.status_code == 403


async def test_what_is_no_picture_is_not_shown_inline(settings: Settings, log_in: LogIn, world: World) -> None:
    sha256 = await stored(settings, world, "text/html")
    answer = await (await log_in("supervisor")).get(f"/api/v1/evidence/{sha256}")
    assert answer.headers["content-disposition"].startswith("attachment")


async def test_a_row_without_its_file_is_not_found(log_in: LogIn, world: World) -> None:
    sha256 = await world.evidence(DATA)
    await world.alert("a", camera="cam-north", crop_sha256=sha256)
    answer = await (await log_in("supervisor")).get(f"/api/v1/evidence/{sha256}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def actions(world: World) -> list[str]:
    cursor = await world.connection.execute("SELECT action FROM audit WHERE action LIKE 'evidence.%' ORDER BY id")
    return [action for (action,) in await cursor.fetchall()]


async def test_each_look_is_audited(settings: Settings, log_in: LogIn, world: World) -> None:
    digests = await proven(settings, world)
    client = await log_in("supervisor")
    await client.get(f"/api/v1/evidence/{digests['frame_shown']}")
    await client.get(f"/api/v1/evidence/{digests['frame']}")
    await client.get(f"/api/v1/evidence/{digests['frame']}")
    assert await actions(world) == ["evidence.view", "evidence.original", "evidence.original"]
    row = await (
        await world.connection.execute("SELECT actor, action, object, detail FROM audit ORDER BY id DESC")
    ).fetchone()
    thing = f"evidence:{digests['frame']}"
    assert row == ("code-supervisor", "evidence.original", thing, {"site": world.ids["north"]})
    await (await log_in("officer")).get(f"/api/v1/evidence/{digests['frame']}")
    assert len(await actions(world)) == 3, "a refused look is none"


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


async def test_actions_at_the_same_time_make_one_chain(
    settings: Settings, log_in: LogIn, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    # They wait for each other; on a busy machine longer than a request waits for its turn.
    monkeypatch.setattr("api.context._WAIT_S", 60.0)
    sha256 = await stored(settings, world)
    client = await log_in("supervisor")
    answers = await asyncio.gather(*(client.get(f"/api/v1/evidence/{sha256}") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    found = await audit.verify(world.connection)
    assert (found.rows, found.broken_at) == (21, None)


async def test_numbers_that_the_database_writes_otherwise_leave_the_chain_whole(world: World) -> None:
    """jsonb has no negative zero and no exponents: what is hashed must be what is read back."""
    numbers = [-0.0, 1e-7, 0.1, 1e16, 1e22, 1.5e300, -1e22, 3, True]
    detail = {"numbers": numbers, "within": {"area_m2": 1e22, "latitude": -0.0}, "text": "1e22"}
    await audit.append(world.connection, at=world.now, actor="a", action="test.it", thing="x", detail=detail)
    assert (await audit.verify(world.connection)).broken_at is None
    ((told,),) = await (await world.connection.execute("SELECT detail FROM audit")).fetchall()
    assert told == detail, told
