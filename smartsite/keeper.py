"""The keeper: periodic house-keeping of the database. Several may run; the one that holds the lock works."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import psycopg

from core import log
from core.clock import Clock, SystemClock
from core.schedule import Schedule
from core.settings import Settings
from core.signing import SigningKey
from core.sql import queries
from core.workers import Heartbeat
from smartsite.sweep import EvidenceSweep

_SQL = queries("smartsite")
LOCK = 0x5317E0C1
"""Key of the advisory lock of whoever keeps house."""

_QUARANTINE = timedelta(days=30)
_SILENT = timedelta(hours=1)
_AFTER_MINUTE_S = 5


class Housekeeping:
    """The jobs. Each runs on the keeper's own connection and is safe to run again at any time."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._sweep = EvidenceSweep(settings, clock)

    async def partitions(self, connection: psycopg.AsyncConnection) -> None:
        """Makes the tables of the coming weeks and drops those past their retention."""
        from sensors import tables
        from sensors.profiles import load_profiles

        database = self._settings.database
        retention = tables.Retention(
            readings=timedelta(days=database.retention_days),
            rollups={
                "1m": timedelta(days=database.rollup_1m_days),
                "15m": timedelta(days=database.rollup_15m_days),
                "1h": timedelta(days=database.rollup_1h_days),
                "1d": timedelta(days=database.rollup_1d_days),
            },
        )
        await tables.maintain(connection, load_profiles(self._settings.kinds_dir), self._clock.now(), retention)

    async def rollups(self, connection: psycopg.AsyncConnection) -> str:
        """Brings the roll-ups of readings up to what the log holds."""
        from sensors.profiles import load_profiles
        from sensors.rollup_work import Rollups

        work = await Rollups(load_profiles(self._settings.kinds_dir), self._clock).run(connection)
        return f"{work.readings} readings in {work.minutes} minutes, {work.pieces} pieces rebuilt"

    async def log(self, connection: psycopg.AsyncConnection) -> None:
        """Drops entries of the log that every registered reader has read."""
        await log.trim(connection, now=self._clock.now(), max_bytes=self._settings.database.log_max_mb * 1_000_000)

    async def evidence(self, connection: psycopg.AsyncConnection) -> None:
        """Removes old evidence, and the oldest where the disk needs room."""
        await self._sweep.run(connection)

    async def audit_head(self, connection: psycopg.AsyncConnection) -> str:
        """Writes the day's signed head of the audit log."""
        from api import heads

        key = await asyncio.to_thread(SigningKey.load, self._settings.signing_key_file)
        path = await heads.write(connection, self._settings.audit_dir, key, self._clock)
        return f"wrote {path.name}" if path else "is there, or the log is empty"

    async def leftovers(self, connection: psycopg.AsyncConnection) -> None:
        """Drops expired sessions, old quarantine and the rows of workers long gone."""
        now = self._clock.now()
        await connection.execute(_SQL["expired_sessions"], {"now": now})
        await connection.execute(_SQL["old_quarantine"], {"before": now - _QUARANTINE})
        await connection.execute(_SQL["silent_workers"], {"before": now - _SILENT})


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Keeps house until ``stop`` is set."""
    clock = SystemClock()
    jobs = Housekeeping(settings, clock)
    schedule = Schedule(settings.database, name="keeper", lock=LOCK, clock=clock)
    schedule.every(3600, jobs.partitions)
    schedule.every(20, jobs.log)
    schedule.every(60, jobs.evidence)
    schedule.every(600, jobs.leftovers)
    schedule.every(600, jobs.audit_head)
    # Once a minute, a little after its end: each reading is summed up about once, however fast they come.
    schedule.each_minute(_AFTER_MINUTE_S, jobs.rollups)
    async with asyncio.TaskGroup() as group:
        group.create_task(schedule.run(stop))
        heart = Heartbeat("keeper", room="smartsite", settings=settings.database, clock=clock)
        group.create_task(heart.run(stop))
