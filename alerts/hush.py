"""Times in which people are told nothing: mute windows, a cause that is told already, and alerts that flap.

The alert itself, its history and what regulators get are untouched: only notices are held, each with its reason, and
let go when the reason is gone while the alert still stands.
"""

from __future__ import annotations

from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Literal

import psycopg
from psycopg.rows import dict_row

from alerts.model import AlertRow
from alerts.outbox import ring
from alerts.rules.base import Common
from core.sql import queries

Why = Literal[
    "muted",  # a mute window covers the site or the subject, and the rule
    "inhibited",  # an open alert of the site, such as its gateway's, explains this one
    "flapping",  # the rule and subject raised too often lately
]

_SQL = queries("alerts")


async def hold(connection: psycopg.AsyncConnection[Any], alert: AlertRow, rule: Common, now: datetime) -> Why | None:
    """Withhold the notices that an alert's raise has just planned, where there is a reason; in the same transaction."""
    why = await _why(connection, alert, rule, now)
    if why is not None:
        await connection.execute(_SQL["hush_hold"], {"alert_ids": [alert.id], "reason": why})
    return why


async def inhibit(connection: psycopg.AsyncConnection[Any], alert: AlertRow) -> None:
    """An alert was raised that explains others of its site: what nobody was told of those yet is withheld."""
    held = [one["id"] for one in await _explained(connection, alert)]
    if held:
        await connection.execute(_SQL["hush_hold"], {"alert_ids": held, "reason": "inhibited"})


async def uninhibit(connection: psycopg.AsyncConnection[Any], alert: AlertRow, now: datetime) -> None:
    """An alert is over that explained others: those that still stand are told now, unless another explains them."""
    for one in await _explained(connection, alert):
        if not await _is_explained(connection, one["id"], alert.site_id, tuple(one["inhibited_by"])):
            await connection.execute(
                _SQL["hush_release"], {"alert_ids": [one["id"]], "reason": "inhibited", "now": now}
            )
            await ring(connection)


async def unmute(connection: psycopg.AsyncConnection[Any], now: datetime) -> int:
    """Tell what still stands and is muted no more; how many alerts these are."""
    cursor = await connection.execute(_SQL["hush_muted"])
    muted = await cursor.fetchall()
    if not muted:
        return 0
    mutes = await _mutes(connection, now)
    free = [alert for alert, *what in muted if not _covers(mutes, *what)]
    if free:
        await connection.execute(_SQL["hush_release"], {"alert_ids": free, "reason": "muted", "now": now})
        await ring(connection)
    return len(free)


async def _why(connection: psycopg.AsyncConnection[Any], alert: AlertRow, rule: Common, now: datetime) -> Why | None:
    if _covers(await _mutes(connection, now), alert.rule, alert.site_id, alert.subject):
        return "muted"
    if rule.inhibited_by and await _is_explained(connection, alert.id, alert.site_id, rule.inhibited_by):
        return "inhibited"
    if rule.flap is not None:
        asked = {"rule": alert.rule, "subject": alert.subject, "since": now - rule.flap.within}
        row = await (await connection.execute(_SQL["hush_raises"], asked)).fetchone()
        if row is not None and row[0] > rule.flap.at_most:
            return "flapping"
    return None


async def _mutes(connection: psycopg.AsyncConnection[Any], now: datetime) -> list[tuple[int | None, str, str | None]]:
    """(site or None for all, pattern of rules, subject or None for all) of the mutes in force."""
    return await (await connection.execute(_SQL["mutes_active"], {"now": now})).fetchall()


def _covers(mutes: list[tuple[int | None, str, str | None]], rule: str, site: int, subject: str) -> bool:
    return any(
        place in (None, site) and aim in (None, subject) and fnmatchcase(rule, pattern) for place, pattern, aim in mutes
    )


async def _is_explained(
    connection: psycopg.AsyncConnection[Any], alert_id: int, site: int, patterns: tuple[str, ...]
) -> bool:
    cursor = await connection.execute(_SQL["hush_open_rules"], {"site_id": site, "alert_id": alert_id})
    return any(fnmatchcase(rule, pattern) for (rule,) in await cursor.fetchall() for pattern in patterns)


async def _explained(connection: psycopg.AsyncConnection[Any], alert: AlertRow) -> list[dict[str, Any]]:
    """Open alerts of the site whose rule names this alert's rule among those that explain it."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["hush_explainable"], {"site_id": alert.site_id, "alert_id": alert.id})
        rows = await cursor.fetchall()
    return [row for row in rows if any(fnmatchcase(alert.rule, pattern) for pattern in row["inhibited_by"])]
