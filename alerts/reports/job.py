"""Makes the reports that are due, and tells who is to be told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec
import psycopg
from psycopg.types.json import Jsonb

from alerts.notices.contacts import by_channel, scheme_of
from alerts.outbox import ring
from alerts.reports.figures import gather
from alerts.reports.model import LENGTH, newest_due, period
from alerts.reports.store import load_many
from core.clock import Clock
from core.settings import AlertsSettings
from core.settings.reports import ReportKind, ReportSettings
from core.sql import queries
from sensors.profiles import Profile
from sensors.registry import Person, Registry

ReportReason = Literal[
    "report",  # sent: the person's role is told of such reports
    "below_channel",  # withheld: this kind of channel is kept for graver things
    "no_contact",  # withheld: the person has no channel
]

_SQL = queries(__package__)
# A turn does a few: escalations wait behind it.
_MOST = 20
# So many periods that a pause of the platform left out are made up for.
_BACK: dict[ReportKind, int] = {"daily": 7, "weekly": 4}


async def make_due(
    connection: psycopg.AsyncConnection[Any],
    registry: Registry,
    profiles: Mapping[str, Profile],
    settings: AlertsSettings,
    clock: Clock,
) -> str:
    """Make some of the reports that are due, each in a transaction with the word of it; what was done, in words."""
    now = clock.now()
    await connection.execute(_SQL["forget"], {"before": now - timedelta(days=settings.reports.keep_days)})
    scopes = [0, *(site.id for site in registry.sites.values() if site.enabled)]
    asked = {"kinds": settings.reports.kinds, "scopes": scopes}
    rows = await (await connection.execute(_SQL["newest"], asked)).fetchall()
    newest = {(kind, site): day for kind, site, day in rows if day is not None}
    made = 0
    for kind, site_id, first_day, zone in _due(registry, settings.reports, newest, now):
        over = period(kind, first_day, zone)
        async with connection.transaction():
            figures = await gather(connection, over, site_id, profiles=profiles.values(), registry=registry, now=now)
            values = {
                "kind": kind,
                "site_id": site_id,
                "first_day": first_day,
                "starts_at": over.starts_at,
                "ends_at": over.ends_at,
                "figures": Jsonb(msgspec.to_builtins(figures)),
                "now": now,
            }
            row = await (await connection.execute(_SQL["put"], values)).fetchone()
            if row is not None:
                await _tell(connection, row[0], registry, settings, now)
        made += 1
        if made == _MOST:
            break
    return f"{made} made" if made else ""


def _due(
    registry: Registry, settings: ReportSettings, newest: Mapping[tuple[str, int], date], now: datetime
) -> Iterator[tuple[ReportKind, int | None, date, ZoneInfo]]:
    """(kind, site or None for all, first day, clock) of what is missing, oldest first of each.

    Where there is none yet, the newest alone; days before are the past of another installation, or nobody's.
    """
    scopes: list[tuple[int | None, str]] = [(None, settings.time_zone)]
    scopes += [(site.id, site.time_zone) for site in registry.sites.values() if site.enabled]
    for kind in settings.kinds:
        length = LENGTH[kind]
        for site_id, zone_name in scopes:
            zone = ZoneInfo(zone_name)
            last = newest_due(kind, now, zone, hour=settings.hour)
            before = newest.get((kind, site_id or 0))
            day = last if before is None else max(before + length, last - (_BACK[kind] - 1) * length)
            while day <= last:
                yield kind, site_id, day, zone
                day += length


async def _tell(
    connection: psycopg.AsyncConnection[Any],
    report_id: int,
    registry: Registry,
    settings: AlertsSettings,
    now: datetime,
) -> None:
    (report,) = await load_many(connection, [report_id])
    roles = settings.reports.tell.get(report.kind, [])
    rows: list[tuple[int, str, str, ReportReason]] = []
    for person in registry.people.values():
        if person.role not in roles or not _is_for(person, report.site_id):
            continue
        for channel, contact in by_channel(person.contacts).items() or [("", "")]:
            reason: ReportReason = "report" if channel else "no_contact"
            if channel and settings.notify.channels.get(scheme_of(contact), "info") != "info":
                reason = "below_channel"
            rows.append((person.id, channel, "pending" if reason == "report" else "withheld", reason))
    if rows:
        people, channels, states, reasons = zip(*rows, strict=True)
        told = {"people": list(people), "channels": list(channels), "states": list(states), "reasons": list(reasons)}
        await connection.execute(_SQL["tell"], {**told, "report_id": report_id, "now": now})
        await ring(connection)


def _is_for(person: Person, site_id: int | None) -> bool:
    """Who sees all sites is told of the report of all, not of each."""
    return person.enabled and person.all_sites if site_id is None else not person.all_sites and person.may_see(site_id)
