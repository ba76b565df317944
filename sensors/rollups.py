"""Roll-ups: a row a device and bucket, at four resolutions, from which means, extremes and valid shares are read.

Kept are sums and counts instead of means, so that wider buckets follow exactly from narrower ones:

    every channel      <c>_n             values of normal quality
    plain              <c>_sum, _min, _max
    noise              <c>_pow, _min, _max    sum of 10^(L/10), from which Leq follows
    circular           <c>_sin, _cos          sums of unit vectors; extremes of a direction say nothing
    enum               <c>_n0, _n1, ...       how often each symbol was reported

Buckets of 1 min, 15 min and 1 h begin at multiples of their width, UTC; a day is the site's own, 23 to 25 hours long
where the clock is changed. `expected` is how many readings the bucket should have by the device's interval.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import LiteralString

from psycopg import sql

from core.sql import queries
from sensors.profiles import Channel, ChannelType, Profile

SQL = queries(__package__)

COLUMN_TYPES: dict[ChannelType, LiteralString] = {
    "real": "real",
    "double": "double precision",
    "bigint": "bigint",
    "enum": "smallint",
}
"""PostgreSQL's type of a channel."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """One of the roll-ups; `finer` is the one that it is computed from, None where that is the readings."""

    name: str
    width: timedelta
    finer: str | None


MINUTE = Resolution("1m", timedelta(minutes=1), None)
QUARTER = Resolution("15m", timedelta(minutes=15), "1m")
HOUR = Resolution("1h", timedelta(hours=1), "15m")
# From quarters of an hour: the offsets of all time zones are multiples of one.
DAY = Resolution("1d", timedelta(days=1), "15m")
RESOLUTIONS = (MINUTE, QUARTER, HOUR, DAY)


def table_of(profile: Profile, resolution: Resolution) -> str:
    """Name of the table of a kind's roll-ups, rollup_dust_15m."""
    return f"rollup_{profile.kind}_{resolution.name}"


def channel_columns(channel: Channel) -> dict[str, LiteralString]:
    """The channel's columns in a roll-up, with their types as PostgreSQL writes them."""
    name = channel.name
    columns: dict[str, LiteralString] = {f"{name}_n": "integer"}
    if channel.type == "enum":
        return columns | {f"{name}_n{symbol}": "integer" for symbol in range(len(channel.symbols))}
    if channel.circular:
        return columns | {f"{name}_sin": "double precision", f"{name}_cos": "double precision"}
    own = COLUMN_TYPES[channel.type]
    return columns | {
        f"{name}_{'pow' if channel.noise else 'sum'}": "double precision",
        f"{name}_min": own,
        f"{name}_max": own,
    }


def from_readings(profile: Profile) -> dict[str, sql.Composed]:
    """Column -> aggregate over rows of readings."""
    found: dict[str, sql.Composed] = {}
    for channel in profile.channels:
        for column in channel_columns(channel):
            suffix = column.removeprefix(f"{channel.name}_")
            symbol = suffix[1:] if suffix[0] == "n" else ""
            template = SQL["rollup_value_symbol"] if symbol else SQL[f"rollup_value_{suffix}"]
            found[column] = sql.SQL(template).format(
                value=sql.Identifier(channel.name),
                quality=sql.Identifier(f"{channel.name}_q"),
                symbol=sql.SQL(symbol or "0"),
            )
    return found


def from_rollups(profile: Profile) -> dict[str, sql.Composed]:
    """Column -> aggregate over rows of a finer roll-up."""
    return {column: merged(column) for channel in profile.channels for column in channel_columns(channel)}


def merged(column: str) -> sql.Composed:
    """The column of a wider bucket from those of the narrower ones in it."""
    function = {"min": "min", "max": "max"}.get(column.rpartition("_")[2], "sum")
    return sql.SQL("{}({})").format(sql.SQL(function), sql.Identifier(column))


def mean(channel: Channel, read: Callable[[str], sql.Composable]) -> sql.Composed:
    """The mean that fits the quantity: energy of noise, direction, the most frequent state, or the plain mean.

    `read` gives the expression of a column, its name itself or `merged`; NULL where no value was normal.
    """
    columns = {suffix: read(f"{channel.name}_{suffix}") for suffix in ("n", "sum", "pow", "sin", "cos")}
    if channel.type == "enum":
        counts = [read(f"{channel.name}_n{symbol}") for symbol in range(len(channel.symbols))]
        cases = [sql.SQL("WHEN {} THEN {}").format(count, sql.Literal(symbol)) for symbol, count in enumerate(counts)]
        return sql.SQL("CASE nullif(greatest({}), 0) {} END::float8").format(
            sql.SQL(", ").join(counts), sql.SQL(" ").join(cases)
        )
    if channel.noise:
        return sql.SQL(SQL["rollup_mean_energy"]).format(**columns)
    if channel.circular:
        return sql.SQL(SQL["rollup_mean_direction"]).format(**columns)
    return sql.SQL(SQL["rollup_mean"]).format(**columns)
