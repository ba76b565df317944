"""What was measured: a series of one device for a chart, and the newest values of many devices.

Only values of normal quality are drawn and averaged, so that a chart says the same at every zoom; what a device marked
as faulty, and the time in which it said nothing, stays a gap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from core.clock import micros
from core.errors import InvalidInput, NotFound
from core.sql import queries
from sensors.profiles import Channel, Profile

SQL = queries(__package__)

_DAY_S = 86_400
_WIDTHS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, _DAY_S)
_MOST_POINTS = 10_000
# A silence longer than this many expected intervals, or buckets, is drawn as a gap.
_GAP_INTERVALS, _GAP_BUCKETS = 3.0, 1.5


class LatestValue(TypedDict):
    """A channel in a device's newest row; `quality` is an HJ 212 letter, `value` None where only a state was sent."""

    value: float | None
    quality: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """One channel's line: `time` in microseconds since the epoch, UTC, ascending; None in `value` breaks the line.

    `minimum` and `maximum` run beside `value` where it holds means of buckets; None for raw values, directions and
    enumerations.
    """

    time: list[int]
    value: list[float | None]
    minimum: list[float | None] | None = None
    maximum: list[float | None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Lines by channel; raw rows, or means of buckets of `bucket` whose time is the bucket's start."""

    source: Literal["raw", "bucket"]
    bucket: timedelta | None
    channels: dict[str, Points]


async def latest(
    connection: psycopg.AsyncConnection, profiles: Mapping[str, Profile], devices: Iterable[tuple[int, str]]
) -> dict[int, dict[str, LatestValue]]:
    """Newest row of each device, given as (id, kind); one index lookup a device. Devices without rows are left out."""
    by_kind: dict[str, list[int]] = {}
    for device, kind in devices:
        if kind in profiles:
            by_kind.setdefault(kind, []).append(device)
    found: dict[int, dict[str, LatestValue]] = {}
    for kind, ids in by_kind.items():
        profile = profiles[kind]
        statement = sql.SQL(SQL["history_latest"]).format(
            table=sql.Identifier(profile.table), columns=_columns(profile.channels)
        )
        async with connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(statement, {"devices": ids})
            for row in await cursor.fetchall():
                found[row["device_id"]] = {
                    channel.name: LatestValue(value=row[channel.name], quality=row[f"{channel.name}_q"] or "N")
                    for channel in profile.channels
                    if row[channel.name] is not None or row[f"{channel.name}_q"] is not None
                }
    return found


async def series(
    connection: psycopg.AsyncConnection,
    profile: Profile,
    device: int,
    channels: Sequence[str],
    *,
    start: datetime,
    end: datetime,
    points: int,
    interval_s: float,
) -> Series:
    """Lines of a device's channels in [start, end): the rows themselves where there are at most `points`, else means.

    `interval_s` is the device's expected interval; a longer silence becomes a gap.

    Raises:
        NotFound: the kind has no such channel.
        InvalidInput: end is not after start, or `points` is not within 2..10000.
    """
    wanted = [_channel(profile, name) for name in dict.fromkeys(channels)]
    if end <= start or not 2 <= points <= _MOST_POINTS:
        raise InvalidInput("end must be after start, and points between 2 and 10000")
    scope = {"device": device, "start": start, "end": end, "limit": points + 1}
    table = sql.Identifier(profile.table)
    rows = await _rows(connection, sql.SQL(SQL["history_raw"]).format(table=table, columns=_columns(wanted)), scope)
    if len(rows) <= points:
        longest = round(interval_s * _GAP_INTERVALS * 1e6)
        return Series(
            source="raw", bucket=None, channels={channel.name: _raw(rows, channel, longest) for channel in wanted}
        )
    bucket = _width(end - start, points)
    statement = sql.SQL(SQL["history_buckets"]).format(table=table, columns=sql.SQL(", ").join(map(_means, wanted)))
    rows = await _rows(connection, statement, scope | {"bucket": bucket})
    longest = round(max(interval_s * _GAP_INTERVALS, bucket.total_seconds() * _GAP_BUCKETS) * 1e6)
    return Series(
        source="bucket", bucket=bucket, channels={channel.name: _bucketed(rows, channel, longest) for channel in wanted}
    )


def _channel(profile: Profile, name: str) -> Channel:
    channel = profile.channel(name)
    if channel is None:
        known = ", ".join(channel.name for channel in profile.channels)
        raise NotFound(f"kind {profile.kind} has no channel {name!r}", hint=f"it has {known}")
    return channel


def _width(span: timedelta, points: int) -> timedelta:
    """The narrowest round bucket that keeps within the budget of points."""
    least = span.total_seconds() / points
    for width in _WIDTHS_S:
        if width >= least:
            return timedelta(seconds=width)
    return timedelta(days=-(-least // _DAY_S))


async def _rows(connection: psycopg.AsyncConnection, statement: sql.Composed, scope: dict[str, Any]) -> list[Any]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement, scope)
        return await cursor.fetchall()


def _columns(channels: Iterable[Channel]) -> sql.Composed:
    return sql.SQL(", ").join(
        sql.SQL("{value}::float8 AS {value}, {quality}").format(
            value=sql.Identifier(channel.name), quality=sql.Identifier(f"{channel.name}_q")
        )
        for channel in channels
    )


def _means(channel: Channel) -> sql.Composed:
    """The mean that fits the quantity: energy of noise, direction, the most frequent state, or the plain mean."""
    if channel.noise:
        template = SQL["history_mean_energy"]
    elif channel.circular:
        template = SQL["history_mean_direction"]
    elif channel.type == "enum":
        template = SQL["history_mean_state"]
    else:
        template = SQL["history_mean"]
    return sql.SQL(template).format(
        value=sql.Identifier(channel.name),
        quality=sql.Identifier(f"{channel.name}_q"),
        low=sql.Identifier(f"{channel.name}_low"),
        high=sql.Identifier(f"{channel.name}_high"),
    )


def _raw(rows: list[Any], channel: Channel, longest: int) -> Points:
    """A row without the channel says nothing about it; a row with a bad quality breaks its line."""
    time: list[int] = []
    value: list[float | None] = []
    for row in rows:
        quality = row[f"{channel.name}_q"]
        if row[channel.name] is None and quality is None:
            continue
        moment = micros(row["time"])
        if time and moment - time[-1] > longest:
            time.append(time[-1] + longest)
            value.append(None)
        time.append(moment)
        value.append(row[channel.name] if quality is None else None)
    return Points(time=time, value=value)


def _bucketed(rows: list[Any], channel: Channel, longest: int) -> Points:
    time: list[int] = []
    lines: dict[str, list[float | None]] = {channel.name: []}
    if not channel.circular and channel.type != "enum":
        lines |= {f"{channel.name}_low": [], f"{channel.name}_high": []}
    for row in rows:
        if row[channel.name] is None:
            continue
        moment = micros(row["time"])
        if time and moment - time[-1] > longest:
            time.append(time[-1] + longest)
            for line in lines.values():
                line.append(None)
        time.append(moment)
        for name, line in lines.items():
            line.append(row[name])
    return Points(
        time=time,
        value=lines[channel.name],
        minimum=lines.get(f"{channel.name}_low"),
        maximum=lines.get(f"{channel.name}_high"),
    )
