"""The outbox: what is to be reported to regulators, written in the transaction of the alert's transition.

States of a delivery: `held` (waits for a review), `pending` (due), `accepted` (the regulator has it), `validated` and
`rejected` (its later result), `config_error` (a person must mend something), `uncertain` (nobody knows whether the
regulator has it), `dead` (given up), `withdrawn` (reviewed as a false alarm before it was sent).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from alerts import adapters, event
from alerts.event import Phase
from alerts.model import SEVERITIES, AlertRow, Verdict, load
from alerts.registration import missing
from core.clock import Clock, micros
from core.errors import Conflict, NotFound
from core.settings import Settings, TargetSettings
from core.sql import queries
from sensors.registry import Registry, Site

CHANNEL = "smartsite_outbox"
"""Notified when deliveries or notifications became due."""

_SQL = queries("alerts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """A delivery at `config_error`, `uncertain` or `dead`."""

    id: int
    alert_id: int
    target: str
    phase: Phase
    state: str
    reason: str
    created_at: datetime


async def enqueue(
    connection: psycopg.AsyncConnection[Any],
    alert: AlertRow,
    phase: Phase,
    registry: Registry,
    settings: Settings,
    clock: Clock,
) -> None:
    """Write a delivery for every target that wants this phase of the alert; a second time does nothing."""
    targets = _those_who_want(alert, phase, registry, settings)
    raises = await _raises(connection, alert) if phase == "end" else {}
    for target in targets:
        state = raises[target.name].state if target.name in raises else None
        await _put(connection, alert, target, phase, 0, state, registry, clock)
    if targets:
        await ring(connection)


async def amend(
    connection: psycopg.AsyncConnection[Any], alert: AlertRow, registry: Registry, settings: Settings, clock: Clock
) -> None:
    """The alert has become more severe than it ever was: targets that now want its raise get it, and those that have
    it get the next amendment of it, where they take any. The caller holds the lock of the alert's row.
    """
    targets = _those_who_want(alert, "raise", registry, settings)
    raises = await _raises(connection, alert)
    for target in targets:
        told = raises.get(target.name)
        if told is None:
            await _put(connection, alert, target, "raise", 0, None, registry, clock)
        elif adapters.amends(target):
            await _put(connection, alert, target, "raise", told.amendment + 1, told.state, registry, clock)
    if targets:
        await ring(connection)


async def release(connection: psycopg.AsyncConnection[Any], alert: AlertRow, verdict: Verdict, clock: Clock) -> None:
    """Let go of what waited for the review: `confirmed` is sent now, `false_alarm` is withdrawn where not yet sent."""
    name = "delivery_release" if verdict == "confirmed" else "delivery_withdraw"
    await connection.execute(_SQL[name], {"alert_id": alert.id, "now": clock.now()})
    await ring(connection)


async def resend(
    connection: psycopg.AsyncConnection[Any],
    delivery_id: int,
    registry: Registry,
    targets: Sequence[TargetSettings],
    clock: Clock,
) -> str:
    """Take up a delivery again that stopped at `config_error`, `uncertain` or `dead`; return its new state.

    What was stopped for missing registration data gets the data that the site has now. The key stays, so that a
    receiver with keys is never told twice.

    Raises:
        NotFound: there is no such delivery.
        Conflict: it has not stopped, or its target is not among `targets` any more.
    """
    async with connection.transaction():
        row = await (await connection.execute(_SQL["delivery_lock"], {"id": delivery_id})).fetchone()
        if row is None:
            raise NotFound(f"there is no delivery {delivery_id}")
        alert_id, name, state, payload = row
        if state not in {"config_error", "uncertain", "dead"}:
            raise Conflict(f"delivery {delivery_id} is {state}", hint="only what has stopped can be sent again")
        alert = await load(connection, alert_id)
        target = next((target for target in targets if target.name == name), None)
        if target is None:
            raise Conflict(f"delivery {delivery_id} is for {name}, which is no target any more", hint="add it again")
        new_state, reason = _gate(alert, target, registry, None)
        if state == "config_error":
            site = registry.sites[alert.site_id]
            subject = event.subject_part(alert, registry)
            payload = {**payload, "site": event.site_part(site, registry), "subject": subject}
        await connection.execute(
            _SQL["delivery_resend"],
            {
                "id": delivery_id,
                "state": new_state,
                "reason": reason,
                "payload": Jsonb(payload),
                "now": clock.now(),
            },
        )
        await ring(connection)
    return new_state


async def confirm(
    connection: psycopg.AsyncConnection[Any], delivery_id: int, actor: str, reason: str, clock: Clock
) -> None:
    """Settle a delivery in doubt that a person found the regulator to have: accepted, and not sent again.

    Raises:
        NotFound: there is no such delivery.
        Conflict: it is not in doubt.
    """
    async with connection.transaction():
        row = await (await connection.execute(_SQL["delivery_lock"], {"id": delivery_id})).fetchone()
        if row is None:
            raise NotFound(f"there is no delivery {delivery_id}")
        if row[2] != "uncertain":
            raise Conflict(f"delivery {delivery_id} is {row[2]}", hint="only an uncertain one can be confirmed")
        found = f"the regulator has it, says {actor}: {reason}"[:500]
        await connection.execute(_SQL["delivery_confirm"], {"id": delivery_id, "reason": found, "now": clock.now()})
        await ring(connection)


async def stopped(connection: psycopg.AsyncConnection[Any]) -> list[Stopped]:
    """Deliveries that go on only by a person's hand, oldest first."""
    async with connection.cursor(row_factory=class_row(Stopped)) as cursor:
        await cursor.execute(_SQL["delivery_stopped"])
        return await cursor.fetchall()


