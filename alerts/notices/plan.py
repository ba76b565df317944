"""Who is told of an alert, and why or why not: rows written in the transaction of the alert's transition.

Every person who might be told gets a row a channel, with a reason of the type Reason. Sent reasons start as `pending`,
withheld ones end there. What the worker finds out later (a cool-down that began meanwhile) changes state and reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import psycopg
from psycopg.rows import dict_row

from alerts.model import SEVERITIES, AlertRow, Severity
from alerts.notices import duty
from alerts.notices.contacts import by_channel, scheme_of
from alerts.notices.wording import NoticePhase
from alerts.outbox import ring
from core.clock import Clock
from core.settings import NotifySettings, Settings
from core.sql import queries
from sensors.registry import Person, Registry

Reason = Literal[
    "first_raise",  # sent: nobody told this person of this violation lately
    "severity_rise",  # sent, within the cool-down as well, for it is worse than what was told
    "nobody_on_duty",  # sent although off duty: by the rota there is nobody on duty who can be reached
    "escalated",  # sent: nobody acknowledged the violation in time
    "resolved",  # sent: the person was told of the raise
    "below_severity",  # withheld: the person's role is not told of so slight a violation
    "below_channel",  # withheld: this kind of channel is not used for so slight a violation
    "off_duty",  # withheld: by the rota others are on duty
    "cool_down",  # withheld: the person was told of the same rule and subject a short time ago
    "not_told",  # withheld: nobody told the person of the raise
    "no_contact",  # withheld: the person has no channel
    "acknowledged",  # withheld: an escalation that was overtaken by an acknowledgement while it waited to be sent
    "over",  # withheld: the same, by the end of the violation
]
SENT: frozenset[str] = frozenset({"first_raise", "severity_rise", "nobody_on_duty", "escalated", "resolved"})
"""Reasons for which a message is sent."""

_SQL = queries(__package__)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def plan(
    connection: psycopg.AsyncConnection[Any],
    alert: AlertRow,
    phase: NoticePhase,
    registry: Registry,
    settings: Settings,
    clock: Clock,
) -> None:
    """Write the notifications of a transition, and with a raise the steps of its escalation; twice does nothing more.

    `severity` is for an alert that has become worse since people were told of it.
    """
    now, notify = clock.now(), settings.alerts.notify
    rows = _Rows(notify, now)
    if phase == "cleared":
        owed = await _owed_an_end(connection, alert)
        roles = _roles(registry, alert, notify)
        told = {person for person, _ in owed}
        for person in _people(registry, alert):
            if person.role in roles or person.id in told:
                for channel in by_channel(person.contacts):
                    digest = owed.get((person.id, channel))
                    rows.add(person, channel, "not_told" if digest is None else "resolved", digest=bool(digest))
    else:
        await _tell(connection, alert, phase, registry, notify, rows, now)
        await _prepare_escalation(connection, alert, registry, notify)
    # An alert may become worse more than once.
    step = SEVERITIES.index(alert.severity) if phase == "severity" else 0
    if await rows.put(connection, alert, phase, step=step):
        await ring(connection)


async def escalate(
    connection: psycopg.AsyncConnection[Any],
    alert: AlertRow,
    step: int,
    roles: Sequence[str],
    registry: Registry,
    settings: Settings,
    clock: Clock,
) -> None:
    """Write the notifications of one step of the escalation table."""
    rows = _Rows(settings.alerts.notify, clock.now())
    people = [person for person in _people(registry, alert) if person.role in roles]
    on_duty = await _on_duty(connection, alert, people, registry, clock.now())
    for person in people:
        _every_channel(rows, person, alert, "escalated" if on_duty.has(person) else "off_duty", settings.alerts.notify)
    if await rows.put(connection, alert, "escalated", step=step):
        await ring(connection)


@dataclass(slots=True)
class _Rows:
    """Rows to be written together."""

    settings: NotifySettings
    now: datetime
    rows: list[tuple[int, str, str, str, bool, datetime]] = field(default_factory=list)

    def add(self, person: Person, channel: str, reason: Reason, *, digest: bool = False) -> None:
        state = "pending" if reason in SENT else "withheld"
        due = _next_digest(self.now, self.settings) if digest and state == "pending" else self.now
        self.rows.append((person.id, channel, state, reason, digest and state == "pending", due))

    async def put(
        self, connection: psycopg.AsyncConnection[Any], alert: AlertRow, phase: NoticePhase, *, step: int = 0
    ) -> bool:
        if not self.rows:
            return False
        people, channels, states, reasons, digests, due = zip(*self.rows, strict=True)
        await connection.execute(
            _SQL["notifications_put"],
            {
                "alert_id": alert.id,
                "phase": phase,
                "step": step,
                "priority": SEVERITIES.index(alert.severity),
                "now": self.now,
                "people": list(people),
                "channels": list(channels),
                "states": list(states),
                "reasons": list(reasons),
                "digests": list(digests),
                "due": list(due),
            },
        )
        return True


@dataclass(frozen=True, slots=True)
class _Duty:
    """Who is on duty. Roles that the rota does not name are always; so is everybody where nobody can be reached."""

    listed: frozenset[str]
    present: frozenset[str]
    uncovered: frozenset[str]

    def has(self, person: Person) -> bool:
        return person.role not in self.listed or person.code in self.present or person.role in self.uncovered

    def without_cover(self, person: Person) -> bool:
        return person.role in self.uncovered and person.code not in self.present


async def _tell(
    connection: psycopg.AsyncConnection[Any],
    alert: AlertRow,
    phase: NoticePhase,
    registry: Registry,
    settings: NotifySettings,
    rows: _Rows,
    now: datetime,
) -> None:
    roles = _roles(registry, alert, settings)
    people = [person for person in _people(registry, alert) if person.role in roles]
    if not people:
        return
    told = await _told_lately(connection, alert, people, now)
    on_duty = await _on_duty(connection, alert, people, registry, now)
    severity = SEVERITIES.index(alert.severity)
    digest = severity < SEVERITIES.index(settings.digest_below)
    for person in people:
        if severity < SEVERITIES.index(roles[person.role]):
            _every_channel(rows, person, alert, "below_severity", settings)
        elif not on_duty.has(person):
            _every_channel(rows, person, alert, "off_duty", settings)
        else:
            base: Reason = "severity_rise" if phase == "severity" else "first_raise"
            if on_duty.without_cover(person):
                base = "nobody_on_duty"
            for channel, contact in by_channel(person.contacts).items() or [("", "")]:
                before = told.get((person.id, channel)) if phase == "raised" else None
                reason = base
                if before is not None:
                    reason = "severity_rise" if severity > SEVERITIES.index(before) else "cool_down"
                rows.add(person, channel, _by_channel_kind(reason, contact, severity, settings), digest=digest)


def _every_channel(rows: _Rows, person: Person, alert: AlertRow, reason: Reason, settings: NotifySettings) -> None:
    severity = SEVERITIES.index(alert.severity)
    for channel, contact in by_channel(person.contacts).items() or [("", "")]:
        rows.add(person, channel, _by_channel_kind(reason, contact, severity, settings))


def _by_channel_kind(reason: Reason, contact: str, severity: int, settings: NotifySettings) -> Reason:
    """The reason as far as the channel itself has a say."""
    if reason not in SENT:
        return reason
    if not contact:
        return "no_contact"
    least = settings.channels.get(scheme_of(contact))
    return "below_channel" if least is not None and severity < SEVERITIES.index(least) else reason


def _people(registry: Registry, alert: AlertRow) -> Iterable[Person]:
    return (person for person in registry.people.values() if person.may_see(alert.site_id))


def _roles(registry: Registry, alert: AlertRow, settings: NotifySettings) -> dict[str, Severity]:
    """Least severity by role on the alert's site."""
    own = settings.sites.get(registry.sites[alert.site_id].code, {})
    return {str(role): severity for roles in (settings.roles, own) for role, severity in roles.items()}


