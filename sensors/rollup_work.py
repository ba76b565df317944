"""Computes the buckets of roll-ups that readings have touched, from what the tables hold; so doing it again is right.

The log tells what was touched: a registered reader's cursors commit with the buckets that follow from its entries, so
that a process killed at any moment leaves neither a gap nor a sum that counts twice.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import sql

from core.clock import Clock, from_micros, micros
from core.log import Kind, Reader
from core.sql import queries
from sensors import batch
from sensors.profiles import Profile
from sensors.rollups import (
    DAY,
    HOUR,
    MINUTE,
    QUARTER,
    RESOLUTIONS,
    Resolution,
    from_readings,
    from_rollups,
    table_of,
)
from sensors.tables import MAX_AGE, WEEK, accepted_span, week_of

logger = logging.getLogger(__name__)
SQL = queries(__package__)

READER = "rollup"
_ROWS = 2_000_000
"""Readings that one transaction takes from the log at most."""
_PIECE = timedelta(hours=6)
"""What one transaction rebuilds: a kind's readings of this long."""
_REBUILD_S = 20.0
"""Seconds of rebuilding before other house-keeping gets its turn."""

Minutes = npt.NDArray[np.int64]
"""Pairs (device, minute since the epoch), each packed into an int64; ascending and unique."""
_MINUTE_BITS = 32
_MINUTE_US = 60_000_000


@dataclass(frozen=True, slots=True)
class Spans:
    """Spans of time by device, disjoint: three lists of one length."""

    device: list[int]
    start: list[datetime]
    stop: list[datetime]

    def __len__(self) -> int:
        return len(self.device)


