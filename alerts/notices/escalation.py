"""The escalation table at work: whoever must be told because nobody acknowledged in time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg

from alerts.model import AlertRow, load
from alerts.notices.plan import escalate
from core.clock import Clock
from core.settings import Settings
from core.sql import queries
from sensors.registry import Registry

_SQL = queries(__package__)
# While a mute window or a cause keeps the raise from people, nobody can have acknowledged it.
_LATER = timedelta(minutes=1)


async def escalate_due(
    connection: psycopg.AsyncConnection[Any], registry: Registry, settings: Settings, clock: Clock
) -> str:
    """Tell of every step that is due, or cancel it; what was done in words, empty where nothing was.

    Each step is one transaction, so that one that fails holds up no other.
    """
    told = cancelled = 0
    while True:
        async with connection.transaction():
            row = await (await connection.execute(_SQL["escalation_due"], {"now": clock.now()})).fetchone()
            if row is None:
                break
            alert_id, step, roles = row
            # An acknowledgement that is being written is waited for: it cancels the step.
            alert = await load(connection, alert_id, lock=True)
            reason = _cancelled(alert)
            if not reason and await _is_hushed(connection, alert_id):
                later = {"alert_id": alert_id, "step": step, "due_at": clock.now() + _LATER}
                await connection.execute(_SQL["escalation_later"], later)
                continue
            if not reason and alert.site_id in registry.sites:
                await escalate(connection, alert, step, roles, registry, settings, clock)
            settled = {
                "alert_id": alert_id,
                "step": step,
                "state": "cancelled" if reason else "told",
                "reason": reason,
                "now": clock.now(),
            }
            await connection.execute(_SQL["escalation_settle"], settled)
        told, cancelled = told + (not reason), cancelled + bool(reason)
    return f"{told} told, {cancelled} cancelled" if told or cancelled else ""


async def _is_hushed(connection: psycopg.AsyncConnection[Any], alert_id: int) -> bool:
    row = await (await connection.execute(_SQL["hushed"], {"alert_id": alert_id})).fetchone()
    return bool(row and row[0])


def _cancelled(alert: AlertRow) -> str:
    if alert.acknowledged_at is not None:
        return "acknowledged"
    if alert.verdict == "false_alarm":
        return "false_alarm"
    return "" if alert.is_open else "over"