async def _on_duty(
    connection: psycopg.AsyncConnection[Any],
    alert: AlertRow,
    people: Sequence[Person],
    registry: Registry,
    now: datetime,
) -> _Duty:
    rota = (await duty.load(connection, alert.site_id)).rota
    if not rota.shifts:
        return _Duty(frozenset(), frozenset(), frozenset())
    present = duty.on_duty(rota, now, ZoneInfo(registry.sites[alert.site_id].time_zone))
    named = rota.people
    listed = frozenset(person.role for person in people if person.code in named)
    reached = {person.role for person in people if person.code in present and person.contacts}
    return _Duty(listed, frozenset(present), listed - reached)


async def _prepare_escalation(
    connection: psycopg.AsyncConnection[Any], alert: AlertRow, registry: Registry, settings: NotifySettings
) -> None:
    """Note when whom to tell unless somebody acknowledges."""
    site, severity = registry.sites[alert.site_id].code, SEVERITIES.index(alert.severity)
    for step, wanted in enumerate(sorted(settings.escalation, key=lambda one: one.after_minutes), start=1):
        if severity >= SEVERITIES.index(wanted.severity) and (not wanted.sites or site in wanted.sites):
            await connection.execute(
                _SQL["escalations_put"],
                {
                    "alert_id": alert.id,
                    "step": step,
                    "due_at": alert.raised_at + timedelta(minutes=wanted.after_minutes),
                    "roles": list(wanted.roles),
                },
            )


async def _told_lately(
    connection: psycopg.AsyncConnection[Any], alert: AlertRow, people: Sequence[Person], now: datetime
) -> dict[tuple[int, str], Severity]:
    """Worst severity told of the same rule and subject within the cool-down, by person and channel.

    Only what was delivered counts: a message that never went out uses up nobody's cool-down.
    """
    if not alert.cool_down_s:
        return {}
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            _SQL["told_lately"],
            {
                "alert_id": alert.id,
                "people": [person.id for person in people],
                "rule": alert.rule,
                "subject": alert.subject,
                "site_id": alert.site_id,
                "cool_down_s": alert.cool_down_s,
                "now": now,
            },
        )
        rows = await cursor.fetchall()
    worst: dict[tuple[int, str], Severity] = {}
    for row in rows:
        key = (row["person_id"], row["channel"])
        worst[key] = max(worst.get(key, "info"), row["severity"], key=SEVERITIES.index)
    return worst


async def _owed_an_end(connection: psycopg.AsyncConnection[Any], alert: AlertRow) -> dict[tuple[int, str], bool]:
    """(person, channel) that were told of it, or still will be; True where in a digest. The worker keeps the order."""
    rows = await (await connection.execute(_SQL["owed_an_end"], {"alert_id": alert.id})).fetchall()
    return {(person, channel): digest for person, channel, digest in rows}


def _next_digest(now: datetime, settings: NotifySettings) -> datetime:
    width = timedelta(minutes=settings.digest_minutes)
    return now + (width - (now - _EPOCH) % width)
