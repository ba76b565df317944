"""The delivery worker's side of the outbox: claim under a lease, and record what came of it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from alerts.adapters.base import Delivery, Outcome
from alerts.announce import announce
from alerts.gate import TargetState, after_call, after_claim, allowance, is_failure
from alerts.hold import LEASE_MARGIN_S, LOCK_SPACE, Hold
from alerts.settlement import Settlement
from core.clock import Clock
from core.settings import DatabaseSettings, TargetSettings
from core.sql import queries

DELIVERY_WRITER = "alerts-delivery"
"""The delivery worker's name in the log."""

_SQL = queries("alerts")
_CLAIM = sql.SQL(_SQL["delivery_claim"]).format(due=sql.SQL("d.next_attempt_at <= %(now)s"), first=sql.SQL(""))
# A probe takes what was tried least: what the regulator chokes on must not hide that it is back.
_PROBE = sql.SQL(_SQL["delivery_claim"]).format(
    due=sql.SQL("d.next_attempt_at IS NOT NULL"), first=sql.SQL("d.attempts,")
)


class Ledger:
    """One worker's access to the deliveries; every method waits while the database is away."""

    def __init__(self, settings: DatabaseSettings, *, clock: Clock) -> None:
        self._hold = Hold(settings, application="delivery", clock=clock)
        self._clock = clock

    async def close(self) -> None:
        """Give up every lease."""
        await self._hold.close()

    async def claim(self, target: TargetSettings, limit: int, *, batch: int = 1) -> list[Delivery]:
        """Lease due deliveries of a target for at most `limit` calls of `batch` deliveries each, oldest first.

        An alert's deliveries keep their order: one is due only when those before it were accepted or withdrawn. There
        are fewer, or none, where the target's switch, its rate, a pause or an open circuit says so.
        """
        now = self._clock.now()
        parameters = {
            "target": target.name,
            "now": now,
            "until": now + timedelta(seconds=target.timeout_s + LEASE_MARGIN_S),
            "holder": self._hold.number,
            "space": LOCK_SPACE,
            "keyless": not target.keys,
            "ordered": target.ordered,
        }

        async def work(connection: psycopg.AsyncConnection[Any]) -> list[Delivery]:
            if not target.keys and target.on_uncertain == "ask":
                await connection.execute(_SQL["delivery_doubt_orphans"], parameters)
            async with connection.cursor(row_factory=dict_row) as cursor:
                state = await _read(cursor, target)
                if target.per_minute or not _is_well(state, now):
                    state = await _read(cursor, target, lock=True)
                allowed = allowance(state, target, wanted=limit, now=now)
                if not allowed.calls:
                    return []
                most = 1 if target.ordered or allowed.probe else allowed.calls * batch
                await cursor.execute(_PROBE if allowed.probe else _CLAIM, {**parameters, "limit": most})
                rows = await cursor.fetchall()
                calls = -(-len(rows) // batch)
                await _keep(cursor, target, state, after_claim(state, target, allowed, calls=calls, now=now), now=now)
            for row in rows:
                if row.pop("orphaned"):
                    await connection.execute(_SQL["delivery_orphan_note"], {"id": row["id"], "now": now})
            return [Delivery(**row) for row in sorted(rows, key=lambda row: int(row["id"]))]

        return await self._hold.transact(work)

    async def note_skew(self, target: TargetSettings, skew_s: float) -> None:
        """Remember how far the regulator's clock is from ours."""
        noted = {"target": target.name, "skew_s": skew_s, "now": self._clock.now()}

        async def work(connection: psycopg.AsyncConnection[Any]) -> None:
            await connection.execute(_SQL["target_skew_put"], noted)

        await self._hold.transact(work)

    async def record(
        self,
        target: TargetSettings,
        delivery: Delivery,
        outcome: Outcome,
        settlement: Settlement,
        *,
        at: datetime,
        duration_s: float,
        first: bool = True,
    ) -> None:
        """Write the attempt, the new state, and what the call says of the target as a whole.

        `first` is False for further deliveries of the same call. Where another worker took the delivery over meanwhile,
        the attempt is kept, and the state only if it says that the regulator has it.
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
            if first:
                await self._judge(connection, target, outcome)

        await self._hold.transact(work)

    async def _judge(self, connection: psycopg.AsyncConnection[Any], target: TargetSettings, outcome: Outcome) -> None:
        """Remember what a call says of the target; when it is back, what waits for it is due at once."""
        now = self._clock.now()
        async with connection.cursor(row_factory=dict_row) as cursor:
            if not is_failure(outcome) and not outcome.retry_after_s and _is_well(await _read(cursor, target), now):
                return
            state = await _read(cursor, target, lock=True)
            new = after_call(state, target, outcome, now=now)
            await _keep(cursor, target, state, new, now=now)
            if state.is_open and not new.is_open:
                await cursor.execute(_SQL["delivery_hasten"], {"target": target.name, "now": now})


async def _read(
    cursor: psycopg.AsyncCursor[dict[str, Any]], target: TargetSettings, *, lock: bool = False
) -> TargetState:
    """The target's state; with `lock` its row is made where it is missing, and locked until the transaction ends."""
    asked = {"target": target.name}
    if lock:
        await cursor.execute(_SQL["target_make"], asked)
    await cursor.execute(_SQL["target_lock" if lock else "target_read"], asked)
    row = await cursor.fetchone()
    return TargetState() if row is None else TargetState(**row)


async def _keep(
    cursor: psycopg.AsyncCursor[dict[str, Any]],
    target: TargetSettings,
    old: TargetState,
    new: TargetState,
    *,
    now: datetime,
) -> None:
    if new != old:
        await cursor.execute(_SQL["target_put"], {"target": target.name, "now": now, **asdict(new)})


def _is_well(state: TargetState, now: datetime) -> bool:
    """Whether nothing is remembered against the target."""
    return not state.failures and not state.is_open and (state.paused_until is None or state.paused_until <= now)
