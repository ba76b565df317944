"""The typed tables of the device kinds: made and widened from the profiles, add-only, cut into weeks.

A table has one row per message: key, flags, and a column and a quality letter per channel (NULL letter = N, normal).
Weeks are UTC, Monday to Monday. There is no default partition: what lies outside `accepted_span` is for ingest to set
aside. Where the timescaledb extension is installed a new table becomes a hypertable instead, cut into the same weeks.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import LiteralString

import psycopg
from psycopg import errors as pg
from psycopg import sql

from core.clock import Clock, SystemClock
from core.errors import ConfigurationError, Unavailable
from core.sql import queries
from sensors.profiles import ChannelType, Profile

logger = logging.getLogger(__name__)
SQL = queries(__package__)

WEEK = timedelta(weeks=1)
# Readings may be this much older than now (a station that was off line and fills its gap), or this much newer.
MAX_AGE = timedelta(days=35)
AHEAD = timedelta(weeks=4)

_TYPES: dict[ChannelType, LiteralString] = {
    "real": "real",
    "double": "double precision",
    "bigint": "bigint",
    "enum": "smallint",
}
# Wide columns first: PostgreSQL aligns each column to its width, and would pad between others.
_ORDER = {
    "timestamp with time zone": 0,
    "bigint": 0,
    "double precision": 0,
    "integer": 1,
    "real": 1,
    "smallint": 2,
    '"char"': 3,
}

_LOCK = 0x5317E004
_LOCK_TIMEOUT = "2s"
_ATTEMPTS = 5


def week_of(moment: datetime) -> datetime:
    """The Monday, 00:00 UTC, of the week in which the moment lies."""
    day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=day.weekday())


def accepted_span(now: datetime) -> tuple[datetime, datetime]:
    """The event times for which `maintain(now)` has made room: from, inclusive, and to, exclusive."""
    return week_of(now - MAX_AGE), week_of(now + AHEAD) + WEEK


async def reconcile(
    connection: psycopg.AsyncConnection,
    profiles: Mapping[str, Profile],
    *,
    now: datetime | None = None,
    clock: Clock | None = None,
) -> list[str]:
    """Make missing tables, add missing columns, make room around `now` (default: the clock's); nothing is ever dropped.

    Returns what was done, one line each; an empty list when all was there.

    Raises:
        ConfigurationError: a column exists with another type than its channel now has.
        Unavailable: a table stayed locked by others through all attempts.
    """
    clock = clock or SystemClock()
    done: list[str] = []
    for profile in profiles.values():
        done += await _under_lock(connection, profile.table, clock, partial(_reconcile_one, connection, profile))
    await maintain(connection, profiles, now or clock.now(), clock=clock)
    return done


async def maintain(
    connection: psycopg.AsyncConnection,
    profiles: Mapping[str, Profile],
    now: datetime,
    retention: timedelta | None = None,
    *,
    clock: Clock | None = None,
) -> None:
    """Make the weeks of `accepted_span(now)`; drop those that ended more than `retention` ago (None: keep all).

    Raises:
        Unavailable: a table stayed locked by others through all attempts.
    """
    clock = clock or SystemClock()
    for profile in profiles.values():
        work = partial(_maintain_one, connection, profile.table, now, retention)
        await _under_lock(connection, profile.table, clock, work)
    if retention is not None:
        await connection.execute(SQL["tables_trim_unknown"], {"before": now - retention})


async def _under_lock(
    connection: psycopg.AsyncConnection, table: str, clock: Clock, work: Callable[[], Awaitable[list[str]]]
) -> list[str]:
    """Run DDL in one transaction, alone among all processes that change tables.

    DDL that waits for its lock makes all later readers and writers of the table wait behind it, so it gives up soon
    and tries again a little later.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
                await connection.execute(SQL["tables_lock_timeout"], {"timeout": _LOCK_TIMEOUT})
                return await work()
        except pg.LockNotAvailable:
            logger.info("table is in use, trying again", extra={"table": table, "attempt": attempt})
            await clock.sleep(0.2 * attempt)
    raise Unavailable(
        f"table {table} could not be changed: others kept it locked", hint="end long transactions, then migrate again"
    )


async def _reconcile_one(connection: psycopg.AsyncConnection, profile: Profile) -> list[str]:
    present: dict[str, str] = dict(
        await (await connection.execute(SQL["tables_columns"], {"table": profile.table})).fetchall()
    )
    if not present:
        await _create(connection, profile)
        return [f"made table {profile.table}"]
    done = []
    for name, kind in _columns(profile).items():
        if name not in present:
            await connection.execute(
                sql.SQL("ALTER TABLE {} ADD COLUMN {} {}").format(
                    sql.Identifier(profile.table), sql.Identifier(name), sql.SQL(kind)
                )
            )
            done.append(f"added {profile.table}.{name}")
        elif present[name] != kind:
            raise ConfigurationError(
                f"{profile.table}.{name} holds {present[name]}, but kind {profile.kind} now wants {kind}",
                hint="a channel never changes its type: give the new one another name",
            )
    return done


def _columns(profile: Profile) -> dict[str, LiteralString]:
    """Columns beside the key, with their types as PostgreSQL writes them."""
    columns: dict[str, LiteralString] = {channel.name: _TYPES[channel.type] for channel in profile.channels}
    return columns | {f"{channel.name}_q": '"char"' for channel in profile.channels}


async def _create(connection: psycopg.AsyncConnection, profile: Profile) -> None:
    key: dict[str, LiteralString] = {"time": "timestamp with time zone", "device_id": "integer", "flags": "smallint"}
    columns = sorted((key | _columns(profile)).items(), key=lambda column: _ORDER[column[1]])
    hypertables = await _scalar(connection, "tables_timescaledb", {})
    await connection.execute(
        sql.SQL("CREATE TABLE {} ({}, PRIMARY KEY (device_id, time)) {}").format(
            sql.Identifier(profile.table),
            sql.SQL(", ").join(
                sql.SQL("{} {} {}").format(
                    sql.Identifier(name), sql.SQL(kind), sql.SQL("NOT NULL" if name in key else "")
                )
                for name, kind in columns
            ),
            sql.SQL("" if hypertables else "PARTITION BY RANGE (time)"),
        )
    )
    if hypertables:
        await connection.execute(SQL["tables_make_hypertable"], {"table": profile.table, "week": WEEK})


async def _maintain_one(
    connection: psycopg.AsyncConnection, table: str, now: datetime, retention: timedelta | None
) -> list[str]:
    if not await _scalar(connection, "tables_is_partitioned", {"table": table}):
        if retention is not None:  # a hypertable makes its chunks itself
            await connection.execute(SQL["tables_drop_chunks"], {"table": table, "before": now - retention})
        return []
    rows = await (await connection.execute(SQL["tables_partitions"], {"table": table})).fetchall()
    present = {name for (name,) in rows}
    start, end = accepted_span(now)
    done = []
    while start < end:
        name = _partition(table, start)
        if name not in present:
            await _attach(connection, table, name, start)
            done.append(f"made {name}")
        start += WEEK
    if retention is not None:
        # What is still accepted is kept, however short the retention: ingest relies on its weeks.
        last_kept = _partition(table, min(week_of(now - retention), accepted_span(now)[0]))
        for name in sorted(present):
            if name < last_kept:
                await connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
                done.append(f"dropped {name}")
    return done


def _partition(table: str, week: datetime) -> str:
    """Name of a week's partition; names sort as their weeks do."""
    return f"{table}_{week:%Y%m%d}"


async def _attach(connection: psycopg.AsyncConnection, table: str, name: str, start: datetime) -> None:
    # Attaching lets readers and writers of the parent go on, CREATE TABLE ... PARTITION OF would shut them out.
    parent, part = sql.Identifier(table), sql.Identifier(name)
    await connection.execute(sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING DEFAULTS)").format(part, parent))
    await connection.execute(
        sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
            parent, part, sql.Literal(start), sql.Literal(start + WEEK)
        )
    )


async def _scalar(connection: psycopg.AsyncConnection, name: str, parameters: dict[str, object]) -> bool:
    row = await (await connection.execute(SQL[name], parameters)).fetchone()
    return row is not None and bool(row[0])
