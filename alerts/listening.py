"""Between which times the platform has heard its devices: the ground on which one may be called offline."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg

from core.clock import Clock, micros
from core.sql import queries
from core.workers import BEAT_S

# A worker that has missed this many beats is taken for gone.
_MISSED = 5
_SQL = queries("alerts")


@dataclass(frozen=True, slots=True)
class Heard:
    """Microseconds since the epoch: whatever arrived in [since, until] is in the log. Empty while no worker lives."""

    since: int
    until: int


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

    async def heard(self, connection: psycopg.AsyncConnection[Any]) -> Heard:
        """To be asked before the log is read to its end: only then is all that arrived by `until` known.

        What arrives first waits in a worker, for a transaction or, through an outage, in its spool; each worker's
        heartbeat says up to when it has stored everything (`watermark`).
        """
        now = self._clock.now()
        fresh = now - timedelta(seconds=_MISSED * BEAT_S)
        rows = await (await connection.execute(_SQL["ingest_workers"])).fetchall()
        alive = [row for row in rows if row[2] >= fresh]
        ears = frozenset((group, 0) if group else (name, micros(started_at)) for name, started_at, _, group, _ in alive)
        if ears != self._ears:
            # At the first look the workers may have been there for long; but this process has not.
            self._ears = ears
            self._since = micros(now)
        if not alive:
            return Heard(micros(now), micros(now))
        # A worker that does not say so has stored what came before its heartbeat.
        marks = [micros(beat_at) if mark is None else mark for _, _, beat_at, _, mark in alive]
        return Heard(self._since, min(micros(now), *marks))
