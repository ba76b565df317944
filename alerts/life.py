"""An alert's life: raised, joined, followed, cleared, acknowledged, reviewed, assigned, commented.

Every step happens inside the caller's transaction and leaves the alert's row, a line of its history, what regulators
and people are to be told, and an entry of the log: all of it or nothing. Clearing by hand is allowed while the value is
still beyond its limit: the engine then raises a new alert on the next violating reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from alerts import hush, notices, outbox
from alerts.announce import announce
from alerts.engine import Progress, Sighting, Transition
from alerts.exemption import exemption
from alerts.model import SEVERITIES, AlertRow, Severity, Verdict, load
from alerts.rules.base import spell
from alerts.rules.composite import CompositeRule
from alerts.rules.model import (
    AnyRule,
    CountRule,
    DayCountRule,
    OfflineRule,
    StateRule,
    StuckRule,
    ThresholdRule,
    WindowRule,
)
from core.clock import Clock, from_micros
from core.errors import Conflict
from core.settings import Settings
from core.sql import queries
from sensors.registry import Registry

ENGINE = "engine"
"""Actor of what no person did."""

ENGINE_WRITER = "alerts-engine"
DESK_WRITER = "alerts-desk"

_SQL = queries("alerts")


async def raise_(
    connection: psycopg.AsyncConnection[Any],
    told: Transition,
    version: int,
    *,
    registry: Registry,
    settings: Settings,
    clock: Clock,
) -> AlertRow | None:
    """Open an alert of version `version` of its rule; None where this violation has its alert already."""
    limit, metric, unit = _measure(told.rule)
    limit = limit if told.limit is None else told.limit
    sighting = told.sighting
    exempt = exemption(told.exempt, told.site, told.started_at, registry)
    await _hold_evidence(connection, sighting)
    cursor = await connection.execute(
        _SQL["alert_put"],
        {
            "rule": told.rule.id,
            "rule_version": version,
            "rule_kind": told.rule.kind,
            "subject": told.subject,
            "site_id": told.site,
            "device_id": told.device,
            "camera_id": told.camera,
            "metric": metric,
            "unit": unit,
            "severity": told.severity or told.rule.severity,
            "started_at": from_micros(told.started_at),
            "now": clock.now(),
            "first_value": told.first,
            "last_value": told.last,
            "max_value": told.worst,
            "limit_value": limit,
            "quality": Jsonb(told.quality),
            "episode_id": sighting.episode if sighting else None,
            "frame_sha256": sighting.frame_sha256 if sighting else None,
            "crop_sha256": sighting.crop_sha256 if sighting else None,
            "exempt": None if exempt is None else Jsonb(exempt),
        },
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    alert = await load(connection, row[0])
    detail = {"value": told.first, "limit": limit, **({} if exempt is None else {"exempt": exempt})}
    await _note(connection, alert, "raised", ENGINE, detail, clock)
    if exempt is None:
        await outbox.enqueue(connection, alert, "raise", registry, settings, clock)
        await notices.plan(connection, alert, "raised", registry, settings, clock)
        if why := await hush.hold(connection, alert, told.rule, clock.now()):
            await _note(connection, alert, "hushed", ENGINE, {"reason": why}, clock)
        await hush.inhibit(connection, alert)
    await announce(connection, ENGINE_WRITER, [(alert.id, alert.site_id)], "raised", at=clock.now())
    return alert


async def join(connection: psycopg.AsyncConnection[Any], told: Transition, *, clock: Clock) -> None:
    """Another episode joins the open alert of its rule and camera: part of its history, no new notice."""
    alert_id = await find_open(connection, told)
    if alert_id is None or told.sighting is None:
        return
    await _hold_evidence(connection, told.sighting)
    await connection.execute(
        _SQL["alert_join"], {"alert_id": alert_id, "max_value": told.worst, "last_value": told.last}
    )
    alert = await load(connection, alert_id)
    detail = {
        "episode": told.sighting.episode,
        "frame_sha256": told.sighting.frame_sha256,
        "crop_sha256": told.sighting.crop_sha256,
    }
    await _note(connection, alert, "joined", ENGINE, detail, clock)
    await announce(connection, ENGINE_WRITER, [(alert.id, alert.site_id)], "updated", at=clock.now())


async def follow(
    connection: psycopg.AsyncConnection[Any],
    told: Transition,
    *,
    registry: Registry,
    settings: Settings,
    clock: Clock,
) -> None:
    """The violation has reached another level of its rule: the open alert's severity follows it.

    Targets that are told from this severity on get their raise now, others an amendment of theirs where they take any.
    A severity that a person has set stays until the rule says worse.
    """
    alert_id = await find_open(connection, told)
    if alert_id is None or told.severity is None:
        return
    alert = await load(connection, alert_id)
    kept = alert.severity_by is not None and _rank(told.severity) <= _rank(alert.severity)
    await _set_severity(
        connection,
        alert,
        alert.severity if kept else told.severity,
        ENGINE,
        {"value": told.last, "limit": told.limit, **({"level": told.severity} if kept else {})},
        by=alert.severity_by if kept else None,
        told=told,
        writer=ENGINE_WRITER,
        registry=registry,
        settings=settings,
        clock=clock,
    )


async def _set_severity(
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
    await connection.execute(
        _SQL["alert_severity"],
        {
            "alert_id": alert.id,
            "severity": severity,
            "peak": max(severity, alert.peak_severity, key=_rank),
            "by": by,
            "limit_value": told.limit if told else None,
            "last_value": told.last if told else None,
            "max_value": told.worst if told else None,
        },
    )
    after = await load(connection, alert.id)
    await _note(connection, after, "severity", actor, {"from": alert.severity, "to": severity, **detail}, clock)
    if after.exempt is None and _rank(severity) > _rank(alert.peak_severity):
        await outbox.amend(connection, after, registry, settings, clock)
    if after.exempt is None and _rank(severity) > _rank(alert.severity):
        await notices.plan(connection, after, "severity", registry, settings, clock)
        if told is not None:
            await hush.hold(connection, after, told.rule, clock.now())
    await announce(connection, writer, [(after.id, after.site_id)], "updated", at=clock.now())
    return after


async def end(
    connection: psycopg.AsyncConnection[Any],
    told: Transition,
    *,
    registry: Registry,
    settings: Settings,
    clock: Clock,
) -> AlertRow | None:
    """Clear the open alert of a violation that is over; None where a person was quicker.

    What it explained is told by `hush.uninhibit`, which the caller calls when all that ended with it is cleared too.
    """
    alert_id = await find_open(connection, told)
    if alert_id is None:
        return None
    return await _clear(
        connection,
        alert_id,
        "auto",
        ended_at=None if told.ended_at is None else from_micros(told.ended_at),
        last=told.last,
        worst=told.worst,
        detail={"value": told.last, **({"reason": told.reason} if told.reason else {})},
        writer=ENGINE_WRITER,
        registry=registry,
        settings=settings,
        clock=clock,
    )


async def withdraw(
    connection: psycopg.AsyncConnection[Any],
    alert_id: int,
    reason: str,
    *,
    registry: Registry,
    settings: Settings,
    clock: Clock,
) -> AlertRow:
    """Clear an alert that no rule in force looks at any more; `reason` is `rule_withdrawn` or `out_of_scope`."""
    return await _clear(
        connection,
        alert_id,
        "auto",
        detail={"reason": reason},
        writer=ENGINE_WRITER,
        registry=registry,
        settings=settings,
        clock=clock,
    )


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
    cleared = await _clear(
        connection,
        alert_id,
        actor,
        detail={"comment": comment} if comment else {},
        writer=DESK_WRITER,
        registry=registry,
        settings=settings,
        clock=clock,
    )
    await hush.uninhibit(connection, cleared, clock.now())
    return cleared


async def progress(connection: psycopg.AsyncConnection[Any], moved: Sequence[Progress], *, clock: Clock) -> None:
    """Bring last and worst values of open alerts up to date."""
    if not moved:
        return
    cursor = await connection.execute(
        _SQL["alert_progress"],
        {
            "rules": [item.rule for item in moved],
            "subjects": [item.subject for item in moved],
            "last": [item.last for item in moved],
            "worst": [item.worst for item in moved],
        },
    )
    await announce(connection, ENGINE_WRITER, await cursor.fetchall(), "updated", at=clock.now())


async def acknowledge(
    connection: psycopg.AsyncConnection[Any], alert_id: int, actor: str, clock: Clock, *, comment: str = ""
) -> AlertRow:
    """A person has seen the alert. Once is enough: the first acknowledgement stands, a later one changes nothing.

    Raises:
        NotFound: there is no such alert.
    """
    alert = await load(connection, alert_id, lock=True)
    if alert.acknowledged_at is not None:
        return alert
    await connection.execute(_SQL["alert_acknowledge"], {"alert_id": alert_id, "now": clock.now(), "actor": actor})
    await _note(connection, alert, "acknowledged", actor, {"comment": comment} if comment else {}, clock)
    await announce(connection, DESK_WRITER, [(alert.id, alert.site_id)], "acknowledged", at=clock.now())
    return await load(connection, alert_id)


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
    await _note(
        connection,
        alert,
        "reviewed",
        actor,
        {"verdict": verdict, "reason": reason} | ({"seen": seen} if seen else {}),
        clock,
    )
    await outbox.release(connection, alert, verdict, clock)
    await announce(connection, DESK_WRITER, [(alert.id, alert.site_id)], "reviewed", at=clock.now())
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
    return await _set_severity(
        connection,
        alert,
        severity,
        actor,
        {"reason": reason} if reason else {},
        by=actor,
        writer=DESK_WRITER,
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
        await _note(connection, assigned, "assigned", actor, {"person": person}, clock)
        await announce(connection, DESK_WRITER, [(alert.id, alert.site_id)], "updated", at=clock.now())
    return assigned


async def comment(connection: psycopg.AsyncConnection[Any], alert_id: int, text: str, actor: str, clock: Clock) -> None:
    """Add a remark to the alert's history.

    Raises:
        NotFound: there is no such alert.
    """
    alert = await load(connection, alert_id)
    await _note(connection, alert, "commented", actor, {"comment": text}, clock)
    await announce(connection, DESK_WRITER, [(alert.id, alert.site_id)], "updated", at=clock.now())


async def _clear(
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
    await _note(connection, alert, "cleared", ENGINE if actor == "auto" else actor, detail, clock)
    if alert.exempt is None:
        await outbox.enqueue(connection, alert, "end", registry, settings, clock)
        await notices.plan(connection, alert, "cleared", registry, settings, clock)
    await announce(connection, writer, [(alert.id, alert.site_id)], "cleared", at=clock.now())
    return alert


async def find_open(connection: psycopg.AsyncConnection[Any], told: Transition) -> int | None:
    """The open alert of a transition's rule and subject, its row locked; None where there is none."""
    cursor = await connection.execute(_SQL["alert_find_open"], {"rule": told.rule.id, "subject": told.subject})
    row = await cursor.fetchone()
    return None if row is None else int(row[0])


