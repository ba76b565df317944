"""The typed tables of the device kinds: made and widened from the profiles, add-only, cut into weeks.

A table of readings has one row per message: key, flags, and a column and a quality letter per channel (NULL letter = N,
normal). Beside it stand the kind's roll-ups (sensors/rollups.py). Readings and minutes are cut into weeks, UTC, Monday
to Monday. There is no default partition: what lies outside `accepted_span` is for ingest to set aside. Where the
timescaledb extension is installed these tables are hypertables instead, whose old chunks become columns.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import LiteralString

import psycopg
from psycopg import errors as pg
from psycopg import sql

from core.clock import Clock, SystemClock
from core.errors import ConfigurationError, Unavailable
from core.sql import queries
from sensors.profiles import Profile
from sensors.rollups import COLUMN_TYPES, DAY, MINUTE, RESOLUTIONS, channel_columns, table_of

logger = logging.getLogger(__name__)
SQL = queries(__package__)

WEEK = timedelta(weeks=1)
# Readings may be this much older than now (a station that was off line and fills its gap), or this much newer.
MAX_AGE = timedelta(days=35)
AHEAD = timedelta(weeks=4)
# On TimescaleDB, chunks that ended this long ago are turned into columns; late readings still go into them.
COLUMNSTORE_AFTER = timedelta(weeks=1)
# Rows of a device that are packed into one compressed value a column, seven hours of one every 5 s. TimescaleDB's own
# 1000 make values of one or two TOAST pieces, which fill their pages badly: 6 % more on disk for noisy values, 50 % for
# calm ones. Beyond 5000 little is won, and a look at one reading unpacks all of them.
COLUMNSTORE_BATCH = 5000

# Wide columns first: PostgreSQL aligns each column to its width, and would pad between others.
_ORDER = {
    "timestamp with time zone": 0,
    "bigint": 0,
    "double precision": 0,
    "integer": 1,
    "date": 1,
    "real": 1,
    "smallint": 2,
    '"char"': 3,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What a table is to look like: `key` columns, never NULL, and others; cut into weeks, or whole."""

    name: str
    kind: str
    resolution: str
    key: tuple[str, ...] = ("device_id", "time")
    required: Mapping[str, LiteralString]
    columns: Mapping[str, LiteralString]
    weekly: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long things are kept: readings, and roll-ups by the name of their resolution (not named: for ever)."""

    readings: timedelta
    rollups: Mapping[str, timedelta] = field(default_factory=dict)

    def of(self, table: Table) -> timedelta | None:
        return self.readings if table.resolution == "raw" else self.rollups.get(table.resolution)


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


def tables_of(profile: Profile) -> list[Table]:
    """The kind's tables: its readings, then its roll-ups from fine to coarse."""
    letters: dict[str, LiteralString] = {f"{channel.name}_q": '"char"' for channel in profile.channels}
    key: dict[str, LiteralString] = {"device_id": "integer", "time": "timestamp with time zone"}
    tables = [
        Table(
            name=profile.table,
            kind=profile.kind,
            resolution="raw",
            required=key | {"flags": "smallint"},
            columns={channel.name: COLUMN_TYPES[channel.type] for channel in profile.channels} | letters,
        )
    ]
    sums = {name: kind for channel in profile.channels for name, kind in channel_columns(channel).items()}
    for resolution in RESOLUTIONS:
        day: dict[str, LiteralString] = {"day": "date"} if resolution is DAY else {}
        tables.append(
            Table(
                name=table_of(profile, resolution),
                kind=profile.kind,
                resolution=resolution.name,
                # A site's day is a date: it stays one row, whatever becomes of the zone's rules.
                key=("device_id", "day") if resolution is DAY else ("device_id", "time"),
                required=key | day | {"messages": "integer", "expected": "real"},
                columns=sums,
                weekly=resolution is MINUTE,
            )
        )
    return tables


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
        for table in tables_of(profile):
            done += await under_lock(connection, table.name, clock, partial(_reconcile_one, connection, table))
    done += await under_lock(connection, "pg_db_role_setting", clock, partial(_set_batch, connection))
    await maintain(connection, profiles, now or clock.now(), clock=clock)
    return done


async def maintain(
    connection: psycopg.AsyncConnection,
    profiles: Mapping[str, Profile],
    now: datetime,
    retention: Retention | None = None,
    *,
    clock: Clock | None = None,
) -> None:
    """Make the weeks of `accepted_span(now)`; drop what ended before its retention (None: keep all).

    Raises:
        Unavailable: a table stayed locked by others through all attempts.
    """
    clock = clock or SystemClock()
    for profile in profiles.values():
        for table in tables_of(profile):
            kept = None if retention is None else retention.of(table)
            # What is still accepted is kept, however short the retention: ingest and the roll-ups rely on its weeks.
            before = None if kept is None else min(now - kept, accepted_span(now)[0])
            await under_lock(connection, table.name, clock, partial(_maintain_one, connection, table, now, before))
    if retention is not None:
        await connection.execute(SQL["tables_trim_unknown"], {"before": now - retention.readings})
        await connection.execute(SQL["tables_trim_statistics"], {"before": now - retention.readings})


