"""What was measured: a series of one device for a chart, and the newest values of many devices.

Only values of normal quality are drawn and averaged, so that a chart says the same at every zoom; what a device marked
as faulty, and the time in which it said nothing, stays a gap. A span with more readings than points is cut into
buckets, each with its mean, least and greatest value, so that no peak is lost; buckets of a minute and wider come from
the roll-ups, so that a chart costs the same however long the history is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypedDict, cast

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from core.clock import micros
from core.errors import InvalidInput, NotFound
from core.sql import queries
from sensors.profiles import Channel, Profile
from sensors.rollups import (
    DAY,
    RESOLUTIONS,
    Resolution,
    channel_columns,
    from_readings,
    mean,
    merged,
    table_of,
)

SQL = queries(__package__)

Source = Literal["raw", "1m", "15m", "1h", "1d"]

_DAY_S = 86_400
_WIDTHS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, _DAY_S)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
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
    """Lines by channel: single readings, or means of buckets of `bucket` whose time is the bucket's start.

    `source` is what they were read from: the readings, or the roll-up of that width.
    """

    source: Source
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
    dropped = await _is_dropped(connection, profile, start)
    if len(rows) <= points and not dropped:
        longest = round(interval_s * _GAP_INTERVALS * 1e6)
        return Series(
            source="raw", bucket=None, channels={channel.name: _raw(rows, channel, longest) for channel in wanted}
        )
    source, bucket, rows = await _buckets(
        connection, profile, wanted, scope, _width(end - start, points), dropped=dropped
    )
    longest = round(max(interval_s * _GAP_INTERVALS, bucket.total_seconds() * _GAP_BUCKETS) * 1e6)
    return Series(
        source=source, bucket=bucket, channels={channel.name: _bucketed(rows, channel, longest) for channel in wanted}
    )


async def _is_dropped(connection: psycopg.AsyncConnection, profile: Profile, start: datetime) -> bool:
    """Whether readings as old as `start` are past their retention, so that only roll-ups can tell of that time."""
    scope = {"kind": profile.kind, "start": start}
    return await (await connection.execute(SQL["history_dropped"], scope)).fetchone() is not None


async def _buckets(
    connection: psycopg.AsyncConnection,
    profile: Profile,
    wanted: Sequence[Channel],
    scope: dict[str, Any],
    bucket: timedelta,
    *,
    dropped: bool,
) -> tuple[Source, timedelta, list[Any]]:
    """What was read, the width of its buckets, and their rows.

    From the coarsest roll-up that holds the whole span and of which the bucket is a multiple; where the readings are
    `dropped` rather in wider buckets than not at all.
    """
    choice = [(each, bucket) for each in reversed(RESOLUTIONS) if not bucket % each.width]
    if dropped:
        choice += [(each, each.width) for each in RESOLUTIONS if each.width > bucket]
    for resolution, width in choice:
        usable = {"kind": profile.kind, "resolution": resolution.name}
        found = await (await connection.execute(SQL["rollup_usable"], scope | usable)).fetchone()
        if found is not None:
            statement = _from_rollup(profile, wanted, resolution)
            # What the last pass may have seen half of is read from the readings.
            cut = found[0] - (found[0] - _EPOCH) % resolution.width
            scope = scope | {"bucket": width, "width": resolution.width, "cut": cut}
            return cast("Source", resolution.name), width, await _rows(connection, statement, scope)
    statement = sql.SQL(SQL["history_buckets"]).format(
        table=sql.Identifier(profile.table), columns=sql.SQL(", ").join(map(_means, wanted))
    )
    return "raw", bucket, await _rows(connection, statement, scope | {"bucket": bucket})


def _from_rollup(profile: Profile, wanted: Sequence[Channel], resolution: Resolution) -> sql.Composed:
    aggregates = from_readings(profile)
    columns = [column for channel in wanted for column in channel_columns(channel)]
    return sql.SQL(SQL["history_days" if resolution is DAY else "history_rollup"]).format(
        rollup=sql.Identifier(table_of(profile, resolution)),
        table=sql.Identifier(profile.table),
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        aggregates=sql.SQL(", ").join(
            sql.SQL("{} AS {}").format(aggregates[column], sql.Identifier(column)) for column in columns
        ),
        means=sql.SQL(", ").join(map(_merged_means, wanted)),
    )


def _merged_means(channel: Channel) -> sql.Composed:
    line = sql.SQL("{} AS {}").format(mean(channel, merged), sql.Identifier(channel.name))
    if channel.circular or channel.type == "enum":
        return line
    return line + sql.SQL(", {}::float8 AS {}, {}::float8 AS {}").format(
        merged(f"{channel.name}_min"),
        sql.Identifier(f"{channel.name}_low"),
        merged(f"{channel.name}_max"),
        sql.Identifier(f"{channel.name}_high"),
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
    # A real is left as it is: widened to double, 1.95 would read 1.9500000476837158.
    return sql.SQL(", ").join(
        sql.SQL("{value} AS {name}, {quality}").format(
            value=sql.SQL("{}" if channel.type == "real" else "{}::float8").format(sql.Identifier(channel.name)),
            name=sql.Identifier(channel.name),
            quality=sql.Identifier(f"{channel.name}_q"),
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
