"""The delivery worker's side of the outbox: claim under a lease, and record what came of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from alerts.adapters.base import Delivery, Outcome
from alerts.announce import announce
from alerts.hold import LEASE_MARGIN_S, LOCK_SPACE, Hold
from alerts.settlement import Settlement
from core.clock import Clock
from core.settings import DatabaseSettings, TargetSettings
from core.sql import queries

DELIVERY_WRITER = "alerts-delivery"
"""The delivery worker's name in the log."""

_SQL = queries("alerts")


class Ledger:
    """One worker's access to the deliveries; every method waits while the database is away."""

    def __init__(self, settings: DatabaseSettings, *, clock: Clock) -> None:
        self._hold = Hold(settings, application="delivery", clock=clock)
        self._clock = clock

    async def close(self) -> None:
        """Give up every lease."""
        await self._hold.close()

    async def claim(self, target: TargetSettings, limit: int) -> list[Delivery]:
        """Lease at most `limit` due deliveries of a target, oldest first.

        An alert's deliveries keep their order: one is due only when those before it were accepted or withdrawn.
        """
        now = self._clock.now()
        parameters = {
            "target": target.name,
            "now": now,
            "until": now + timedelta(seconds=target.timeout_s + LEASE_MARGIN_S),
            "holder": self._hold.number,
            "space": LOCK_SPACE,
            "keyless": not target.keys,
            "limit": limit,
        }

        async def work(connection: psycopg.AsyncConnection[Any]) -> list[Delivery]:
            if not target.keys and target.on_uncertain == "ask":
                await connection.execute(_SQL["delivery_doubt_orphans"], parameters)
            async with connection.cursor(row_factory=dict_row) as cursor:
                await cursor.execute(_SQL["delivery_claim"], parameters)
                rows = await cursor.fetchall()
            for row in rows:
                if row.pop("orphaned"):
                    await connection.execute(_SQL["delivery_orphan_note"], {"id": row["id"], "now": now})
            return [Delivery(**row) for row in sorted(rows, key=lambda row: int(row["id"]))]

        return await self._hold.transact(work)

    async def record(
        self, delivery: Delivery, outcome: Outcome, settlement: Settlement, *, at: datetime, duration_s: float
    ) -> None:
        """Write the attempt and the new state.

        Where another worker took the delivery over meanwhile, the attempt is kept, and the state only if it says that
        the regulator has it.
        """
        sent = delivery.state == "pending"
        noted = {
            "delivery_id": delivery.id,
            "at": at,
            "kind": "send" if sent else "poll",
            "status": outcome.status,
            "outcome": outcome.kind,
            "error": "" if outcome.kind in {"accepted", "validated", "pending"} else outcome.reason,
            "request": Jsonb(outcome.request),
            "response": outcome.response,
            "duration_ms": duration_s * 1000,
        }
        state = {
            "id": delivery.id,
            "holder": self._hold.number,
            "state": settlement.state,
            "reason": settlement.reason,
            "next_attempt_at": settlement.next_attempt_at,
            "receipt": settlement.receipt,
            "accepted_at": settlement.accepted_at,
            "validated_at": settlement.validated_at,
            "in_doubt_since": settlement.in_doubt_since,
            "sent": int(sent),
        }

        async def work(connection: psycopg.AsyncConnection[Any]) -> None:
            await connection.execute(_SQL["delivery_attempt_put"], noted)
            moved = await (await connection.execute(_SQL["delivery_settle"], state)).fetchall()
            # Those who look at the alert see at once how far it has come.
            await announce(connection, DELIVERY_WRITER, moved, "updated", at=self._clock.now())

        await self._hold.transact(work)
