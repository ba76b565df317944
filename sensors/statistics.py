"""What stations computed themselves over a minute, an hour or a day, beside our own roll-up of the same time.

The two are never mixed: a station averages by rules of its own over samples that we may not have had.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from core.sql import queries
from sensors.profiles import Channel, Profile
from sensors.rollups import DAY, HOUR, MINUTE, Resolution, mean, table_of

SQL = queries(__package__)

Period = Literal["minute", "hour", "day"]
_ROLLUPS: dict[Period, Resolution] = {"minute": MINUTE, "hour": HOUR, "day": DAY}

VALID_SHARE = 0.75
"""Of the readings that we expect: below, our mean is no measure for the station's (HJ 212's rule of validity)."""
_NOISE_DB = 1.0
_DIRECTION_DEGREES = 10.0
_RELATIVE, _LEAST = 0.05, 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """Our roll-up of the same time; `valid` is the share of the expected readings that were there and normal."""

    mean: float | None
    minimum: float | None
    maximum: float | None
    valid: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """What a station computed of one metric in the period that began at `time`; canonical units.

    `metric` is a channel of the kind, or another name (`laeq_day`); `total` is a sum over the period; `quality` is a
    letter of HJ 212. `ours` is None where the metric is no channel or we have nothing of that time. `deviation` is the
    station's mean less ours; `deviates` says that it is more than 5 % and 0.5 of the unit (noise: 1 dB, directions:
    10 degrees), None where that cannot be judged: too few readings, or a quality that is not N.
    """

    time: datetime
    metric: str
    mean: float | None
    minimum: float | None
    maximum: float | None
    total: float | None
    quality: str
    ours: Ours | None
    deviation: float | None
    deviates: bool | None


async def computed(
    connection: psycopg.AsyncConnection,
    profile: Profile | None,
    device: int,
    period: Period,
    *,
    zone: ZoneInfo,
    metrics: Sequence[str] | None,
    start: datetime,
    end: datetime,
    limit: int,
    before: tuple[datetime, str] | None = None,
) -> list[Computed]:
    """At most `limit` statistics of [start, end), newest first, metrics in alphabetical order.

    `zone` is the site's, whose days ours are; `metrics` None: all. `before` is (time, metric) of the last one of the
    page before. `profile` is None where the kind is not known: nothing of ours stands beside them then.
    """
    before_time, before_metric = before or (None, None)
    scope: dict[str, Any] = {
        "device": device,
        "period": period,
        "metrics": None if metrics is None else list(metrics),
        "start": start,
        "end": end,
        "limit": limit,
        "before_time": before_time,
        "before_metric": before_metric,
    }
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(SQL["statistics"], scope, prepare=False)
        found = await cursor.fetchall()
    if not found:
        return []
    ours = await _ours(connection, profile, device, period, found, zone) if profile is not None else {}
    return [_beside(row, ours.get((row["metric"], _bucket(row["time"], period, zone))), profile) for row in found]


def _bucket(time: datetime, period: Period, zone: ZoneInfo) -> object:
    """What names the bucket of ours in which a period begins."""
    if period == "day":
        return time.astimezone(zone).date()
    seconds = _ROLLUPS[period].width // timedelta(seconds=1)
    return int(time.timestamp()) // seconds


async def _ours(
    connection: psycopg.AsyncConnection,
    profile: Profile,
    device: int,
    period: Period,
    found: Sequence[dict[str, Any]],
    zone: ZoneInfo,
) -> dict[tuple[str, object], Ours]:
    resolution = _ROLLUPS[period]
    names = {row["metric"] for row in found}
    channels = [channel for channel in profile.channels if channel.name in names and channel.type != "enum"]
    if not channels:
        return {}
    statement = sql.SQL(SQL["statistics_ours"]).format(
        table=sql.Identifier(table_of(profile, resolution)),
        columns=sql.SQL(", ").join(column for channel in channels for column in _columns(channel)),
    )
    scope = {
        "device": device,
        "start": min(row["time"] for row in found) - resolution.width,
        "end": max(row["time"] for row in found) + resolution.width,
    }
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement, scope)
        rows = await cursor.fetchall()
    return {
        (channel.name, _bucket(row["time"], period, zone)): Ours(
            mean=row[channel.name],
            minimum=row.get(f"{channel.name} low"),
            maximum=row.get(f"{channel.name} high"),
            valid=row[f"{channel.name} valid"],
        )
        for row in rows
        for channel in channels
        if row[channel.name] is not None
    }


def _columns(channel: Channel) -> list[sql.Composed]:
    name = channel.name
    found = [
        sql.SQL("{} AS {}").format(mean(channel, sql.Identifier), sql.Identifier(name)),
        sql.SQL("least(1, {} / expected)::float8 AS {}").format(
            sql.Identifier(f"{name}_n"), sql.Identifier(f"{name} valid")
        ),
    ]
    if not channel.circular:
        found += [
            sql.SQL("{}::float8 AS {}").format(sql.Identifier(f"{name}_{end}"), sql.Identifier(f"{name} {shown}"))
            for end, shown in (("min", "low"), ("max", "high"))
        ]
    return found


def _beside(row: dict[str, Any], ours: Ours | None, profile: Profile | None) -> Computed:
    channel = None if profile is None else profile.channel(row["metric"])
    quality = row["quality"] or "N"
    deviation, deviates = None, None
    if channel is not None and ours is not None and ours.mean is not None and row["mean"] is not None:
        deviation = row["mean"] - ours.mean
        if channel.circular:
            deviation = (deviation + 180) % 360 - 180
        if quality == "N" and ours.valid >= VALID_SHARE:
            deviates = abs(deviation) > _tolerance(channel, ours.mean)
    return Computed(**row | {"quality": quality}, ours=ours, deviation=deviation, deviates=deviates)


def _tolerance(channel: Channel, value: float) -> float:
    if channel.noise:
        return _NOISE_DB
    if channel.circular:
        return _DIRECTION_DEGREES
    return max(abs(value) * _RELATIVE, _LEAST)
