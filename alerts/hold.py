"""A worker's hold on rows that it is at: leases that end with the worker, however it ends.

A lease is the worker's number in the row. The number is backed by an advisory lock of the worker's session, so that
what a dead worker was at is free at once for the next. The lease's time is the back-stop for a session that vanished
without the database noticing. No transaction is open while a worker talks to the outside.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import psycopg

from core.clock import Clock
from core.database import Reconnecting, is_outage
from core.settings import DatabaseSettings
from core.sql import queries

_SQL = queries("alerts")
Result = TypeVar("Result")

LOCK_SPACE = 0x5AFE0B0
"""First key of the advisory locks; the second is the worker's number."""

LEASE_MARGIN_S = 30.0
"""Seconds that a lease outlasts the longest call."""


class Hold:
    """One worker's session: short transactions, one at a time, again on a new session after an outage."""

    def __init__(self, settings: DatabaseSettings, *, application: str, clock: Clock) -> None:
        self._keeper = Reconnecting(settings, application=application, clock=clock)
        self._turn = asyncio.Lock()
        self._locked_by: psycopg.AsyncConnection[Any] | None = None
        self.number = secrets.randbelow(2**31 - 1) + 1
        """The worker's number, written into the rows that it leases."""

    async def close(self) -> None:
        """Give up every lease."""
        await self._keeper.close()

    async def transact(self, work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[Result]]) -> Result:
        """Do `work` in a transaction, from its start again as often as the database goes away in it."""
        while True:
            try:
                async with self._session() as connection, connection.transaction():
                    return await work(connection)
            except psycopg.Error as error:
                if not is_outage(error):
                    raise

    @contextlib.asynccontextmanager
    async def _session(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        async with self._turn, self._keeper.connection() as connection:
            if connection is not self._locked_by:
                await connection.execute(_SQL["lease_hold"], {"space": LOCK_SPACE, "holder": self.number})
                self._locked_by = connection
            yield connection
