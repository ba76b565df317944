"""Periodic work: however many processes offer to do it, the one that holds the lock does, and each run is on record.

Built on APScheduler. Runs that fell into a pause of the machine are made up for by one run, however late
(`coalesce`, no `misfire_grace_time`: its default of one second would drop them); a job never runs twice at a time.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from psycopg.rows import class_row

from core.clock import Clock
from core.database import Reconnecting, is_outage
from core.settings import DatabaseSettings
from core.sql import queries

logger = logging.getLogger(__name__)

_SQL = queries(__package__)
# A job that runs every second and finds nothing to do needs no row a second.
_RECORD_EVERY = timedelta(seconds=15)

Job = Callable[[psycopg.AsyncConnection[Any]], Awaitable[str | None]]
"""Works on the connection that holds the lock and says in a few words what it did, or nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRun:
    """How a job stands, from its row."""

    job: str
    schedule: str
    holder: str
    started_at: datetime
    ended_at: datetime
    outcome: str
    result: str
    error: str
    next_run_at: datetime | None
    every_s: float
    runs: int
    failures: int


async def runs(connection: psycopg.AsyncConnection[Any]) -> list[JobRun]:
    """Every job that ever ran, by schedule and name."""
    async with connection.cursor(row_factory=class_row(JobRun)) as cursor:
        await cursor.execute(_SQL["job_runs"])
        return await cursor.fetchall()


class Schedule:
    """Jobs that share one lock and one connection; they run one after another."""

    def __init__(self, settings: DatabaseSettings, *, name: str, lock: int, clock: Clock) -> None:
        self._name = name
        self._lock = lock
        self._clock = clock
        self._holder = f"{socket.gethostname()}:{os.getpid()}"
        self._keeper = Reconnecting(settings, application=name, clock=clock)
        self._turn = asyncio.Lock()
        self._recorded: dict[str, tuple[datetime, str]] = {}
        self._every: dict[str, float] = {}
        self._scheduler = AsyncIOScheduler(
            timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )

    def every(self, seconds: float, job: Job) -> None:
        """Run a job now and then every so many seconds: a machine that runs an hour a day misses no turn for ever."""
        self._every[_name(job)] = seconds
        self._scheduler.add_job(
            self.turn, "interval", args=[job], seconds=seconds, next_run_time=self._clock.now(), id=_name(job)
        )

    def each_minute(self, second: int, job: Job) -> None:
        """Run a job at this second of every minute."""
        self._every[_name(job)] = 60
        self._scheduler.add_job(self.turn, "cron", args=[job], second=second, id=_name(job))

    async def run(self, stop: asyncio.Event) -> None:
        """Run the jobs until `stop`; the one in hand is cancelled then."""
        # It tells of every run, and of every turn that waits while the database is away; the row says it better.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        self._scheduler.start()
        try:
            await stop.wait()
        finally:
            self._scheduler.shutdown(wait=False)
            await self.close()

    async def close(self) -> None:
        """Give the lock up, once no job runs: a connection must not be closed under one."""
        async with self._turn:
            await self._keeper.close()

    async def turn(self, job: Job) -> bool:
        """Run a job if this process is the one that works; True when it ran to its end.

        What goes wrong is told in the log and in the job's row; the next turn tries again.
        """
        async with self._turn:
            try:
                async with self._keeper.connection() as connection:
                    # Granted again to the session that has it: as good as asking whether we still do.
                    row = await (await connection.execute(_SQL["schedule_lock"], {"key": self._lock})).fetchone()
                    if row is None or not row[0]:
                        return False
                    return await self._work(connection, job)
            except psycopg.Error as error:
                if not is_outage(error):
                    raise
                logger.warning("put off: the database is away", extra={"job": _name(job)})
                return False

    async def _work(self, connection: psycopg.AsyncConnection[Any], job: Job) -> bool:
        started = self._clock.now()
        try:
            # Whatever a job holds open when it fails ends with its own transaction.
            result, error = await job(connection) or "", ""
        except Exception as fault:
            if isinstance(fault, psycopg.Error) and is_outage(fault):
                raise
            logger.exception("periodic work failed", extra={"job": _name(job)})
            result, error = "", f"{type(fault).__name__}: {fault}"[:500]
        await self._record(connection, _name(job), started, result, error)
        return not error

    async def _record(
        self, connection: psycopg.AsyncConnection[Any], name: str, started: datetime, result: str, error: str
    ) -> None:
        now = self._clock.now()
        last, before = self._recorded.get(name, (None, ""))
        if last is not None and not error and not before and not result and now - last < _RECORD_EVERY:
            return
        self._recorded[name] = (now, error)
        scheduled = self._scheduler.get_job(name)
        await connection.execute(
            _SQL["job_run_put"],
            {
                "job": name,
                "schedule": self._name,
                "holder": self._holder,
                "started_at": started,
                "ended_at": now,
                "outcome": "failed" if error else "ok",
                "result": result,
                "error": error,
                "next_run_at": getattr(scheduled, "next_run_time", None),
                "every_s": self._every.get(name, 0.0),
                "failed": int(bool(error)),
            },
        )


def _name(job: Job) -> str:
    return str(getattr(job, "__name__", job))