async def under_lock(
    connection: psycopg.AsyncConnection, table: str, clock: Clock, work: Callable[[], Awaitable[list[str]]]
) -> list[str]:
    """Run DDL on a table or view in one transaction, alone among all processes that change them.

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


async def _reconcile_one(connection: psycopg.AsyncConnection, table: Table) -> list[str]:
    present: dict[str, str] = dict(
        await (await connection.execute(SQL["tables_columns"], {"table": table.name})).fetchall()
    )
    if not present:
        await _create(connection, table)
        done = [f"made table {table.name}"]
    else:
        done = await _widen(connection, table, present)
    if not table.weekly or not await _scalar(connection, "tables_timescaledb", {}):
        return done
    if await _scalar(connection, "tables_wants_columnstore", {"table": table.name}):
        await connection.execute(sql.SQL(SQL["tables_enable_columnstore"]).format(table=sql.Identifier(table.name)))
        await connection.execute(SQL["tables_columnstore_policy"], {"table": table.name, "after": COLUMNSTORE_AFTER})
        done.append(f"made {table.name} a columnstore")
    return done


async def _set_batch(connection: psycopg.AsyncConnection) -> list[str]:
    """Tell the sessions of our role in this database, TimescaleDB's own jobs among them, how many rows to pack."""
    if not await _scalar(connection, "tables_wants_batch", {"rows": COLUMNSTORE_BATCH}):
        return []
    name = sql.Identifier(connection.info.dbname)
    await connection.execute(sql.SQL(SQL["tables_batch"]).format(database=name, rows=sql.Literal(COLUMNSTORE_BATCH)))
    return [f"TimescaleDB packs columns by {COLUMNSTORE_BATCH} rows"]


async def _widen(connection: psycopg.AsyncConnection, table: Table, present: Mapping[str, str]) -> list[str]:
    done = []
    for name, kind in table.columns.items():
        if name not in present:
            await connection.execute(
                sql.SQL("ALTER TABLE {} ADD COLUMN {} {}").format(
                    sql.Identifier(table.name), sql.Identifier(name), sql.SQL(kind)
                )
            )
            done.append(f"added {table.name}.{name}")
        elif present[name] != kind:
            raise ConfigurationError(
                f"{table.name}.{name} holds {present[name]}, but kind {table.kind} now wants {kind}",
                hint="a channel never changes its type: give the new one another name",
            )
    return done


async def _create(connection: psycopg.AsyncConnection, table: Table) -> None:
    columns = sorted({**table.required, **table.columns}.items(), key=lambda column: _ORDER[column[1]])
    hypertable = table.weekly and await _scalar(connection, "tables_timescaledb", {})
    await connection.execute(
        sql.SQL("CREATE TABLE {} ({}, PRIMARY KEY ({})) {}").format(
            sql.Identifier(table.name),
            sql.SQL(", ").join(
                sql.SQL("{} {} {}").format(
                    sql.Identifier(name), sql.SQL(kind), sql.SQL("NOT NULL" if name in table.required else "")
                )
                for name, kind in columns
            ),
            sql.SQL(", ").join(map(sql.Identifier, table.key)),
            sql.SQL("PARTITION BY RANGE (time)" if table.weekly and not hypertable else ""),
        )
    )
    if hypertable:
        await connection.execute(SQL["tables_make_hypertable"], {"table": table.name, "week": WEEK})
    if not table.weekly:
        # For what is dropped by age; it grows by a page where an index by time would grow by as much as the table.
        await connection.execute(sql.SQL("CREATE INDEX ON {} USING brin (time)").format(sql.Identifier(table.name)))


async def _maintain_one(
    connection: psycopg.AsyncConnection, table: Table, now: datetime, before: datetime | None
) -> list[str]:
    if before is not None:
        scope = {"kind": table.kind, "resolution": table.resolution, "before": before}
        await connection.execute(SQL["rollup_forget"], scope)
    if not table.weekly:
        if before is not None:
            trim = sql.SQL(SQL["tables_trim"]).format(table=sql.Identifier(table.name))
            await connection.execute(trim, {"before": before})
        return []
    if not await _scalar(connection, "tables_is_partitioned", {"table": table.name}):
        if before is not None:  # a hypertable makes its chunks itself
            await connection.execute(SQL["tables_drop_chunks"], {"table": table.name, "before": before})
        return []
    rows = await (await connection.execute(SQL["tables_partitions"], {"table": table.name})).fetchall()
    present = {name for (name,) in rows}
    start, end = accepted_span(now)
    done = []
    while start < end:
        name = _partition(table.name, start)
        if name not in present:
            await _attach(connection, table.name, name, start)
            done.append(f"made {name}")
        start += WEEK
    if before is not None:
        last_kept = _partition(table.name, week_of(before))
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
