"""Heartbeats: every process keeps one row fresh, so that the page and `doctor` see who is alive."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from core.clock import Clock
from core.database import Reconnecting, is_outage
from core.settings import DatabaseSettings
from core.sql import queries
from core.tasks import until

BEAT_S = 2.0
_SQL = queries("core")


class Heartbeat:
    """Writes the `worker` row of a process; removes it on an orderly end."""

    def __init__(self, name: str, *, room: str, settings: DatabaseSettings, clock: Clock) -> None:
        self.name = name
        self._room = room
        self._clock = clock
        self._started_at = clock.now()
        self._keeper = Reconnecting(settings, application=f"heartbeat {name}", clock=clock)

    async def run(self, stop: asyncio.Event, detail: Callable[[], dict[str, Any]] = dict) -> None:
        """Beat every two seconds until `stop`; `detail` is asked each time and must be JSON."""
        identity = {"name": self.name, "host": socket.gethostname(), "pid": os.getpid()}
        try:
            await until(stop, self._beat(identity, detail))
            await self._leave(identity)
        finally:
            await self._keeper.close()

    async def _beat(self, identity: dict[str, Any], detail: Callable[[], dict[str, Any]]) -> None:
        while True:
            try:
                async with self._keeper.connection() as connection:
                    await connection.execute(
                        _SQL["worker_beat"],
                        {
                            **identity,
                            "room": self._room,
                            "started_at": self._started_at,
                            "beat_at": self._clock.now(),
                            "detail": Jsonb(detail()),
                        },
                    )
            except psycopg.Error as error:
                if not is_outage(error):
                    raise
            await self._clock.sleep(BEAT_S)

    async def _leave(self, identity: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(2), self._keeper.connection() as connection:
                await connection.execute(_SQL["worker_gone"], identity)
        except (psycopg.Error, TimeoutError):
            # The row grows stale by itself; a database that stopped first is the normal case at shutdown.
            return
