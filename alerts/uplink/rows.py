"""What an up-link reads: newest readings, periods from the roll-ups, and how far each station is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from core.sql import queries
from sensors.profiles import Channel, Profile
from sensors.rollups import HOUR, MINUTE, mean, merged, table_of

_SQL = queries("alerts")
VALID_SHARE = 0.75
"""Share of the expected readings from which a period counts as normal (HJ 212-2017; written for gases, our default)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """One row: canonical values and quality letters by channel; None where only a letter was sent."""

    time: datetime
    values: dict[str, float | None]
    flags: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """One period from the roll-ups; `time` is its start. `flags` is N where enough readings were normal, else D."""

    time: datetime
    means: dict[str, float]
    lows: dict[str, float]
    highs: dict[str, float]
    flags: dict[str, str]


async def newest(
    connection: psycopg.AsyncConnection[Any], profile: Profile, device: int, *, after: datetime
) -> Readings | None:
    """The newest reading later than `after`."""
    channels = _numbers(profile)
    statement = sql.SQL(_SQL["uplink_newest"]).format(
        table=sql.Identifier(profile.table),
        columns=sql.SQL(", ").join(
            sql.SQL("{}, {}").format(sql.Identifier(channel.name), sql.Identifier(f"{channel.name}_q"))
            for channel in channels
        ),
    )
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement, {"device": device, "after": after})
        row = await cursor.fetchone()
    if row is None:
        return None
    sent = [channel.name for channel in channels if row[channel.name] is not None or row[f"{channel.name}_q"]]
    return Readings(
        time=row["time"],
        values={name: row[name] for name in sent},
        flags={name: row[f"{name}_q"] or "N" for name in sent},
    )


async def complete_until(connection: psycopg.AsyncConnection[Any]) -> datetime | None:
    """What arrived until then is in the roll-ups; None where they have never been made."""
    row = await (await connection.execute(_SQL["uplink_through"])).fetchone()
    return None if row is None else row[0]


async def periods(
    connection: psycopg.AsyncConnection[Any],
    profile: Profile,
    device: int,
    width: timedelta,
    *,
    interval_s: float,
    since: datetime,
    until: datetime,
    limit: int,
) -> list[Period]:
    """Periods of `width` that begin in [since, until), oldest first; those without any reading are left out.

    `interval_s` is the device's expected interval: a minute without a row is as invalid as one with bad readings.
    """
    channels = _numbers(profile)
    columns: list[sql.Composable] = []
    for channel in channels:
        columns.append(sql.SQL("{} AS {}").format(mean(channel, merged), sql.Identifier(channel.name)))
        columns.append(sql.SQL("{0} AS {1}").format(merged(f"{channel.name}_n"), sql.Identifier(f"{channel.name}_n")))
        if not channel.circular:
            columns += [
                sql.SQL("{} AS {}").format(merged(f"{channel.name}_{end}"), sql.Identifier(f"{channel.name}_{end}"))
                for end in ("min", "max")
            ]
    rollup = table_of(profile, HOUR if width >= HOUR.width else MINUTE)
    statement = sql.SQL(_SQL["uplink_periods"]).format(
        rollup=sql.Identifier(rollup), columns=sql.SQL(", ").join(columns)
    )
    scope = {"device": device, "width": width, "since": since, "until": until, "limit": limit}
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement, scope)
        needed = VALID_SHARE * width.total_seconds() / interval_s
        return [_period(row, channels, needed) for row in await cursor.fetchall()]


async def cursors(connection: psycopg.AsyncConnection[Any], uplink: str) -> dict[tuple[int, str], datetime]:
    """How far each (device, command) of an up-link is."""
    rows = await (await connection.execute(_SQL["uplink_cursors"], {"uplink": uplink})).fetchall()
    return {(device, command): through for device, command, through in rows}


async def keep_cursor(
    connection: psycopg.AsyncConnection[Any], uplink: str, device: int, command: str, through: datetime
) -> None:
    """Data up to `through` are done with."""
    await connection.execute(
        _SQL["uplink_cursor_put"], {"uplink": uplink, "device": device, "command": command, "through": through}
    )


def _numbers(profile: Profile) -> list[Channel]:
    return [channel for channel in profile.channels if channel.type in ("real", "double")]


def _period(row: Mapping[str, Any], channels: list[Channel], needed: float) -> Period:
    measured = [channel.name for channel in channels if row[channel.name] is not None]
    return Period(
        time=row["time"],
        means={name: float(row[name]) for name in measured},
        lows={name: float(row[f"{name}_min"]) for name in measured if row.get(f"{name}_min") is not None},
        highs={name: float(row[f"{name}_max"]) for name in measured if row.get(f"{name}_max") is not None},
        flags={name: "N" if row[f"{name}_n"] >= needed else "D" for name in measured},
    )
