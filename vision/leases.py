"""Which cameras are this worker's: leases in the database, shared out evenly among living workers.

A worker's leases carry its number, and the number is backed by an advisory lock of its session, which ends with
the worker however it ends. Workers share out one at a time, every few seconds: each takes free cameras up to its even
part, and gives back what is beyond it. A worker that cannot reach the database keeps what it has until it learns that
another took over.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import psycopg

from core.clock import Clock
from core.database import Reconnecting
from core.settings import DatabaseSettings
from core.sql import queries

_SQL = queries(__package__)

_SPACE = 0x5AFE0CA
_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Share:
    """What is this worker's after a turn: `taken` are new in `held`, `surplus` are to be given back by `release`."""

    held: frozenset[int]
    taken: frozenset[int]
    surplus: frozenset[int]


class Leases:
    """One worker's part of the cameras."""

    def __init__(self, settings: DatabaseSettings, *, worker: str, clock: Clock) -> None:
        self._worker = worker
        self._keeper = Reconnecting(settings, application=f"{worker} leases", clock=clock)
        self._locked_by: psycopg.AsyncConnection[Any] | None = None
        self._number = secrets.randbelow(2**31 - 1) + 1
        self._held: frozenset[int] = frozenset()

    async def turn(self, enabled: Collection[int], others: Collection[int]) -> Share:
        """Take part in the sharing of the cameras that run; `others` are taken too, as they cost nothing.

        Waits while the database is away; psycopg.Error where it goes away in the middle: the next turn mends that.
        """
        async with self._keeper.connection() as connection:
            if connection is not self._locked_by:
                # Before anything else: without it the leases of this number are anybody's.
                await connection.execute(_SQL["lease_number_hold"], {"space": _SPACE, "holder": self._number})
                self._locked_by = connection
            async with connection.transaction():
                return await self._share(connection, set(enabled), set(others))

    async def _share(self, connection: psycopg.AsyncConnection[Any], enabled: set[int], others: set[int]) -> Share:
        me = {"holder": self._number}
        await connection.execute(_SQL["lease_turn"], {"space": _SPACE})
        await connection.execute(_SQL["lease_refresh"], me)
        workers = {number for (number,) in await self._rows(connection, "lease_workers", space=_SPACE)}
        mine: set[int] = set()
        taken: set[int] = set()
        hanging: set[int] = set()
        for camera, holder, late in await self._rows(connection, "leases", patience_s=_PATIENCE_S):
            if holder == self._number:
                mine.add(camera)
            elif late:
                hanging.add(holder)
            elif holder in workers:
                taken.add(camera)
        # A worker that hangs does not count: its part is the others'.
        part = -(-len(enabled) // max(1, len(workers - hanging)))
        free = sorted(enabled - mine - taken)
        claim = free[: max(0, part - len(mine & enabled))] + sorted(others - mine - taken)
        got = {
            camera
            for (camera,) in await self._rows(
                connection, "lease_take", holder=self._number, worker=self._worker, cameras=claim
            )
        }
        gone = mine - enabled - others
        if gone:
            await connection.execute(_SQL["lease_release"], me | {"cameras": sorted(gone)})
        held = frozenset((mine - gone) | got)
        surplus = frozenset(sorted(held & enabled)[part:])
        fresh, self._held = held - self._held, held
        return Share(held, fresh, surplus)

    async def release(self, cameras: Collection[int]) -> None:
        """Give cameras back. They must have been let go of before."""
        async with self._keeper.connection() as connection:
            await connection.execute(_SQL["lease_release"], {"holder": self._number, "cameras": sorted(cameras)})
        self._held -= frozenset(cameras)

    async def close(self) -> None:
        """Give everything back: the session's end does."""
        await self._keeper.close()

    @staticmethod
    async def _rows(connection: psycopg.AsyncConnection[Any], name: str, **parameters: Any) -> list[Any]:
        return await (await connection.execute(_SQL[name], parameters)).fetchall()
