"""The keeper: periodic house-keeping of the database. Several may run; the one that holds the lock works."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

import psycopg
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from core import log
from core.clock import Clock, SystemClock
from core.database import Reconnecting, is_outage
from core.settings import Settings
from core.sql import queries
from core.workers import Heartbeat
from smartsite.sweep import EvidenceSweep

logger = logging.getLogger(__name__)

_SQL = queries("smartsite")
_LOCK = 0x5317E0C1
_QUARANTINE = timedelta(days=30)
_SILENT = timedelta(hours=1)
_AFTER_MINUTE_S = 5

Job = Callable[[psycopg.AsyncConnection], Awaitable[None]]


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

    async def rollups(self, connection: psycopg.AsyncConnection) -> None:
        """Brings the roll-ups of readings up to what the log holds."""
        from sensors.profiles import load_profiles
        from sensors.rollup_work import Rollups

        work = await Rollups(load_profiles(self._settings.kinds_dir), self._clock).run(connection)
        logger.debug("rolled up", extra={"readings": work.readings, "minutes": work.minutes, "pieces": work.pieces})

    async def log(self, connection: psycopg.AsyncConnection) -> None:
        """Drops entries of the log that every registered reader has read."""
        await log.trim(connection, now=self._clock.now(), max_bytes=self._settings.database.log_max_mb * 1_000_000)

    async def evidence(self, connection: psycopg.AsyncConnection) -> None:
        """Removes old evidence, and the oldest where the disk needs room."""
        await self._sweep.run(connection)

    async def leftovers(self, connection: psycopg.AsyncConnection) -> None:
        """Drops expired sessions, old quarantine and the rows of workers long gone."""
        now = self._clock.now()
        await connection.execute(_SQL["expired_sessions"], {"now": now})
        await connection.execute(_SQL["old_quarantine"], {"before": now - _QUARANTINE})
        await connection.execute(_SQL["silent_workers"], {"before": now - _SILENT})


class Keeper:
    """Runs jobs one at a time on one connection that holds the lock; without the lock a turn is passed over."""

    def __init__(self, keeper: Reconnecting) -> None:
        self._keeper = keeper
        self._turn = asyncio.Lock()

    async def run(self, job: Job) -> bool:
        """Runs a job if this process is the one that keeps house; True when it ran to its end."""
        async with self._turn:
            try:
                async with self._keeper.connection() as connection:
                    # Granted again to the session that has it: as good as asking whether we still do.
                    row = await (await connection.execute(_SQL["housekeeping_lock"], {"key": _LOCK})).fetchone()
                    if row is None or not row[0]:
                        return False
                    await job(connection)
            except psycopg.Error as error:
                if not is_outage(error):
                    raise
                logger.warning("housekeeping put off: the database is away", extra={"job": job.__name__})
                return False
        logger.debug("housekeeping done", extra={"job": job.__name__})
        return True

    async def rest(self) -> None:
        """Waits until no job runs: a connection must not be closed under one."""
        async with self._turn:
            return


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Keeps house until ``stop`` is set."""
    clock = SystemClock()
    connection = Reconnecting(settings.database, application="keeper", clock=clock)
    keeper, jobs = Keeper(connection), Housekeeping(settings, clock)
    scheduler = AsyncIOScheduler(timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1})
    for job, seconds in ((jobs.partitions, 3600), (jobs.log, 20), (jobs.evidence, 60), (jobs.leftovers, 600)):
        # Due at once too: a machine that is switched on for an hour a day must not miss its turn for ever.
        scheduler.add_job(
            keeper.run, "interval", args=[job], seconds=seconds, next_run_time=clock.now(), id=job.__name__
        )
    # Once a minute, a little after its end: each reading is summed up about once, however fast they come.
    scheduler.add_job(keeper.run, "cron", args=[jobs.rollups], second=_AFTER_MINUTE_S, id=jobs.rollups.__name__)
    scheduler.start()
    try:
        await Heartbeat("keeper", room="smartsite", settings=settings.database, clock=clock).run(stop)
    finally:
        scheduler.shutdown(wait=False)  # cancels the job in hand
        await keeper.rest()
        await connection.close()
