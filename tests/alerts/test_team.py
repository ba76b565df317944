"""Several engines divide the sites; one is killed, another takes over: no alert is missed or doubled."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from alerts.evaluation import Evaluation
from alerts.rules.watch import RuleWatch
from alerts.team import Team
from core import log
from core.clock import Clock, SystemClock
from core.settings import Settings
from sensors import batch as readings
from sensors.registry import RegistryWatch
from tests.alerts.database import World, world
from tests.alerts.test_windows import MEAN
from tests.alerts.world import PM10, PROFILES, batch
from tests.support.clock import FakeClock
from tests.support.wait import eventually

SITES = 6


async def _furnish(site: World) -> None:
    """Sites 2 to 6 beside the first one; device 3 + n is on site 1 + n."""
    for number in range(2, SITES + 1):
        await site.connection.execute("INSERT INTO site (code, name) VALUES (%s, '工地')", (f"site-{number}",))
        await site.connection.execute(
            "INSERT INTO device (site_id, code, kind, name, interval_s) VALUES (%s, 'dust-1', 'dust', '扬尘站', 1)",
            (number,),
        )


def _place(device: int) -> int:
    return max(1, device - 2)


async def _publish(site: World, device: int, second: float, value: float) -> None:
    place = _place(device)
    item = batch([(device, second, {"pm10": value})], arrived=second, sites={device: place})
    entry = log.NewEntry(log.shard_of(place), log.Kind.READINGS, readings.encode([item]))
    await log.append(site.connection, "ingest-1", [entry])


class Process:
    """What one process of the alerts room has of engines: all lanes, sharing one team."""

    def __init__(self, site: World, engines: int) -> None:
        self.site = site
        self.team = Team(engines)
        self.stop = asyncio.Event()
        self.lanes: list[Evaluation] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def start(self) -> Process:
        settings, clock = self.site.settings, self.site.clock
        self.watch = RegistryWatch(settings.database, application="test", clock=clock)
        await self.watch.open()
        rules = RuleWatch([self.site.rules], PROFILES, [])
        self.lanes = [
            Evaluation(settings, watch=self.watch, rules=rules, clock=clock, team=self.team, lane=lane)
            for lane in range(self.team.engines)
        ]
        self.tasks = [asyncio.create_task(lane.run(self.stop)) for lane in self.lanes]
        self.tasks.append(asyncio.create_task(self.watch.run(self.stop)))
        return self

    @property
    def held(self) -> set[int]:
        return {number for number, lane in enumerate(self.lanes) if lane.running}

    async def kill(self) -> None:
        """Its sessions end without a word."""
        for task in self.tasks:
            task.cancel()
        for task in self.tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task


@pytest.fixture
async def site(settings: Settings, tmp_path: Path) -> AsyncIterator[World]:
    async with world(settings, FakeClock(), tmp_path, PM10 + MEAN) as built:
        await _furnish(built)
        yield built


async def _shared_out(site: World, *processes: Process) -> None:
    """Wait until every lane is held by one process, and none has more than its share."""
    engines = processes[0].team.engines
    share = -(-engines // len(processes))

    async def done() -> bool:
        assert isinstance(site.clock, FakeClock)
        await site.clock.advance(0.5)
        held = [process.held for process in processes]
        return sorted(lane for one in held for lane in one) == list(range(engines)) and max(map(len, held)) <= share

    await eventually(done)


async def test_lanes_are_shared_out_and_taken_over(site: World) -> None:
    first = await Process(site, 4).start()
    await _shared_out(site, first)
    second = await Process(site, 4).start()
    await _shared_out(site, first, second)
    assert len(first.held) == len(second.held) == 2
    await first.kill()
    await _shared_out(site, second)
    await second.kill()


async def test_kills_at_random_lose_and_double_nothing(site: World) -> None:
    """The same script through one engine that lives and through two processes that are killed in turn."""
    random = Random(3)
    script = [
        (device, float(second), random.choice((50.0, 130.0, 300.0)))
        for second in range(40)
        for device in range(1, SITES + 3)
    ]
    processes = [await Process(site, 3).start() for _ in range(2)]
    for place, (device, second, value) in enumerate(script):
        await _publish(site, device, second, value)
        if place % 60 == 59:
            victim = processes.pop(random.randrange(2))
            await victim.kill()
            processes.append(await Process(site, 3).start())
            assert isinstance(site.clock, FakeClock)
            await site.clock.advance(0.5)
    await site.caught_up()
    found = await _episodes(site)
    for process in processes:
        await process.kill()
    await site.connection.execute("TRUNCATE alert, alert_event, engine_snapshot, log_cursor, log_reader CASCADE")
    alone = await Process(site, 1).start()
    await site.caught_up()
    assert found == await _episodes(site)
    assert len(found) > 10
    await alone.kill()


async def test_another_division_takes_the_state_over(site: World) -> None:
    """A duration, a mean and an open alert survive the step from one engine to three, and back."""
    for number, engines in enumerate((1, 3, 1, 2)):
        process = await Process(site, engines).start()
        for device in range(1, SITES + 3):
            for part in range(5):
                await _publish(site, device, number * 5.0 + part, 200.0)
        await site.caught_up()
        await process.kill()
    alerts = await site.alerts()
    assert len(alerts) == 2 * (SITES + 2)  # a threshold and a mean of [0, 10) each, raised once
    rows = await site.rows("SELECT engine FROM engine_snapshot ORDER BY engine")
    assert [row["engine"] for row in rows] in (["alerts 0/2", "alerts 1/2"], ["alerts", "alerts 0/2", "alerts 1/2"])


async def _episodes(site: World) -> list[tuple[str, str, object, object, object]]:
    rows = await site.rows("SELECT rule, subject, started_at, ended_at, max_value FROM alert ORDER BY 1, 2, 3")
    return [tuple(row.values()) for row in rows]  # type: ignore[misc]


SCRIPT = """
import asyncio, sys
from pathlib import Path
from core.settings import load_settings
from alerts.service import serve
asyncio.run(serve(load_settings(Path(sys.argv[1])), asyncio.Event()))
"""


async def test_kill_9_of_a_process_is_made_good_by_the_other(settings: Settings, tmp_path: Path) -> None:
    """Two real processes of the alerts room; the one that holds site 1 is killed while its violation goes on."""
    clock: Clock = SystemClock()
    async with world(settings, clock, tmp_path, PM10) as site:
        await _furnish(site)
        assert settings.database.url is not None
        path = tmp_path / "smartsite.toml"
        path.write_text(
            f"data_dir = {json.dumps(str(settings.data_dir))}\n"
            f"[database]\nurl = {json.dumps(settings.database.url.get_secret_value())}\n"
            f"[alerts]\nengines = 2\nrules = [{json.dumps(str(site.rules))}]\n",
            encoding="utf-8",
        )
        children = [await asyncio.create_subprocess_exec(sys.executable, "-c", SCRIPT, str(path)) for _ in range(2)]
        try:
            for device in range(1, SITES + 3):
                await _publish(site, device, 0, 300.0)
            await site.until(SITES + 2, timeout=60)  # two processes that start take a while

            async def one_holds() -> bool:
                rows = await site.rows(
                    """SELECT a.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid)
                       WHERE l.locktype = 'advisory' AND l.classid = %s AND l.objid = 1 AND l.granted""",
                    0x5AFE0B1,
                )
                assert len(rows) <= 1
                return bool(rows)

            # Nobody may for a moment: a process that was first leaves half of the lanes to the other.
            await eventually(one_holds)
            os.kill(children[0].pid, signal.SIGKILL)
            for device in range(1, SITES + 3):
                for second in (1, 7, 8):
                    await _publish(site, device, second, 0.0 if second < 8 else 400.0)
            await site.until(SITES + 2, "cleared_at IS NOT NULL")
            assert len(await site.until(2 * (SITES + 2))) == 2 * (SITES + 2)
        finally:
            for child in children:
                with contextlib.suppress(ProcessLookupError):
                    child.kill()
                await child.wait()
