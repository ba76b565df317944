"""What a step of an alert's life leaves behind, whoever took it: the row, its history, what is told, the log's entry.

Inside the caller's transaction, which makes it all of that or nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from alerts import hush, notices, outbox
from alerts.announce import announce
from alerts.engine import Transition
from alerts.model import SEVERITIES, AlertRow, Severity, load
from core.clock import Clock
from core.errors import Conflict
from core.settings import Settings
from core.sql import queries
from sensors.registry import Registry

ENGINE = "engine"
"""Actor of what no person did."""

ENGINE_WRITER = "alerts-engine"
DESK_WRITER = "alerts-desk"

_SQL = queries("alerts")


async def change_severity(
    connection: psycopg.AsyncConnection[Any],
    alert: AlertRow,
    severity: Severity,
    actor: str,
    detail: dict[str, Any],
    *,
    by: str | None,
    writer: str,
    registry: Registry,
    settings: Settings,
    clock: Clock,
    told: Transition | None = None,
) -> AlertRow:
    """Give an open alert another severity, set by a person (`by`) or by its rule (`told`), and tell of a rise."""
    await connection.execute(
        _SQL["alert_severity"],
        {
            "alert_id": alert.id,
            "severity": severity,
            "peak": max(severity, alert.peak_severity, key=rank),
            "by": by,
            "limit_value": told.limit if told else None,
            "last_value": told.last if told else None,
            "max_value": told.worst if told else None,
        },
    )
    after = await load(connection, alert.id)
    await note(connection, after, "severity", actor, {"from": alert.severity, "to": severity, **detail}, clock)
    if after.exempt is None and rank(severity) > rank(alert.peak_severity):
        await outbox.amend(connection, after, registry, settings, clock)
    if after.exempt is None and rank(severity) > rank(alert.severity):
        await notices.plan(connection, after, "severity", registry, settings, clock)
        if told is not None:
            await hush.hold(connection, after, told.rule, clock.now())
    await announce(connection, writer, [(after.id, after.site_id)], "updated", at=clock.now())
    return after


async def close(
    connection: psycopg.AsyncConnection[Any],
    alert_id: int,
    actor: str,
    *,
    detail: dict[str, Any],
    writer: str,
    registry: Registry,
    settings: Settings,
    clock: Clock,
    ended_at: datetime | None = None,
    last: float | None = None,
    worst: float | None = None,
) -> AlertRow:
    """Clear an alert and tell of its end; `actor` is `auto` or a person."""
    await connection.execute(
        _SQL["alert_clear"],
        {
            "alert_id": alert_id,
            "now": clock.now(),
            "actor": actor,
            "ended_at": ended_at,
            "last_value": last,
            "max_value": worst,
        },
    )
    alert = await load(connection, alert_id)
    await note(connection, alert, "cleared", ENGINE if actor == "auto" else actor, detail, clock)
    if alert.exempt is None:
        await outbox.enqueue(connection, alert, "end", registry, settings, clock)
        await notices.plan(connection, alert, "cleared", registry, settings, clock)
    await announce(connection, writer, [(alert.id, alert.site_id)], "cleared", at=clock.now())
    return alert


async def note(
    connection: psycopg.AsyncConnection[Any],
    alert: AlertRow,
    kind: str,
    actor: str,
    detail: dict[str, Any],
    clock: Clock,
    *,
    key: str | None = None,
) -> bool:
    """Add a line to an alert's history; False where this person had it written under the same key before.

    Raises:
        Conflict: under this key the person had something else written.
    """
    asked = {"alert_id": alert.id, "actor": actor, "key": key}
    values = {**asked, "now": clock.now(), "kind": kind, "detail": Jsonb(detail)}
    if await (await connection.execute(_SQL["alert_event_put"], values)).fetchone() is not None:
        return True
    known = await (await connection.execute(_SQL["alert_event_asked"], asked)).fetchone()
    if known != (kind, detail):
        raise Conflict("the idempotency key was used for something else", hint="choose a new key")
    return False


def rank(severity: Severity) -> int:
    """The place of a severity, 0 the slightest."""
    return SEVERITIES.index(severity)