async def _hold_evidence(connection: psycopg.AsyncConnection[Any], sighting: Sighting | None) -> None:
    if sighting is not None:
        digests = [sighting.frame_sha256, sighting.crop_sha256]
        await connection.execute(_SQL["evidence_hold"], {"digests": digests})


async def _note(
    connection: psycopg.AsyncConnection[Any],
    alert: AlertRow,
    kind: str,
    actor: str,
    detail: dict[str, Any],
    clock: Clock,
) -> None:
    await connection.execute(
        _SQL["alert_event_put"],
        {"alert_id": alert.id, "now": clock.now(), "kind": kind, "actor": actor, "detail": Jsonb(detail)},
    )


def _rank(severity: Severity) -> int:
    return SEVERITIES.index(severity)


def _measure(rule: AnyRule) -> tuple[float | None, str, str]:
    """Limit, metric and unit of a rule's alerts."""
    if isinstance(rule, WindowRule) and rule.per is not None:
        return rule.raise_level, rule.metric, f"{rule.unit}/{spell(rule.per)}"
    if isinstance(rule, ThresholdRule | WindowRule | CountRule | DayCountRule):
        return rule.raise_level, rule.metric, rule.unit
    if isinstance(rule, CompositeRule):
        first = rule.conditions[0]
        return None if first.raise_on else first.levels[1], first.metric, first.unit
    if isinstance(rule, OfflineRule):
        return rule.after.total_seconds(), "silence", "s"
    if isinstance(rule, StateRule | StuckRule):
        return None, rule.metric, ""
    return None, rule.episode, ""
