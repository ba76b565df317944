"""What people do with an alert: clear, acknowledge, review, assign, comment, judge its severity.

Every step happens inside the caller's transaction, as those of the engine do (alerts.life). Clearing by hand is allowed
while the value is still beyond its limit: the engine then raises a new alert on the next violating reading.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import psycopg

from alerts import hush, outbox, record
from alerts.announce import announce
from alerts.model import AlertRow, Severity, Verdict, load
from core.clock import Clock
from core.errors import Conflict
from core.settings import Settings
from core.sql import queries
from sensors.registry import Registry

_SQL = queries("alerts")


async def clear(
    connection: psycopg.AsyncConnection[Any],
    alert_id: int,
    actor: str,
    clock: Clock,
    *,
    registry: Registry,
    settings: Settings,
    comment: str = "",
) -> AlertRow:
    """Clear by hand. The violation's end is not known then: `ended_at` stays empty.

    Raises:
        NotFound: there is no such alert.
        Conflict: it is cleared already.
    """
    alert = await load(connection, alert_id, lock=True)
    if not alert.is_open:
        raise Conflict(f"alert {alert_id} was cleared by {alert.cleared_by}")
    cleared = await record.close(
        connection,
        alert_id,
        actor,
        detail={"comment": comment} if comment else {},
        writer=record.DESK_WRITER,
        registry=registry,
        settings=settings,
        clock=clock,
    )
    await hush.uninhibit(connection, cleared, clock.now())
    return cleared


class Acknowledged(NamedTuple):
    """The alert, and what was written of it now: the acknowledgement, only the remark that came with it, or nothing."""

    alert: AlertRow
    written: Literal["acknowledged", "commented"] | None


async def acknowledge(
    connection: psycopg.AsyncConnection[Any],
    alert_id: int,
    actor: str,
    clock: Clock,
    *,
    comment: str = "",
    key: str | None = None,
) -> Acknowledged:
    """A person has seen the alert. Once is enough: the first acknowledgement stands.

    Of a later one only the remark is kept, and not what the person has said of the alert before.

    Raises:
        NotFound: there is no such alert.
        Conflict: under this key the person had something else written.
    """
    alert = await load(connection, alert_id, lock=True)
    detail = {"comment": comment} if comment else {}
    if alert.acknowledged_at is None:
        await connection.execute(_SQL["alert_acknowledge"], {"alert_id": alert_id, "now": clock.now(), "actor": actor})
        await record.note(connection, alert, "acknowledged", actor, detail, clock, key=key)
        await announce(connection, record.DESK_WRITER, [(alert.id, alert.site_id)], "acknowledged", at=clock.now())
        return Acknowledged(await load(connection, alert_id), "acknowledged")
    said = {"alert_id": alert_id, "actor": actor, "comment": comment}
    if not comment or await (await connection.execute(_SQL["alert_event_said"], said)).fetchone() is not None:
        return Acknowledged(alert, None)
    await record.note(connection, alert, "commented", actor, detail, clock, key=key)
    await announce(connection, record.DESK_WRITER, [(alert.id, alert.site_id)], "updated", at=clock.now())
    return Acknowledged(alert, "commented")


async def review(
    connection: psycopg.AsyncConnection[Any],
    alert_id: int,
    verdict: Verdict,
    actor: str,
    reason: str,
    clock: Clock,
    *,
    seen: str | None = None,
) -> AlertRow:
    """A person has judged the alert; what waited for that is sent or withdrawn. The same verdict again does nothing.

    `seen` is what a false alarm really was, for those who train the detector: `helmet` or `nothing`.

    Raises:
        NotFound: there is no such alert.
        Conflict: it was judged otherwise before.
    """
    alert = await load(connection, alert_id, lock=True)
    if alert.verdict is not None:
        if alert.verdict != verdict:
            raise Conflict(f"alert {alert_id} was reviewed as {alert.verdict} by {alert.reviewed_by}")
        return alert
    await connection.execute(
        _SQL["alert_review"], {"alert_id": alert_id, "verdict": verdict, "now": clock.now(), "actor": actor}
    )
    alert = await load(connection, alert_id)
    await record.note(
        connection,
        alert,
        "reviewed",
        actor,
        {"verdict": verdict, "reason": reason} | ({"seen": seen} if seen else {}),
        clock,
    )
    await outbox.release(connection, alert, verdict, clock)
    await announce(connection, record.DESK_WRITER, [(alert.id, alert.site_id)], "reviewed", at=clock.now())
    return alert


async def set_severity(
    connection: psycopg.AsyncConnection[Any],
    alert_id: int,
    severity: Severity,
    actor: str,
    reason: str,
    clock: Clock,
    *,
    registry: Registry,
    settings: Settings,
) -> AlertRow:
    """A person finds the alert more or less severe. It stays so until the rule says worse; the same again does nothing.

    Raises:
        NotFound: there is no such alert.
        Conflict: it is cleared.
    """
    alert = await load(connection, alert_id, lock=True)
    if not alert.is_open:
        raise Conflict(f"alert {alert_id} is over: its severity stays {alert.severity}")
    if alert.severity == severity and alert.severity_by is not None:
        return alert
    return await record.change_severity(
        connection,
        alert,
        severity,
        actor,
        {"reason": reason} if reason else {},
        by=actor,
        writer=record.DESK_WRITER,
        registry=registry,
        settings=settings,
        clock=clock,
    )


async def assign(
    connection: psycopg.AsyncConnection[Any], alert_id: int, person: str | None, actor: str, clock: Clock
) -> AlertRow:
    """Say who deals with the alert (a person's code), or that nobody does; the same again does nothing.

    Raises:
        NotFound: there is no such alert.
    """
    alert = await load(connection, alert_id, lock=True)
    await connection.execute(_SQL["alert_assign"], {"alert_id": alert_id, "person": person, "now": clock.now()})
    assigned = await load(connection, alert_id)
    if assigned.assigned_to != alert.assigned_to:
        await record.note(connection, assigned, "assigned", actor, {"person": person}, clock)
        await announce(connection, record.DESK_WRITER, [(alert.id, alert.site_id)], "updated", at=clock.now())
    return assigned


async def comment(
    connection: psycopg.AsyncConnection[Any],
    alert_id: int,
    text: str,
    actor: str,
    clock: Clock,
    *,
    key: str | None = None,
) -> bool:
    """Add a remark to the alert's history; False where it was added under the same key before.

    Raises:
        NotFound: there is no such alert.
        Conflict: under this key the person had something else written.
    """
    alert = await load(connection, alert_id)
    if not await record.note(connection, alert, "commented", actor, {"comment": text}, clock, key=key):
        return False
    await announce(connection, record.DESK_WRITER, [(alert.id, alert.site_id)], "updated", at=clock.now())
    return True