async def ring(connection: psycopg.AsyncConnection[Any]) -> None:
    """Wake the workers when the caller's transaction commits."""
    await connection.execute(_SQL["outbox_ring"])


def wants(target: TargetSettings, alert: AlertRow, site: Site, phase: Phase) -> bool:
    """Whether the target is told of this phase of the alert: by the worst severity that it ever had."""
    return (
        target.push_on in (phase, "both")
        and (target.name in alert.targets or any(fnmatchcase(alert.rule, pattern) for pattern in target.rules))
        and (not target.sites or site.code in target.sites)
        and SEVERITIES.index(alert.peak_severity) >= SEVERITIES.index(target.min_severity)
    )


def idempotency_key(alert: AlertRow, target: str, phase: Phase, amendment: int = 0) -> str:
    """One key for (alert, target, phase, amendment), unlike that of any other installation or an earlier database."""
    identity = f"{alert.id} {micros(alert.raised_at)} {alert.rule} {alert.subject} {target} {phase} {amendment}"
    return f"smartsite-{alert.id}-{phase}-{amendment}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"


def _gate(alert: AlertRow, target: TargetSettings, registry: Registry, raise_state: str | None) -> tuple[str, str]:
    """(state, reason) in which a delivery begins; `raise_state` is that of the raise before an end or amendment."""
    if raise_state == "withdrawn":
        return "withdrawn", "its raise was withdrawn"
    if alert.rule_kind == "vision" and alert.verdict == "false_alarm":
        return "withdrawn", "reviewed as a false alarm"
    site = registry.sites[alert.site_id]
    device = None if alert.device_id is None else registry.devices.get(alert.device_id)
    faults = missing(target, site, registry, device)
    if faults:
        return "config_error", "; ".join(faults)
    if raise_state == "held" or (alert.rule_kind == "vision" and alert.verdict is None and _needs_review(alert, site)):
        return "held", "waits for review"
    return "pending", ""


def _needs_review(alert: AlertRow, site: Site) -> bool:
    """By the site's policy. The score (0..1) of a vision alert is its largest value."""
    if site.vision_policy == "auto":
        return False
    return site.vision_policy == "review" or (alert.max_value or 0.0) < site.vision_auto_score


class _Raise(NamedTuple):
    """What became of the raise of an alert at a target, and the number of its last amendment."""

    state: str
    amendment: int


async def _raises(connection: psycopg.AsyncConnection[Any], alert: AlertRow) -> dict[str, _Raise]:
    rows = await (await connection.execute(_SQL["delivery_raises"], {"alert_id": alert.id})).fetchall()
    return {target: _Raise(state, amendment) for target, state, amendment in rows}


def _those_who_want(alert: AlertRow, phase: Phase, registry: Registry, settings: Settings) -> list[TargetSettings]:
    site = registry.sites[alert.site_id]
    return [target for target in settings.alerts.targets if wants(target, alert, site, phase)]


async def _put(
    connection: psycopg.AsyncConnection[Any],
    alert: AlertRow,
    target: TargetSettings,
    phase: Phase,
    amendment: int,
    raise_state: str | None,
    registry: Registry,
    clock: Clock,
) -> None:
    state, reason = _gate(alert, target, registry, raise_state)
    await connection.execute(
        _SQL["delivery_put"],
        {
            "alert_id": alert.id,
            "target": target.name,
            "phase": phase,
            "amendment": amendment,
            "idempotency_key": idempotency_key(alert, target.name, phase, amendment),
            "state": state,
            "reason": reason,
            "payload": Jsonb(await event.build(connection, alert, phase, registry, amendment)),
            "now": clock.now(),
        },
    )
