"""Since when the platform has been able to hear its devices: the ground on which a device may be called offline."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg

from core.clock import Clock, micros
from core.sql import queries
from core.workers import BEAT_S

# A worker that has missed this many beats is taken for gone.
_MISSED = 5
_SQL = queries("alerts")


class Listening:
    """Watches the ingest workers. Any change among them starts the time anew: their devices must first come back.

    Workers of one group read from one queue: as long as one of them is there, what another one leaves is heard.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ears: frozenset[tuple[str, int]] = frozenset()
        self._since = micros(clock.now())

    def restart(self) -> None:
        """The platform was deaf until now, as after an outage of the database."""
        self._since = micros(self._clock.now())

    async def since(self, connection: psycopg.AsyncConnection[Any]) -> int | None:
        """Microseconds since the epoch; None while no ingest worker is alive."""
        now = self._clock.now()
        fresh = now - timedelta(seconds=_MISSED * BEAT_S)
        rows = await (await connection.execute(_SQL["ingest_workers"])).fetchall()
        ears = frozenset(
            (group, 0) if group else (name, micros(started_at))
            for name, started_at, beat_at, group in rows
            if beat_at >= fresh
        )
        if ears != self._ears:
            # At the first look the workers may have been there for long; but this process has not.
            self._ears = ears
            self._since = micros(now)
        return self._since if ears else None
