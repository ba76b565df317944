"""What people do with an alert, step by step on a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from alerts import desk, record
from alerts.model import load, load_many, load_open
from core import log
from core.errors import Conflict, NotFound
from core.settings import Settings
from sensors import entries
from sensors.registry import load_registry
from tests.alerts.database import World, world
from tests.alerts.world import PM10, batch
from tests.support.clock import FakeClock


@pytest.fixture
async def site(settings: Settings, tmp_path: Path) -> AsyncIterator[World]:
    """One open alert, number 1."""
    async with world(settings, FakeClock(), tmp_path, PM10) as built:
        async with built.engine():
            await built.publish(batch([(1, 0, {"pm10": 200.0})], arrived=0))
            await built.until(1)
        yield built


async def _announced(site: World) -> list[str]:
    rows = await site.rows(
        "SELECT payload FROM log_entry WHERE kind = %s AND writer = %s ORDER BY sequence",
        int(log.Kind.ALERT),
        record.DESK_WRITER,
    )
    return [entries.decode(row["payload"]).event for row in rows]  # type: ignore[union-attr]


async def test_the_first_acknowledgement_stands(site: World) -> None:
    clock = site.clock
    assert isinstance(clock, FakeClock)
    first = await desk.acknowledge(site.connection, 1, "wang", clock, comment="on my way")
    await clock.advance(60)
    again = await desk.acknowledge(site.connection, 1, "li", clock)
    assert (first.alert, first.written) == (again.alert, "acknowledged")
    assert (again.alert.acknowledged_by, again.alert.is_open, again.written) == ("wang", True, None)
    assert await site.history(1) == [("raised", "engine"), ("acknowledged", "wang")]
    assert await _announced(site) == ["acknowledged"]


async def test_acknowledged_and_cleared_are_independent(site: World) -> None:
    cleared = await desk.clear(
        site.connection, 1, "wang", site.clock, registry=await load_registry(site.connection), settings=site.settings
    )
    assert (cleared.is_open, cleared.acknowledged_at, cleared.cleared_by) == (False, None, "wang")
    assert (await desk.acknowledge(site.connection, 1, "li", site.clock)).alert.acknowledged_by == "li"
    with pytest.raises(Conflict, match="was cleared by wang"):
        await desk.clear(
            site.connection, 1, "li", site.clock, registry=await load_registry(site.connection), settings=site.settings
        )


async def test_a_verdict_stands(site: World) -> None:
    alert = await desk.review(site.connection, 1, "confirmed", "zhao", "seen on the picture", site.clock)
    assert (alert.verdict, alert.reviewed_by) == ("confirmed", "zhao")
    assert await desk.review(site.connection, 1, "confirmed", "li", "", site.clock) == alert
    with pytest.raises(Conflict, match="was reviewed as confirmed by zhao"):
        await desk.review(site.connection, 1, "false_alarm", "li", "", site.clock)
    (event,) = await site.rows("SELECT detail FROM alert_event WHERE kind = 'reviewed'")
    assert event["detail"] == {"verdict": "confirmed", "reason": "seen on the picture"}


async def test_comments_are_part_of_the_history(site: World) -> None:
    await desk.comment(site.connection, 1, "sprinklers on", "wang", site.clock)
    (event,) = await site.rows("SELECT actor, detail FROM alert_event WHERE kind = 'commented'")
    assert (event["actor"], event["detail"]) == ("wang", {"comment": "sprinklers on"})
    assert await _announced(site) == ["updated"]


async def test_what_a_late_acknowledgement_says_is_kept_once(site: World) -> None:
    async def said(actor: str, comment: str, key: str | None = None) -> str | None:
        return (await desk.acknowledge(site.connection, 1, actor, site.clock, comment=comment, key=key)).written

    assert await said("wang", "on my way", "key-of-wang") == "acknowledged"
    # Sent again after its answer was lost, with the key or, by an older page, without.
    assert await said("wang", "on my way", "key-of-wang") is None
    assert await said("wang", "on my way") is None
    assert await said("li", "sprinklers on", "key-of-li") == "commented"
    assert await said("li", "sprinklers on", "key-of-li") is None
    with pytest.raises(Conflict, match="key was used"):
        await said("li", "something else", "key-of-li")
    assert await site.history(1) == [("raised", "engine"), ("acknowledged", "wang"), ("commented", "li")]
    assert await _announced(site) == ["acknowledged", "updated"]


async def test_a_remark_is_written_once_under_its_key(site: World) -> None:
    for expected in (True, False):
        assert await desk.comment(site.connection, 1, "done", "wang", site.clock, key="first-key") is expected
    # Another person's key is another key, and without one every remark is a new one.
    assert await desk.comment(site.connection, 1, "done", "li", site.clock, key="first-key")
    assert await desk.comment(site.connection, 1, "done", "wang", site.clock)
    with pytest.raises(Conflict, match="key was used"):
        await desk.comment(site.connection, 1, "not done", "wang", site.clock, key="first-key")
    assert len(await site.rows("SELECT id FROM alert_event WHERE kind = 'commented'")) == 3


async def test_the_key_of_a_remark_acknowledges_nothing(site: World) -> None:
    await desk.comment(site.connection, 1, "seen", "wang", site.clock, key="first-key")
    with pytest.raises(Conflict, match="key was used"):
        async with site.connection.transaction():
            await desk.acknowledge(site.connection, 1, "wang", site.clock, comment="seen", key="first-key")
    assert (await load(site.connection, 1)).acknowledged_at is None


async def test_there_is_no_such_alert(site: World) -> None:
    for step in (
        desk.acknowledge(site.connection, 99, "wang", site.clock),
        desk.review(site.connection, 99, "confirmed", "wang", "", site.clock),
        desk.comment(site.connection, 99, "", "wang", site.clock),
        load(site.connection, 99),
    ):
        with pytest.raises(NotFound, match="there is no alert 99"):
            await step


async def test_alerts_are_read_singly_together_and_open(site: World) -> None:
    alert = await load(site.connection, 1)
    assert await load_many(site.connection, [1, 99]) == {1: alert}
    assert await load_open(site.connection) == [alert]


async def test_a_step_is_undone_with_its_transaction(site: World) -> None:
    with pytest.raises(ZeroDivisionError):
        async with site.connection.transaction():
            await desk.acknowledge(site.connection, 1, "wang", site.clock)
            raise ZeroDivisionError
    assert (await load(site.connection, 1)).acknowledged_at is None
    assert await _announced(site) == []
