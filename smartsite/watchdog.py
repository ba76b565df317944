"""Finds processes that live but do not move: their heartbeat in the database has stopped."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from datetime import timedelta

import psycopg

from core.clock import Clock
from core.database import Reconnecting, is_outage
from core.settings import DatabaseSettings
from core.sql import queries

logger = logging.getLogger(__name__)

_SQL = queries("smartsite")
_LOOK_S = 5.0

#: Heartbeats come every two seconds; a process that is silent this long while the database answers hangs.
SILENCE = timedelta(seconds=30)


async def watch(
    settings: DatabaseSettings, *, clock: Clock, processes: Callable[[], dict[int, str]], kill: Callable[[str], object]
) -> None:
    """Kills by name whichever of ``processes`` (process id -> name) has stopped beating; runs until it is cancelled.

    After an outage of the database everybody has been silent through no fault of their own, and gets the whole time
    again; so does a machine that was suspended.
    """
    keeper = Reconnecting(settings, application="watchdog", clock=clock)
    answering_since: float | None = None
    try:
        while True:
            asked = clock.monotonic()
            try:
                async with keeper.connection() as connection:
                    if answering_since is None:
                        answering_since = clock.monotonic()
                    hung = await _hung(connection, clock=clock, pids=list(processes()))
            except psycopg.Error as error:
                if not is_outage(error):
                    raise
                answering_since = None
                continue
            if clock.monotonic() - answering_since > SILENCE.total_seconds():
                known = processes()
                for pid in hung:
                    if pid in known:
                        logger.error("%s has stopped beating and is killed", known[pid], extra={"pid": pid})
                        kill(known[pid])
            await clock.sleep(_LOOK_S)
            if clock.monotonic() - asked > 2 * _LOOK_S:
                answering_since = None
    finally:
        await keeper.close()


async def _hung(connection: psycopg.AsyncConnection, *, clock: Clock, pids: list[int]) -> list[int]:
    parameters = {"host": socket.gethostname(), "pids": pids, "before": clock.now() - SILENCE}
    rows = await (await connection.execute(_SQL["hung_workers"], parameters)).fetchall()
    return [pid for (pid,) in rows]
