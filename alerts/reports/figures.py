"""The figures of a report, from the database as it stands."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from statistics import mean
from typing import Any

import psycopg
from psycopg.rows import dict_row

from alerts.reports.model import (
    AlertCount,
    Availability,
    CameraUptime,
    DeliveryCount,
    Exceedance,
    Figures,
    OrderCount,
    Period,
    SiteLine,
)
from core.sql import queries
from sensors.availability import Received, received
from sensors.profiles import Profile
from sensors.registry import Registry

_SQL = queries(__package__)
_PARTS = ("alerts", "exceedances", "deliveries", "orders")

Rows = list[dict[str, Any]]


async def gather(
    connection: psycopg.AsyncConnection[Any],
    over: Period,
    site_id: int | None,
    *,
    profiles: Iterable[Profile],
    registry: Registry,
    now: datetime,
) -> Figures:
    """What happened in a period on a site, or on all (None); where deliveries and orders stand now."""
    asked = {"since": over.starts_at, "until": over.ends_at, "site_id": site_id, "now": now}
    found: dict[str, Rows] = {}
    async with connection.cursor(row_factory=dict_row) as cursor:
        for part in _PARTS:
            await cursor.execute(_SQL[part], asked)
            found[part] = await cursor.fetchall()
        await cursor.execute(_SQL["cameras"], asked)
        cameras = await cursor.fetchall()
        await cursor.execute(_SQL["open_at_end"], asked)
        still = await cursor.fetchone()
    assert still is not None
    devices = await received(connection, profiles, since=over.starts_at, until=over.ends_at, site_id=site_id)
    return Figures(
        alerts=[AlertCount(**one) for one in _summed(found["alerts"], "kind", "severity")],
        open_at_end=still["count"],
        exceedances=[Exceedance(**one) for one in _summed(found["exceedances"], "metric", "unit")],
        deliveries=[DeliveryCount(**one) for one in _summed(found["deliveries"], "target")],
        orders=OrderCount(**(_summed(found["orders"]) or [{}])[0]),
        available=_mean(one.share for one in devices),
        devices=[] if site_id is None else [_device(one) for one in devices],
        cameras_online=_mean(one["share"] for one in cameras),
        cameras=[] if site_id is None else [_camera(one) for one in cameras],
        sites=_sites(found, devices, cameras, registry) if site_id is None else [],
    )


def _summed(rows: Rows, *keys: str) -> Rows:
    """The rows of all sites together by their keys; all other columns are sums."""
    together: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        own = {name: value for name, value in row.items() if name != "site_id"}
        kept = together.setdefault(tuple(own[key] for key in keys), own)
        if kept is not own:
            for name, value in own.items():
                if name not in keys:
                    kept[name] += value
    return [together[key] for key in sorted(together)]


def _sites(found: dict[str, Rows], devices: Sequence[Received], cameras: Rows, registry: Registry) -> list[SiteLine]:
    by_site: dict[str, dict[int, Rows]] = {part: defaultdict(list) for part in _PARTS}
    for part, rows in found.items():
        for row in rows:
            by_site[part][row["site_id"]].append(row)
    own: dict[int, list[float]] = defaultdict(list)
    for device in devices:
        own[device.site_id].append(device.share)
    filmed: dict[int, list[float]] = defaultdict(list)
    for camera in cameras:
        filmed[camera["site_id"]].append(camera["share"])
    lines = []
    for site in sorted(registry.sites.values(), key=lambda one: one.code):
        if not site.enabled:
            continue
        alerts, deliveries = by_site["alerts"][site.id], by_site["deliveries"][site.id]
        total = sum(one["total"] for one in deliveries)
        lines.append(
            SiteLine(
                site=site.code,
                name=site.name,
                name_en=site.name_en,
                alerts=sum(one["count"] for one in alerts),
                critical=sum(one["count"] for one in alerts if one["severity"] == "critical"),
                minutes=sum(one["minutes"] for one in by_site["exceedances"][site.id]),
                delivered=sum(one["accepted"] for one in deliveries) / total if total else None,
                open_orders=sum(one["open"] for one in by_site["orders"][site.id]),
                overdue_orders=sum(one["overdue"] for one in by_site["orders"][site.id]),
                available=_mean(own[site.id]),
                cameras_online=_mean(filmed[site.id]),
            )
        )
    return lines


def _mean(shares: Iterable[float]) -> float | None:
    """None: there is nothing to take one of."""
    return mean(found) if (found := list(shares)) else None


def _camera(row: dict[str, Any]) -> CameraUptime:
    return CameraUptime(camera=row["camera"], name=row["name"], name_en=row["name_en"], share=row["share"])


def _device(one: Received) -> Availability:
    return Availability(device=one.code, name=one.name, name_en=one.name_en, kind=one.kind, share=one.share)
