"""Reminders of orders by the share of the time that is over, and with them escalation by role."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from alerts.rectification import telling
from alerts.rectification.model import CLOCK, IN_HAND, Order, load
from core.clock import Clock
from core.settings import Settings
from core.sql import queries
from sensors.registry import Registry

_SQL = queries(__package__)


async def prepare(connection: psycopg.AsyncConnection[Any], order: Order, settings: Settings) -> None:
    """Note when whom to remind, from the beginning of the term to its end and beyond."""
    term = order.deadline_at - order.term_from
    for wanted in settings.alerts.rectification.reminders:
        values = {
            "id": order.id,
            "share": wanted.share,
            "due_at": order.term_from + term * wanted.share,
            "roles": list(wanted.roles),
        }
        await connection.execute(_SQL["reminder_put"], values)


async def cancel(connection: psycopg.AsyncConnection[Any], order_id: int, reason: str, *, now: datetime) -> None:
    """Nobody is to be reminded any more."""
    await connection.execute(_SQL["reminders_cancel"], {"id": order_id, "reason": reason, "now": now})


async def remind_due(connection: psycopg.AsyncConnection[Any], registry: Registry, clock: Clock) -> str:
    """Remind of every order that is due, each in a transaction; what was done in words, empty where nothing was."""
    told = 0
    while True:
        async with connection.transaction():
            now = clock.now()
            row = await (await connection.execute(_SQL["reminder_due"], {"now": now})).fetchone()
            if row is None:
                return f"{told} reminded" if told else ""
            reminder, order_id, share, roles = row
            order = await load(connection, order_id, lock=True)
            later = {"id": order_id, "now": now, "share": share}
            reason = ""
            if order.state not in IN_HAND or order.site_id not in registry.sites:
                reason = "closed"
            elif await (await connection.execute(_SQL["reminder_later"], later)).fetchone() is not None:
                reason = "later_one"
            else:
                phase: telling.OrderPhase = "overdue" if share >= 1 else "reminder"
                await telling.tell(
                    connection, order, phase, registry=registry, actor=CLOCK, clock=clock, roles=roles, step=reminder
                )
                await connection.execute(
                    _SQL["event_put"],
                    {
                        "id": order_id,
                        "now": now,
                        "version": order.version,
                        "kind": "reminded",
                        "actor": CLOCK,
                        "detail": Jsonb({"share": share, "roles": roles}),
                    },
                )
                told += 1
            state = "cancelled" if reason else "told"
            settled = {"reminder": reminder, "state": state, "reason": reason, "now": now}
            await connection.execute(_SQL["reminder_settle"], settled)
