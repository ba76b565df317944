"""A site with devices, cameras and people in a real database, an engine beside it, and what it left behind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from alerts.evaluation import Evaluation
from alerts.linkage import Linker
from alerts.rules.watch import RuleWatch
from core import log
from core.clock import Clock
from core.database import connect
from core.settings import AlertsSettings, Settings
from sensors import batch as readings
from sensors import entries
from sensors.batch import ReadingBatch
from sensors.entries import DeviceEntry, EpisodeEntry
from sensors.registry import RegistryWatch
from tests.alerts.world import PROFILES
from tests.support.clock import FakeClock
from tests.support.wait import eventually


class World:
    """Site 1 with dust stations 1 to 3 (a reading a second) and cameras 1 and 2; its rules lie in one file."""

    def __init__(
        self,
        settings: Settings,
        connection: psycopg.AsyncConnection[Any],
        clock: Clock,
        folder: Path,
        snapshot_every_s: float = 0.2,
    ) -> None:
        self.rules = folder / "rules.toml"
        self.settings = settings.model_copy(
            update={"alerts": AlertsSettings(rules=[self.rules], rules_check_s=0.05, snapshot_every_s=snapshot_every_s)}
        )
        self.connection = connection
        self.clock = clock

    async def furnish(self) -> None:
        await self.connection.execute("INSERT INTO site (code, name) VALUES ('site-1', '工地')")
        for number in (1, 2, 3):
            await self.connection.execute(
                "INSERT INTO device (site_id, code, kind, name, interval_s) VALUES (1, %s, 'dust', '扬尘站', 1)",
                (f"device-{number}",),
            )
        for number in (1, 2):
            await self.connection.execute(
                "INSERT INTO camera (site_id, code, name, url) VALUES (1, %s, '摄像机', 'none')", (f"camera-{number}",)
            )
        await self.beat()

    async def beat(self, *, watermark: int | None = None, ahead_s: float = 0) -> None:
        """An ingest worker that is alive and has stored all that arrived until now, or until `watermark`."""
        now = self.clock.now() + timedelta(seconds=ahead_s)
        await self.connection.execute(
            """INSERT INTO worker (name, room, host, pid, started_at, beat_at, detail)
               VALUES ('ingest-1', 'ingest', '', 1, %s, %s, %s) ON CONFLICT (name)
               DO UPDATE SET beat_at = excluded.beat_at, detail = excluded.detail""",
            (now, now, Jsonb({} if watermark is None else {"watermark": watermark})),
        )

    async def live(self, seconds: float, *, watermark: int | None = None) -> None:
        """Time goes by in which the ingest worker lives."""
        assert isinstance(self.clock, FakeClock)
        # The heartbeat comes first: an engine that looks between the two would take the worker for gone.
        await self.beat(watermark=watermark, ahead_s=seconds)
        await self.clock.advance(seconds)

    async def publish(self, *batches: ReadingBatch, writer: str = "ingest-1") -> None:
        """What ingest does after it stored readings."""
        for batch in batches:
            entry = log.NewEntry(log.shard_of(1), log.Kind.READINGS, readings.encode([batch]))
            await log.append(self.connection, writer, [entry])

    async def see(self, entry: EpisodeEntry) -> None:
        """What vision does when an episode starts or ends."""
        new = log.NewEntry(log.shard_of(entry.site), log.Kind.EPISODE, entries.encode(entry))
        await log.append(self.connection, "vision-1", [new])

    @contextlib.asynccontextmanager
    async def engine(self, *, linker: Linker | None = None) -> AsyncIterator[asyncio.Task[None]]:
        """A running engine; left without a word at the end, as a killed process would."""
        task, watch, stop = await self.start(linker=linker)
        try:
            yield task
        finally:
            await self.kill(task)
            stop.set()
            await watch

    async def start(
        self, *, linker: Linker | None = None
    ) -> tuple[asyncio.Task[None], asyncio.Task[None], asyncio.Event]:
        """(engine, registry watch, the event that ends both in order)."""
        watch = RegistryWatch(self.settings.database, application="test", clock=self.clock)
        await watch.open()
        stop = asyncio.Event()
        rules = RuleWatch([self.rules], PROFILES, [])
        self.evaluation = Evaluation(self.settings, watch=watch, rules=rules, clock=self.clock, linker=linker)
        return asyncio.create_task(self.evaluation.run(stop)), asyncio.create_task(watch.run(stop)), stop

    async def kill(self, task: asyncio.Task[None]) -> None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        async with self.connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(query, parameters)
            return await cursor.fetchall()

    async def alerts(self, condition: str = "true") -> list[dict[str, Any]]:
        return await self.rows(f"SELECT * FROM alert_with_rule WHERE {condition} ORDER BY id")

    async def until(self, count: int, condition: str = "true", *, timeout: float = 15) -> list[dict[str, Any]]:
        """The alerts, as soon as there are so many that meet the condition."""

        async def enough() -> Sequence[dict[str, Any]]:
            found = await self.alerts(condition)
            return found if len(found) == count else []

        return list(await eventually(enough, timeout=timeout))

    async def history(self, alert: int) -> list[tuple[str, str]]:
        found = await self.rows("SELECT kind, actor FROM alert_event WHERE alert_id = %s ORDER BY id", alert)
        return [(row["kind"], row["actor"]) for row in found]

    async def caught_up(self) -> None:
        """Wait until the engine has stored a position at the end of the log, its own entries aside."""

        async def done() -> bool:
            if isinstance(self.clock, FakeClock) and self.settings.alerts.snapshot_every_s:
                await self.clock.advance(0.05)  # positions are stored with snapshots, and these take time
            (row,) = await self.rows(
                """SELECT count(*) AS behind FROM log_stream s LEFT JOIN log_cursor c USING (writer, shard)
                   WHERE s.writer <> 'alerts-engine' AND s.last > coalesce(c.sequence, 0)"""
            )
            return row["behind"] == 0

        await eventually(done)

    async def settle(self) -> None:
        """Wait for a whole turn of the engine: all that follows from the time on the clock has happened.

        The clock moves on meanwhile, by how much depends on the machine, unless every turn stores its position.
        """
        # The first entry may fall into a turn that began before; the turn of the second is over when the third is read.
        for _ in range(3):
            entry = entries.encode(DeviceEntry(device=1, site=1, time=0, event="connected"))
            await log.append(self.connection, "ingest-1", [log.NewEntry(log.shard_of(1), log.Kind.DEVICE, entry)])
            await self.caught_up()


@contextlib.asynccontextmanager
async def world(
    settings: Settings, clock: Clock, folder: Path, rules: str, *, snapshot_every_s: float = 0.2
) -> AsyncIterator[World]:
    """A furnished database and the rules of a TOML text."""
    async with await connect(settings.database, application="test") as connection:
        built = World(settings, connection, clock, folder, snapshot_every_s)
        built.rules.write_text(rules, encoding="utf-8")
        await built.furnish()
        # By a clock that stands still a turn may not wait for the next moment to look at what is silent.
        with patch("alerts.evaluation._TICK_S", 0) if isinstance(clock, FakeClock) else contextlib.nullcontext():
            yield built