def minutes_of(device: npt.NDArray[np.int32], time: npt.NDArray[np.int64]) -> Minutes:
    """The minutes in which readings lie; `time` in microseconds since the epoch."""
    return np.unique((device.astype(np.int64) << _MINUTE_BITS) | (time // _MINUTE_US))


def spans(minutes: Minutes, width: timedelta) -> Spans:
    """The buckets of `width` that the minutes lie in, neighbours joined."""
    per = width // timedelta(minutes=1)
    device, bucket = minutes >> _MINUTE_BITS, (minutes & (2**_MINUTE_BITS - 1)) // per
    keys = np.unique((device << _MINUTE_BITS) | bucket)
    if not len(keys):
        return Spans([], [], [])
    breaks = np.flatnonzero(np.diff(keys) != 1) + 1
    first, last = keys[np.r_[0, breaks]], keys[np.r_[breaks, len(keys)] - 1]
    mask, us = 2**_MINUTE_BITS - 1, per * _MINUTE_US
    return Spans(
        (first >> _MINUTE_BITS).tolist(),
        [from_micros(int(place) * us) for place in (first & mask)],
        [from_micros((int(place) + 1) * us) for place in (last & mask)],
    )


@dataclass(slots=True)
class Work:
    """What a pass did: readings seen in the log, minutes that they touched, pieces rebuilt."""

    readings: int = 0
    minutes: int = 0
    pieces: int = 0


class Rollups:
    """Keeps the roll-ups of all kinds right. One process at a time may run it (the keeper's lock)."""

    def __init__(self, profiles: Mapping[str, Profile], clock: Clock) -> None:
        self._profiles = profiles
        self._clock = clock

    async def run(self, connection: psycopg.AsyncConnection) -> Work:
        """Take from the log all that it holds, then rebuild what is ordered for some seconds."""
        work = Work()
        while await self._take(connection, work):
            pass
        until = self._clock.monotonic() + _REBUILD_S
        while self._clock.monotonic() < until and await self._rebuild_piece(connection):
            work.pieces += 1
        return work

    async def _take(self, connection: psycopg.AsyncConnection, work: Work) -> bool:
        """One transaction of readings; False when the log was read to its end."""
        now = self._clock.now()
        async with connection.transaction():
            await _quick(connection)
            reader = Reader(READER, registered=True)
            await reader.open(connection)
            await self._begin(connection, now)
            heads = await (await connection.execute(SQL["rollup_heads"])).fetchall()
            touched, rows, lost, ended = await self._touched(connection, reader)
            if ended:
                for writer, shard, last in heads:
                    if reader.position.get((writer, shard), 0) < last:
                        reader.position[writer, shard] = last
                        lost = True
            if lost and (last_pass := await through(connection)) is not None:
                await self._order_lost(connection, since=last_pass, now=now)
            for kind, minutes in touched.items():
                if kind in self._profiles:
                    await recompute(connection, self._profiles[kind], minutes, floor=await _floor(connection, kind))
                    work.minutes += len(minutes)
            await reader.commit(connection)
            if ended:
                await connection.execute(SQL["rollup_pass"], {"through": now})
        work.readings += rows
        return not ended

    async def _touched(
        self, connection: psycopg.AsyncConnection, reader: Reader
    ) -> tuple[dict[str, Minutes], int, bool, bool]:
        """Minutes by kind; how many readings; whether entries are missing; whether the log was read to its end."""
        parts: dict[str, list[Minutes]] = {}
        rows, lost = 0, False
        while rows < _ROWS:
            before = dict(reader.position)
            entries = await reader.read(connection)
            if not entries:
                break
            for entry in entries:
                stream = (entry.writer, entry.shard)
                lost |= entry.sequence != before.get(stream, 0) + 1
                before[stream] = entry.sequence
                if entry.kind is not Kind.READINGS:
                    continue
                for readings in batch.decode(entry.payload):
                    parts.setdefault(readings.kind, []).append(minutes_of(readings.device, readings.time))
                    rows += len(readings)
        touched = {kind: np.unique(np.concatenate(minutes)) for kind, minutes in parts.items()}
        return touched, rows, lost, rows < _ROWS

    async def _begin(self, connection: psycopg.AsyncConnection, now: datetime) -> None:
        """A kind without roll-ups: what it already has is to be rebuilt."""
        cursor = await connection.execute(SQL["rollup_unknown_kinds"], {"kinds": list(self._profiles)})
        for (kind,) in await cursor.fetchall():
            extent = sql.SQL(SQL["rollup_extent"]).format(table=sql.Identifier(self._profiles[kind].table))
            row = await (await connection.execute(extent, {"kind": kind})).fetchone()
            assert row is not None
            for resolution in ("raw", *(each.name for each in RESOLUTIONS)):
                # Minutes are made of what may still change; charts of older days read the readings.
                since = accepted_span(now)[0] if resolution == MINUTE.name else datetime(1, 1, 1, tzinfo=UTC)
                await connection.execute(SQL["rollup_begin"], {"kind": kind, "resolution": resolution, "since": since})
            if row[0] is not None:
                await order_rebuild(connection, kind, row[0], row[1])

    async def _order_lost(self, connection: psycopg.AsyncConnection, *, since: datetime, now: datetime) -> None:
        """Entries that were dropped unread may have been as old as ingest accepts when they were written."""
        logger.warning("the log dropped entries before they were rolled up, rebuilding", extra={"since": str(since)})
        for kind, profile in self._profiles.items():
            extent = sql.SQL(SQL["rollup_extent"]).format(table=sql.Identifier(profile.table))
            row = await (await connection.execute(extent, {"kind": kind})).fetchone()
            if row is not None and row[1] is not None:
                await order_rebuild(connection, kind, since - MAX_AGE, max(now, row[1]))

    async def _rebuild_piece(self, connection: psycopg.AsyncConnection) -> bool:
        async with connection.transaction():
            await _quick(connection)
            cursor = await connection.execute(SQL["rollup_next_rebuild"], {"kinds": list(self._profiles)})
            row = await cursor.fetchone()
            if row is None:
                return False
            kind, low, high = row
            start = max(low, high - _PIECE)
            found = await (await connection.execute(SQL["rollup_devices"], {"kind": kind})).fetchall()
            first, last = micros(start) // _MINUTE_US, micros(high) // _MINUTE_US
            minutes = np.concatenate(
                [np.arange(first, last, dtype=np.int64) | (number << _MINUTE_BITS) for (number,) in sorted(found)]
                or [np.empty(0, dtype=np.int64)]
            )
            await recompute(connection, self._profiles[kind], minutes, floor=await _floor(connection, kind))
            await connection.execute(SQL["rollup_rebuilt"], {"kind": kind, "high": start})
            await connection.execute(SQL["rollup_done"])
        return True


async def through(connection: psycopg.AsyncConnection) -> datetime | None:
    """The moment up to which all that was stored is rolled up; None before the first pass."""
    row = await (await connection.execute(SQL["rollup_through"])).fetchone()
    return None if row is None else row[0]


async def _floor(connection: psycopg.AsyncConnection, kind: str) -> datetime:
    """The first week for all of which there is room in the table of minutes, and whose minutes are all there."""
    row = await (await connection.execute(SQL["rollup_since"], {"kind": kind, "resolution": MINUTE.name})).fetchone()
    assert row is not None, "a kind is begun before anything of it is computed"
    since: datetime = row[0]
    return since if since == week_of(since) else week_of(since) + WEEK


async def order_rebuild(connection: psycopg.AsyncConnection, kind: str, low: datetime, high: datetime) -> None:
    """Have [low, high], widened to full hours, computed anew; readers take the readings themselves until then."""
    hour = timedelta(hours=1)
    first = from_micros(micros(low) // micros_of(hour) * micros_of(hour))
    last = from_micros(micros(high) // micros_of(hour) * micros_of(hour)) + hour
    await connection.execute(SQL["rollup_order_rebuild"], {"kind": kind, "low": first, "high": last})


def micros_of(span: timedelta) -> int:
    """Microseconds of a span."""
    return span // timedelta(microseconds=1)


async def recompute(
    connection: psycopg.AsyncConnection, profile: Profile, minutes: Minutes, *, floor: datetime
) -> None:
    """Write anew all buckets that the minutes lie in, in the caller's transaction.

    Minutes before `floor` may have no room in the table of minutes: their quarters come from the readings.
    """
    if not len(minutes):
        return
    old = (minutes & (2**_MINUTE_BITS - 1)) < micros(floor) // _MINUTE_US
    await _buckets(connection, profile, QUARTER, spans(minutes[old], QUARTER.width), finer=None)
    await _buckets(connection, profile, MINUTE, spans(minutes[~old], MINUTE.width), finer=None)
    await _buckets(connection, profile, QUARTER, spans(minutes[~old], QUARTER.width), finer=MINUTE)
    hours = spans(minutes, HOUR.width)
    await _buckets(connection, profile, HOUR, hours, finer=QUARTER)
    await connection.execute(_statement("rollup_days", profile, DAY, QUARTER), _parameters(hours))


async def _buckets(
    connection: psycopg.AsyncConnection,
    profile: Profile,
    target: Resolution,
    touched: Spans,
    *,
    finer: Resolution | None,
) -> None:
    if len(touched):
        scope = _parameters(touched) | {
            "width": target.width,
            "first": min(touched.start),
            "last": max(touched.stop),
        }
        await connection.execute(_statement("rollup_buckets", profile, target, finer), scope)


def _parameters(touched: Spans) -> dict[str, object]:
    return {"device": touched.device, "start": touched.start, "stop": touched.stop}


def _statement(name: str, profile: Profile, target: Resolution, finer: Resolution | None) -> sql.Composed:
    aggregates = from_readings(profile) if finer is None else from_rollups(profile)
    written = ["messages", "expected", *aggregates]
    if target is DAY:
        written.append("time")
    return sql.SQL(SQL[name]).format(
        target=sql.Identifier(table_of(profile, target)),
        source=sql.Identifier(profile.table if finer is None else table_of(profile, finer)),
        columns=sql.SQL(", ").join(map(sql.Identifier, aggregates)),
        messages=sql.SQL("count(*)" if finer is None else "sum(messages)"),
        aggregates=sql.SQL(", ").join(
            sql.SQL("{} AS {}").format(expression, sql.Identifier(column)) for column, expression in aggregates.items()
        ),
        assignments=sql.SQL(", ").join(
            sql.SQL("{0} = excluded.{0}").format(sql.Identifier(column)) for column in written
        ),
    )


async def _quick(connection: psycopg.AsyncConnection) -> None:
    """Compiling a statement of a hundred aggregates takes longer than it saves."""
    await connection.execute(SQL["rollup_no_jit"])
