"""Who is told of an alert, and why or why not: rows written in the transaction of the alert's transition.

Every person who might be told gets a row, with a reason of the type Reason. Sent reasons start as `pending`,
withheld ones end there.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import psycopg
from psycopg.rows import dict_row

from alerts.contacts import by_channel
from alerts.model import SEVERITIES, AlertRow, Severity
from alerts.outbox import ring
from alerts.wording import NoticePhase
from core.clock import Clock
from core.settings import NotifySettings, Settings
from core.sql import queries
from sensors.registry import Person, Registry

Reason = Literal[
    "first_raise",  # sent: nobody told this person of this violation lately
    "severity_rise",  # sent within the cool-down, for it is worse than what was told
    "resolved",  # sent: the person was told of the raise
    "below_severity",  # withheld: the person's role is not told of so slight a violation
    "cool_down",  # withheld: the person was told of the same rule and subject a short time ago
    "not_told",  # withheld: nobody told the person of the raise
    "no_contact",  # withheld: the person has no channel
]

_SQL = queries("alerts")
_ROLES = ("officer", "supervisor")


async def plan(
    connection: psycopg.AsyncConnection[Any],
    alert: AlertRow,
    phase: NoticePhase,
    registry: Registry,
    settings: Settings,
    clock: Clock,
) -> None:
    """Write one notification for every channel of the site's officers and supervisors; a second time does nothing."""
    people = [person for person in registry.people.values() if person.role in _ROLES and person.may_see(alert.site_id)]
    if not people:
        return
    told = await _told_lately(connection, alert, people, clock.now()) if phase == "raised" else {}
    owed = await _owed_an_end(connection, alert) if phase == "cleared" else set()
    for person in people:
        for channel in by_channel(person.contacts) or [""]:
            if not channel:
                reason: Reason = "no_contact"
            elif phase == "cleared":
                reason = "resolved" if (person.id, channel) in owed else "not_told"
            else:
                reason = _reason_to_tell(alert, person, told.get((person.id, channel)), settings.alerts.notify)
            await connection.execute(
                _SQL["notification_put"],
                {
                    "alert_id": alert.id,
                    "phase": phase,
                    "person_id": person.id,
                    "channel": channel,
                    "state": "pending" if reason in {"first_raise", "severity_rise", "resolved"} else "withheld",
                    "reason": reason,
                    "now": clock.now(),
                },
            )
    await ring(connection)


def _reason_to_tell(alert: AlertRow, person: Person, told: Severity | None, settings: NotifySettings) -> Reason:
    """`told`: the worst severity that the person was told within the cool-down on this channel."""
    least = settings.officer if person.role == "officer" else settings.supervisor
    severity = SEVERITIES.index(alert.severity)
    if severity < SEVERITIES.index(least):
        return "below_severity"
    if told is None:
        return "first_raise"
    return "severity_rise" if severity > SEVERITIES.index(told) else "cool_down"


async def _told_lately(
    connection: psycopg.AsyncConnection[Any], alert: AlertRow, people: Sequence[Person], now: datetime
) -> dict[tuple[int, str], Severity]:
    """Worst severity told of the same rule and subject within the cool-down, by person and channel.

    Only what was delivered counts: a message that never went out uses up nobody's cool-down.
    """
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            _SQL["notification_told"],
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


async def _owed_an_end(connection: psycopg.AsyncConnection[Any], alert: AlertRow) -> set[tuple[int, str]]:
    """(person, channel) that were told of the raise, or still will be: the worker keeps the order."""
    rows = await (await connection.execute(_SQL["notification_owed"], {"alert_id": alert.id})).fetchall()
    return {(person, channel) for person, channel in rows}
