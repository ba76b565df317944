"""The engine on a real database: what it commits, and that a kill at any moment changes nothing of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from random import Random

import psycopg
import pytest

from alerts import desk, record
from alerts.engine import Engine, Transition
from alerts.rules.written import write
from core import log
from core.clock import SystemClock, micros
from core.database import connect
from core.settings import Settings
from sensors import entries
from sensors.batch import ReadingBatch
from sensors.registry import load_registry
from tests.alerts.database import World, world
from tests.alerts.test_offline import OFFLINE
from tests.alerts.test_sightings import HELMET
from tests.alerts.test_windows import MEAN
from tests.alerts.world import PM10, PROFILES, at, batch, episode, rules
from tests.support.clock import FakeClock
from tests.support.wait import eventually


@pytest.fixture
async def site(settings: Settings, tmp_path: Path) -> AsyncIterator[World]:
    async with world(settings, FakeClock(), tmp_path, PM10 + MEAN + HELMET) as built:
        yield built


async def test_a_violation_is_raised_and_cleared(site: World) -> None:
    async with site.engine():
        await site.publish(batch([(1, 0, {"pm10": 100.0}), (2, 0, {"pm10": 160.0})], arrived=0))
        (alert,) = await site.until(1)
        assert (alert["rule"], alert["rule_version"], alert["rule_kind"]) == ("pm10", 1, "threshold")
        assert (alert["subject"], alert["device_id"], alert["site_id"]) == ("device:2", 2, 1)
        assert (alert["metric"], alert["unit"], alert["severity"]) == ("pm10", "µg/m³", "major")
        assert (alert["rule_name"], alert["cool_down_s"]) == ("PM10 超限", 600)
        assert (alert["first_value"], alert["max_value"], alert["limit_value"]) == (160, 160, 150)
        assert micros(alert["started_at"]) == at(0)
        await site.publish(batch([(2, 1, {"pm10": 300.0}), (2, 2, {"pm10": 90.0}), (2, 7, {"pm10": 80.0})], arrived=7))
        (alert,) = await site.until(1, "cleared_at IS NOT NULL")
        assert (alert["max_value"], alert["last_value"], alert["cleared_by"]) == (300, 80, "auto")
        assert micros(alert["ended_at"]) == at(2)
        assert await site.history(alert["id"]) == [("raised", "engine"), ("cleared", "engine")]
        told = await site.rows("SELECT payload FROM log_entry WHERE kind = %s ORDER BY sequence", int(log.Kind.ALERT))
        assert [entries.decode(row["payload"]).event for row in told] == ["raised", "cleared"]  # type: ignore[union-attr]


async def test_a_raise_follows_its_reading_within_tens_of_milliseconds(site: World) -> None:
    async with site.engine():
        await site.publish(batch([(1, 0, {"pm10": 100.0})], arrived=0))
        await site.caught_up()
        delays = []
        async with await connect(site.settings.database, application="ear") as ear:
            await ear.execute("LISTEN smartsite_log")
            for second in range(10, 30):
                begun = time.perf_counter()
                await site.publish(batch([(1, second, {"pm10": 200.0 if second % 2 == 0 else 0.0})], arrived=second))
                if second % 2 == 0:
                    async for note in ear.notifies(timeout=5):
                        if note.payload == record.ENGINE_WRITER:
                            break
                    delays.append(time.perf_counter() - begun)
                    await desk.clear(
                        site.connection,
                        (await site.until(1, "cleared_at IS NULL"))[0]["id"],
                        "test",
                        site.clock,
                        registry=await load_registry(site.connection),
                        settings=site.settings,
                    )
        assert sorted(delays)[len(delays) // 2] < 0.25


async def test_values_of_an_open_alert_are_brought_up_to_date(settings: Settings, tmp_path: Path) -> None:
    async with world(settings, SystemClock(), tmp_path, PM10) as site, site.engine():
        await site.publish(batch([(1, 0, {"pm10": 160.0})], arrived=0))
        await site.until(1)
        await site.publish(batch([(1, 1, {"pm10": 190.0}), (1, 2, {"pm10": 170.0})], arrived=2))
        await site.until(1, "max_value = 190 AND last_value = 170 AND cleared_at IS NULL")


async def test_cleared_by_hand_raises_anew_on_the_next_violating_reading(site: World) -> None:
    """Pain 11 (thingsboard#13050, #7811)."""
    async with site.engine():
        await site.publish(batch([(1, 0, {"pm10": 160.0})], arrived=0))
        (first,) = await site.until(1)
        registry = await load_registry(site.connection)
        async with site.connection.transaction():
            await desk.clear(
                site.connection,
                first["id"],
                "officer",
                site.clock,
                registry=registry,
                settings=site.settings,
                comment="covered",
            )
        assert await site.history(first["id"]) == [("raised", "engine"), ("cleared", "officer")]
        await site.caught_up()
        await site.publish(batch([(1, 1, {"pm10": 170.0})], arrived=1))
        first, second = await site.until(2)
        assert (first["cleared_by"], first["ended_at"]) == ("officer", None)
        assert (second["first_value"], second["cleared_at"]) == (170, None)
        assert micros(second["started_at"]) == at(1)


async def test_episodes_become_one_alert_of_the_camera(site: World) -> None:
    clock = site.clock
    assert isinstance(clock, FakeClock)
    async with site.engine():
        await site.see(episode(11, "started", started=0, seen=1))
        await site.see(episode(12, "started", started=0.5, seen=1, score=0.9))
        (alert,) = await site.until(1, "max_value > 0.85")
        assert (alert["subject"], alert["camera_id"], alert["episode_id"]) == ("camera:1", 1, 11)
        assert (alert["metric"], alert["limit_value"]) == ("no_helmet", None)
        assert alert["frame_sha256"] == f"{11:064x}"
        await site.see(episode(11, "ended", started=0, seen=4))
        await site.see(episode(12, "ended", started=0.5, seen=5))
        await site.caught_up()
        await clock.advance(16)
        (alert,) = await site.until(1, "cleared_at IS NOT NULL")
        assert micros(alert["ended_at"]) == at(5)
        assert [kind for kind, _ in await site.history(alert["id"])] == ["raised", "joined", "cleared"]


async def test_offline_needs_a_platform_that_listens(settings: Settings, tmp_path: Path) -> None:
    """Pain 14 (thingsboard#13715), seen from the workers that hear the devices."""
    clock = FakeClock()
    async with world(settings, clock, tmp_path, OFFLINE, snapshot_every_s=0) as site, site.engine():
        await site.publish(batch([(1, 0, {"pm10": 1.0}), (2, 0, {"pm10": 1.0})], arrived=0))
        await site.settle()
        await clock.advance(60)  # for a minute no ingest worker gives a sign of life
        await site.settle()
        await site.live(1)
        await site.settle()
        await site.live(9)
        await site.settle()
        assert await site.alerts() == []
        await site.publish(batch([(2, 70, {"pm10": 1.0})], arrived=75))
        await site.settle()
        await site.live(9)
        await site.settle()
        (alert,) = await site.alerts()
        assert (alert["subject"], alert["unit"], alert["limit_value"]) == ("device:1", "s", 15)
        assert micros(alert["started_at"]) == at(0)
        await site.publish(batch([(1, 80, {"pm10": 1.0})], arrived=100))
        await site.until(1, "cleared_at IS NOT NULL AND max_value = 100")


async def test_nobody_is_offline_whose_readings_wait_in_ingest(settings: Settings, tmp_path: Path) -> None:
    """After an outage readings come out of the spool in order, for longer than a device may be silent."""
    clock = FakeClock()
    async with world(settings, clock, tmp_path, OFFLINE, snapshot_every_s=0) as site, site.engine():
        await site.publish(batch([(1, 0, {"pm10": 1.0}), (2, 0, {"pm10": 1.0})], arrived=0))
        await site.settle()
        for _ in range(12):
            await site.live(5, watermark=at(10))
            await site.settle()
        assert await site.alerts() == []
        await site.publish(batch([(1, second, {"pm10": 1.0}) for second in range(1, 60)], arrived=60))
        await site.beat()
        await site.settle()
        await clock.advance(1)
        await site.settle()
        (alert,) = await site.alerts()
        assert alert["subject"] == "device:2"


async def test_nobody_is_offline_whose_readings_came_while_the_engine_hung(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the log and the verdict a process can be stopped for any time."""
    clock = FakeClock()
    hang = asyncio.Event()
    hung = 0

    async with world(settings, clock, tmp_path, OFFLINE, snapshot_every_s=0) as site:
        read = log.Reader.read

        async def slowly(reader: log.Reader, connection: psycopg.AsyncConnection, limit: int = 256) -> list[log.Entry]:
            nonlocal hung
            found = await read(reader, connection, limit)
            if hang.is_set() and not found:
                # The end of the log is reached; now time passes, and device 1 goes on reporting.
                hang.clear()
                for _ in range(30):
                    await clock.advance(1)
                    await site.publish(batch([(1, clock.monotonic(), {"pm10": 1.0})], arrived=clock.monotonic()))
                    await site.beat()
                hung += 1
            return found

        monkeypatch.setattr(log.Reader, "read", slowly)
        async with site.engine():
            await site.publish(batch([(1, 0, {"pm10": 1.0})], arrived=0))
            await site.settle()
            await site.live(1)
            hang.set()
            await eventually(lambda: hung)
            await site.settle()
            assert await site.alerts() == []


async def test_what_a_rule_file_says_now_is_in_force(site: World) -> None:
    clock = site.clock
    assert isinstance(clock, FakeClock)
    async with site.engine():
        await site.publish(batch([(1, 0, {"pm10": 200.0})], arrived=0))
        await site.until(1)

        site.rules.write_text("[[rules]]\nid = 'broken'\n", encoding="utf-8")
        await clock.advance(1)
        await site.publish(batch([(2, 1, {"pm10": 200.0})], arrived=1))
        await site.until(2, "rule_version = 1 AND cleared_at IS NULL")

        site.rules.write_text(PM10.replace("150", "180"), encoding="utf-8")
        await clock.advance(1)
        await eventually(lambda: site.rows("SELECT 1 FROM rule_version WHERE rule = 'pm10' AND version = 2"))
        await site.publish(batch([(3, 2, {"pm10": 170.0})], arrived=2), batch([(3, 3, {"pm10": 190.0})], arrived=3))
        (alert,) = await site.until(1, "rule_version = 2")
        assert alert["first_value"] == 190
        assert len(await site.alerts("cleared_at IS NULL")) == 3  # the new rule took the open ones over

        site.rules.write_text(MEAN, encoding="utf-8")
        await clock.advance(1)
        gone = await site.until(3, "cleared_at IS NOT NULL")
        (event,) = await site.rows(
            "SELECT detail FROM alert_event WHERE alert_id = %s AND kind = 'cleared'", gone[0]["id"]
        )
        assert event["detail"] == {"reason": "rule_withdrawn"}

    assert [row["version"] for row in await site.rows("SELECT version FROM rule_version WHERE rule = 'mean'")] == [1]


async def test_what_a_person_writes_is_in_force_until_it_is_withdrawn(site: World) -> None:
    clock = site.clock
    assert isinstance(clock, FakeClock)

    async def put(text: str | None) -> None:
        await write(site.connection, "pm10", text, reason="r", by="leader", now=clock.now())
        await clock.advance(1)

    async def judged_by() -> list[float]:
        (row,) = await site.rows(
            """SELECT (v.definition ->> 'raise_above')::float AS level
               FROM rule_in_force f JOIN rule_version v USING (rule, version) WHERE rule = 'pm10'"""
        )
        return [row["level"]]

    async with site.engine():
        await site.publish(batch([(1, 0, {"pm10": 160.0})], arrived=0))
        await site.until(1)
        await put(PM10.replace("150", "180"))
        await eventually(lambda: _is(judged_by, [180.0]))
        await site.publish(batch([(2, 1, {"pm10": 170.0})], arrived=1), batch([(3, 1, {"pm10": 190.0})], arrived=1))
        (alert,) = await site.until(1, "rule_version = 2")
        assert (alert["subject"], alert["limit_value"]) == ("device:3", 180)
        await put(None)
        await eventually(lambda: _is(judged_by, [150.0]))
        assert len(await site.alerts("cleared_at IS NULL")) == 2  # of the same rule, whoever wrote it


async def _is(ask: Callable[[], Awaitable[object]], wanted: object) -> bool:
    return await ask() == wanted


async def test_devices_come_and_go(site: World) -> None:
    async with site.engine():
        await site.publish(batch([(1, 0, {"pm10": 200.0})], arrived=0))
        await site.until(1)
        await site.connection.execute("UPDATE device SET enabled = false WHERE id = 1")
        (alert,) = await site.until(1, "cleared_at IS NOT NULL")
        (event,) = await site.rows(
            "SELECT detail FROM alert_event WHERE alert_id = %s AND kind = 'cleared'", alert["id"]
        )
        assert event["detail"] == {"reason": "out_of_scope"}
        async with site.connection.transaction():
            await site.connection.execute(
                "INSERT INTO device (site_id, code, kind, name, interval_s) VALUES (1, 'new', 'dust', '新站', 1)"
            )
            await site.publish(batch([(4, 1, {"pm10": 200.0})], arrived=1))
        await site.until(1, "subject = 'device:4'")


async def test_poison_is_passed_over(site: World) -> None:
    async with site.engine():
        for kind in (log.Kind.READINGS, log.Kind.EPISODE, log.Kind.ALERT):
            await log.append(site.connection, "ingest-1", [log.NewEntry(1, kind, b"\xffnonsense")])
        await site.publish(batch([(1, 0, {"pm10": 200.0})], arrived=0))
        await site.until(1)


async def test_entries_that_the_log_dropped_are_told(site: World, caplog: pytest.LogCaptureFixture) -> None:
    async with site.engine():
        await site.publish(batch([(1, 0, {"pm10": 200.0})], arrived=0))
        await site.until(1)
    await site.publish(*(batch([(2, second, {"pm10": 200.0})], arrived=second) for second in range(3)))
    await site.connection.execute("DELETE FROM log_entry WHERE writer = 'ingest-1' AND sequence IN (2, 3)")
    async with site.engine():
        await site.until(2)
    (told,) = [record for record in caplog.records if "were dropped" in record.message]
    assert (told.levelname, vars(told)["entries"]) == ("ERROR", 2)


async def test_a_violation_that_was_told_and_cleared_already_hides_no_later_one(site: World) -> None:
    async with site.engine():
        await site.publish(batch([(1, 0, {"pm10": 200.0}), (1, 1, {"pm10": 0.0}), (1, 6, {"pm10": 0.0})], arrived=6))
        await site.until(1, "cleared_at IS NOT NULL")
    # The state is lost and the reading comes once more, as after a restored backup.
    await site.connection.execute("DELETE FROM engine_snapshot")
    async with site.engine():
        await site.publish(batch([(1, 0, {"pm10": 200.0})], arrived=7))
        await site.caught_up()
        await site.publish(batch([(1, 8, {"pm10": 210.0})], arrived=8))
        first, second = await site.until(2)
        assert (first["first_value"], second["first_value"]) == (200, 210)
        assert micros(second["started_at"]) == at(8)


async def test_one_engine_runs_and_another_takes_over(site: World) -> None:
    first, watching, stop = await site.start()
    await site.publish(batch([(1, 0, {"pm10": 200.0})], arrived=0))
    await site.until(1)
    async with site.engine():
        await site.publish(batch([(2, 1, {"pm10": 200.0})], arrived=1))
        await site.until(2)
        stop.set()
        await first
        await watching
        await site.publish(batch([(3, 2, {"pm10": 200.0})], arrived=2))
        await site.until(3)
    assert len(await site.alerts()) == 3


async def test_an_orderly_end_stores_everything(site: World) -> None:
    engine, watching, stop = await site.start()
    await site.publish(batch([(1, 0, {"pm10": 10.0})], arrived=0))
    # Read, nothing to tell; the fake clock brings no snapshot.
    await eventually(lambda: site.evaluation._reader.position)
    assert await site.rows("SELECT 1 FROM engine_snapshot") == []
    stop.set()
    await engine
    await watching
    await site.caught_up()
    assert len(await site.rows("SELECT 1 FROM engine_snapshot")) == 1


async def test_a_snapshot_of_another_version_is_not_guessed_at(site: World) -> None:
    async with site.engine():
        await site.publish(batch([(1, 0, {"pm10": 200.0})], arrived=0))
        await site.until(1)
    await site.connection.execute("UPDATE engine_snapshot SET state = '\\x63'")
    async with site.engine():
        await site.publish(batch([(1, 1, {"pm10": 200.0})], arrived=1), batch([(2, 1, {"pm10": 200.0})], arrived=1))
        first, second = await site.until(2)
        assert (first["subject"], second["subject"]) == ("device:1", "device:2")


def _story(seed: int) -> list[ReadingBatch]:
    """Forty batches of three stations that go over and under their limits, some readings late."""
    random = Random(seed)
    level = {1: 100.0, 2: 100.0, 3: 100.0}
    story = []
    for second in range(120):
        rows = []
        for device, before in level.items():
            value = random.choice([60.0, 130.0, 170.0, 260.0]) if random.random() < 0.2 else before
            level[device] = value
            late = random.choice([0, 0, 0, 1.5, 4])
            rows.append((device, max(0.0, second - late), {"pm10": value + random.uniform(-5, 5)}))
        story.append(rows)
    return [
        batch([row for rows in story[first : first + 3] for row in rows], arrived=first + 3)
        for first in range(0, 120, 3)
    ]


async def _expected(site: World, story: list[ReadingBatch], folder: Path) -> set[tuple[str, str, int, int | None]]:
    """What an engine that nothing disturbs tells: (rule, subject, start, end)."""
    engine = Engine(rules(folder, PM10 + MEAN + HELMET), await load_registry(site.connection), PROFILES)
    told: list[Transition] = [transition for item in story for transition in engine.feed(item)]
    ends = {(item.rule.id, item.subject, item.started_at): item.ended_at for item in told if item.phase == "clear"}
    return {
        (item.rule.id, item.subject, item.started_at, ends.get((item.rule.id, item.subject, item.started_at)))
        for item in told
        if item.phase == "raise"
    }


async def _stored(site: World) -> set[tuple[str, str, int, int | None]]:
    found = await site.alerts()
    stored = {
        (row["rule"], row["subject"], micros(row["started_at"]), row["ended_at"] and micros(row["ended_at"]))
        for row in found
    }
    assert len(stored) == len(found)
    return stored


@pytest.mark.parametrize("seed", [1, 2])
async def test_killed_at_any_moment_nothing_is_lost_or_doubled(settings: Settings, tmp_path: Path, seed: int) -> None:
    async with world(settings, SystemClock(), tmp_path, PM10 + MEAN + HELMET) as site:
        story = _story(seed)
        random = Random(seed)
        engine, watching, stop = await site.start()
        for item in story:
            await site.publish(item)
            await asyncio.sleep(random.choice([0, 0.002, 0.01]))
            if random.random() < 0.4:
                await site.kill(engine)
                stop.set()
                await watching
                engine, watching, stop = await site.start()
        await site.caught_up()
        await site.kill(engine)
        stop.set()
        await watching
        expected = await _expected(site, story, tmp_path)
        assert len(expected) > 10
        assert await _stored(site) == expected
        events = await site.rows("SELECT kind, count(*) AS n FROM alert_event GROUP BY kind")
        assert {row["kind"]: row["n"] for row in events} == {
            "raised": len(expected),
            "cleared": sum(1 for *_, ended_at in expected if ended_at is not None),
        }


async def test_a_database_that_drops_its_sessions_loses_and_doubles_nothing(settings: Settings, tmp_path: Path) -> None:
    async with world(settings, SystemClock(), tmp_path, PM10 + MEAN + HELMET) as site, site.engine() as engine:
        story = _story(3)
        random = Random(3)
        for item in story:
            await site.publish(item)
            await asyncio.sleep(random.choice([0, 0.002, 0.01]))
            if random.random() < 0.3:
                await _drop_sessions(site.connection)
        await site.caught_up()
        assert not engine.done()
        assert await _stored(site) == await _expected(site, story, tmp_path)


async def _drop_sessions(connection: psycopg.AsyncConnection[object]) -> None:
    await connection.execute(
        """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE datname = current_database() AND application_name = 'smartsite alerts engine'"""
    )
