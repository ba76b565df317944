"""How long each camera delivered, added up by quarter of an hour: what reports tell of cameras."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

import psycopg

from core.clock import Clock
from core.sql import queries

SQL = queries(__package__)

_BOOK_S = 60.0  # a killed worker loses at most so much
_LONGEST_S = 10.0  # between two looks: what hung longer is not known
_KEPT = timedelta(days=60)  # reports are made up for after four weeks at most


class Uptime:
    """Seconds online of this worker's cameras that are not in the database yet."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._looked_at = self._booked_at = clock.monotonic()
        self._pending: dict[tuple[int, datetime], float] = defaultdict(float)

    def look(self, online: Iterable[int]) -> None:
        """The cameras that deliver now; they are taken to have done so since the last look."""
        now = self._clock.monotonic()
        passed, self._looked_at = now - self._looked_at, now
        if 0 < passed <= _LONGEST_S:
            quarter = _quarter(self._clock.now())
            for camera in online:
                self._pending[camera, quarter] += passed

    async def book(self, connection: psycopg.AsyncConnection, *, last: bool = False) -> None:
        """Write what has gathered once a minute, or now where it is the `last` time; drop what no report asks for."""
        now = self._clock.monotonic()
        if not self._pending or (now - self._booked_at < _BOOK_S and not last):
            return
        pending = dict(self._pending)
        async with connection.transaction():
            await connection.execute(
                SQL["camera_uptime_add"],
                {
                    "cameras": [camera for camera, _ in pending],
                    "times": [quarter for _, quarter in pending],
                    "seconds": list(pending.values()),
                },
            )
            await connection.execute(
                SQL["camera_uptime_trim"],
                {"cameras": sorted({camera for camera, _ in pending}), "before": self._clock.now() - _KEPT},
            )
        self._booked_at = now
        self._pending.clear()


def _quarter(moment: datetime) -> datetime:
    return moment.replace(minute=moment.minute // 15 * 15, second=0, microsecond=0)
