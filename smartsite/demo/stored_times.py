"""When each reading of the run became a row: the log says it, written in the transaction of the rows."""

from __future__ import annotations

import asyncio
import logging

import psycopg

from core.clock import Clock
from core.database import Reconnecting, is_outage
from core.log import Kind, Reader
from core.settings import DatabaseSettings
from sensors import batch

logger = logging.getLogger(__name__)

_LOOK_S = 0.5


class StoredTimes:
    """Follows the log and remembers for each (device id, event time) when its row was written.

    The time is that of the log entry, a moment before the commit of its transaction.
    """

    def __init__(self, settings: DatabaseSettings, *, clock: Clock) -> None:
        self._keeper = Reconnecting(settings, application="demo report", clock=clock)
        self._reader = Reader("demo-report", registered=False)
        self._clock = clock
        self.written: dict[tuple[int, int], float] = {}
        """(device id, event time in microseconds) -> seconds since the epoch."""

    async def open(self) -> None:
        """Takes up the log at its end."""
        async with self._keeper.connection() as connection:
            await self._reader.open(connection, at="end")

    async def run(self) -> None:
        """Follows the log until it is cancelled, through outages of the database."""
        while True:
            try:
                await self.catch_up()
            except psycopg.Error as error:
                if not is_outage(error):
                    raise
            await self._clock.sleep(_LOOK_S)

    async def catch_up(self) -> None:
        """Reads all that is there."""
        async with self._keeper.connection() as connection:
            while entries := await self._reader.read(connection):
                for entry in entries:
                    if entry.kind is Kind.READINGS:
                        self._note(entry.payload, entry.written_at.timestamp())
                await asyncio.sleep(0)

    def _note(self, payload: bytes, written: float) -> None:
        for columns in batch.decode(payload):
            for device, time in zip(columns.device.tolist(), columns.time.tolist(), strict=True):
                self.written.setdefault((device, time), written)

    async def close(self) -> None:
        """Closes the connection."""
        await self._keeper.close()
