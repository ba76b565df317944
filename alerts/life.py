"""An alert's life as the engine drives it: raised, joined, followed, cleared, withdrawn.

Every step happens inside the caller's transaction and leaves the alert's row, a line of its history, what regulators
and people are to be told, and an entry of the log: all of it or nothing. What people do with an alert is in
alerts.desk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from alerts import hush, notices, outbox, record
from alerts.announce import announce
from alerts.engine import Progress, Sighting, Transition
from alerts.exemption import exemption
from alerts.model import AlertRow, load
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
from core.settings import Settings
from core.sql import queries
from sensors.registry import Registry

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
    limit, metric, unit = measure(told.rule)
    limit = limit if told.limit is None else told.limit
    sighting = told.sighting
    exempt = exemption(told.exempt, told.site, told.started_at, registry)
    await hold_evidence(connection, sighting)
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
    await record.note(connection, alert, "raised", record.ENGINE, detail, clock)
    if exempt is None:
        await outbox.enqueue(connection, alert, "raise", registry, settings, clock)
        await notices.plan(connection, alert, "raised", registry, settings, clock)
        if why := await hush.hold(connection, alert, told.rule, clock.now()):
            await record.note(connection, alert, "hushed", record.ENGINE, {"reason": why}, clock)
        await hush.inhibit(connection, alert)
    await announce(connection, record.ENGINE_WRITER, [(alert.id, alert.site_id)], "raised", at=clock.now())
    return alert


async def join(connection: psycopg.AsyncConnection[Any], told: Transition, *, clock: Clock) -> None:
    """Another episode joins the open alert of its rule and camera: part of its history, no new notice."""
    alert_id = await find_open(connection, told)
    if alert_id is None or told.sighting is None:
        return
    await hold_evidence(connection, told.sighting)
    await connection.execute(
        _SQL["alert_join"], {"alert_id": alert_id, "max_value": told.worst, "last_value": told.last}
    )
    alert = await load(connection, alert_id)
    detail = {
        "episode": told.sighting.episode,
        "frame_sha256": told.sighting.frame_sha256,
        "crop_sha256": told.sighting.crop_sha256,
    }
    await record.note(connection, alert, "joined", record.ENGINE, detail, clock)
    await announce(connection, record.ENGINE_WRITER, [(alert.id, alert.site_id)], "updated", at=clock.now())


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
    kept = alert.severity_by is not None and record.rank(told.severity) <= record.rank(alert.severity)
    await record.change_severity(
        connection,
        alert,
        alert.severity if kept else told.severity,
        record.ENGINE,
        {"value": told.last, "limit": told.limit, **({"level": told.severity} if kept else {})},
        by=alert.severity_by if kept else None,
        told=told,
        writer=record.ENGINE_WRITER,
        registry=registry,
        settings=settings,
        clock=clock,
    )


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
    return await record.close(
        connection,
        alert_id,
        "auto",
        ended_at=None if told.ended_at is None else from_micros(told.ended_at),
        last=told.last,
        worst=told.worst,
        detail={"value": told.last, **({"reason": told.reason} if told.reason else {})},
        writer=record.ENGINE_WRITER,
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
    return await record.close(
        connection,
        alert_id,
        "auto",
        detail={"reason": reason},
        writer=record.ENGINE_WRITER,
        registry=registry,
        settings=settings,
        clock=clock,
    )


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
    await announce(connection, record.ENGINE_WRITER, await cursor.fetchall(), "updated", at=clock.now())


async def find_open(connection: psycopg.AsyncConnection[Any], told: Transition) -> int | None:
    """The open alert of a transition's rule and subject, its row locked; None where there is none."""
    cursor = await connection.execute(_SQL["alert_find_open"], {"rule": told.rule.id, "subject": told.subject})
    row = await cursor.fetchone()
    return None if row is None else int(row[0])


async def hold_evidence(connection: psycopg.AsyncConnection[Any], sighting: Sighting | None) -> None:
    """Keep a sighting's pictures from being removed until the caller's transaction ends."""
    if sighting is not None:
        digests = [sighting.frame_sha256, sighting.crop_sha256]
        await connection.execute(_SQL["evidence_hold"], {"digests": digests})


def measure(rule: AnyRule) -> tuple[float | None, str, str]:
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
