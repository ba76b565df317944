"""The delivery worker's hold on the outbox: claim under a lease, and record what came of it.

A lease is held by an advisory lock of the worker's session: it ends with the worker, however it ends, and what it was
at is free at once for the next. The lease's time is the back-stop for a session that vanished without the database
noticing. No transaction is open while a call is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from alerts.adapters.base import Delivery, Outcome
from alerts.settlement import Settlement
from core.clock import Clock
from core.database import Reconnecting, is_outage
from core.settings import DatabaseSettings, TargetSettings
from core.sql import queries

_SQL = queries("alerts")
_LOCK_SPACE = 0x5AFE_0B0
_LEASE_MARGIN_S = 30.0


class Ledger:
    """One worker's connection to the outbox; short transactions, one at a time."""

    def __init__(self, settings: DatabaseSettings, *, clock: Clock) -> None:
        self._keeper = Reconnecting(settings, application="delivery", clock=clock)
        self._clock = clock
        self._turn = asyncio.Lock()
        # The number under which this worker's leases are written and its session's lock is held.
        self._holder = secrets.randbelow(2**31 - 1) + 1
        self._locked_by: int | None = None

    async def close(self) -> None:
        """Give up every lease."""
        await self._keeper.close()

    async def claim(self, target: TargetSettings, limit: int) -> list[Delivery]:
        """Lease at most `limit` due deliveries of a target, oldest first; waits while the database is away.

        An alert's deliveries keep their order: one is due only when those before it were accepted or withdrawn.
        """
        now = self._clock.now()
        parameters = {
            "target": target.name,
            "now": now,
            "until": now + timedelta(seconds=target.timeout_s + _LEASE_MARGIN_S),
            "holder": self._holder,
            "space": _LOCK_SPACE,
            "keyless": not target.keys,
            "limit": limit,
        }
        while True:
            try:
                async with self._session() as connection, connection.transaction():
                    if not target.keys and target.on_uncertain == "ask":
                        await connection.execute(_SQL["delivery_doubt_orphans"], parameters)
                    async with connection.cursor(row_factory=dict_row) as cursor:
                        await cursor.execute(_SQL["delivery_claim"], parameters)
                        rows = await cursor.fetchall()
                    for row in rows:
                        if row.pop("orphaned"):
                            await connection.execute(_SQL["delivery_orphan_note"], {"id": row["id"], "now": now})
                return [Delivery(**row) for row in sorted(rows, key=lambda row: int(row["id"]))]
            except psycopg.Error as error:
                if not is_outage(error):
                    raise

    async def record(
        self, delivery: Delivery, outcome: Outcome, settlement: Settlement, *, at: datetime, duration_s: float
    ) -> None:
        """Write the attempt and the new state, waiting as long as the database is away.

        Where another worker took the delivery over meanwhile, the attempt is kept, and the state only if it says that
        the regulator has it.
        """
        attempt = {
            "delivery_id": delivery.id,
            "at": at,
            "kind": "poll" if delivery.state == "accepted" else "send",
            "status": outcome.status,
            "outcome": outcome.kind,
            "error": "" if outcome.kind in {"accepted", "validated", "pending"} else outcome.reason,
            "request": Jsonb(outcome.request),
            "response": outcome.response,
            "duration_ms": duration_s * 1000,
        }
        state = {
            "id": delivery.id,
            "holder": self._holder,
            "state": settlement.state,
            "reason": settlement.reason,
            "next_attempt_at": settlement.next_attempt_at,
            "receipt": settlement.receipt,
            "accepted_at": settlement.accepted_at,
            "validated_at": settlement.validated_at,
            "in_doubt_since": settlement.in_doubt_since,
            "sent": int(delivery.state == "pending"),
        }
        while True:
            try:
                async with self._session() as connection, connection.transaction():
                    await connection.execute(_SQL["delivery_attempt_put"], attempt)
                    await connection.execute(_SQL["delivery_settle"], state)
            except psycopg.Error as error:
                if not is_outage(error):
                    raise
            else:
                return

    @contextlib.asynccontextmanager
    async def _session(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """The connection that holds this worker's lock."""
        async with self._turn, self._keeper.connection() as connection:
            if connection.info.backend_pid != self._locked_by:
                await connection.execute(_SQL["delivery_hold"], {"space": _LOCK_SPACE, "holder": self._holder})
                self._locked_by = connection.info.backend_pid
            yield connection
