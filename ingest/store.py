"""One batch, one transaction: rows by COPY, what is set aside, entries of the log, counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType

import msgspec
import numpy as np
import psycopg
from psycopg import sql

from core import log
from core.log import Kind, NewEntry, shard_of
from core.sql import queries
from ingest import quarantine
from ingest.existing import sort_out, write_fill
from ingest.merge import fold
from ingest.message import Leaf
from ingest.numbering import Numbering, Numbers, Run
from ingest.prepare import NO_COMMAND, Prepared, SetAside, Unknown
from ingest.rows import Rows, copy_bytes, copy_columns, log_entries
from sensors import commands, entries
from sensors.codec_json import Reject
from sensors.entries import DeviceEntry
from sensors.hj212.decode import Statistic

SQL = queries(__package__)

CONFLICT = "conflict"  # a different value for a (device, time, channel) that has one
"""Reason under which a second, different value is set aside."""

Seen = Mapping[int, tuple[int, int]]
_NO_NUMBERS: Numbers = MappingProxyType({})


@dataclass(slots=True)
class Outcome:
    """Counts of one transaction; what became of a batch; see the table ingest_count."""

    messages: int = 0
    stored: int = 0
    filled: int = 0
    duplicates: int = 0
    quarantined: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Writes prepared batches as `worker`; keeps the newest `quarantine_rows` set-aside rows of each device."""

    worker: str
    quarantine_rows: int

    @property
    def writer(self) -> str:
        """Name of this worker's streams in the log."""
        return f"ingest-{self.worker}"

    async def last_batch(self, connection: psycopg.AsyncConnection) -> int:
        """Number of the last batch that this worker committed."""
        await connection.execute(SQL["count_open"], {"worker": self.worker})
        row = await (await connection.execute(SQL["count_batch"], {"worker": self.worker})).fetchone()
        assert row is not None
        return int(row[0])

    async def forget_connected(self, connection: psycopg.AsyncConnection) -> None:
        """Mark the connections that this worker held as not known: it starts or stops."""
        async with connection.transaction():
            await connection.execute(SQL["seen_lock"])
            await connection.execute(SQL["seen_forget"], {"worker": self.worker})

    async def write(
        self,
        connection: psycopg.AsyncConnection,
        prepared: Prepared,
        *,
        number: int,
        seen: Seen,
        merge: bool,
        numbers: Numbers = _NO_NUMBERS,
    ) -> Outcome:
        """Write and commit the batch.

        With `merge` off every row is taken to be new, and UniqueViolation tells that one is not; with it on, rows are
        first compared with those of the table. `seen` is device -> (newest event time, newest arrival) to store along,
        `numbers` the running numbers to lay on those of the devices, each once.
        """
        outcome = Outcome(messages=sum(message.origin.leaf is Leaf.TELEMETRY for message in prepared.messages))
        aside = list(prepared.aside)
        async with connection.transaction():
            if seen or numbers or prepared.presence:
                await connection.execute(SQL["seen_lock"])
            logged: list[Rows] = []
            for rows in prepared.rows:
                logged += await _write_rows(connection, rows, outcome, aside, merge=merge)
            aside += await _settle(connection, prepared)
            outcome.quarantined = len(aside)
            new_entries = log_entries(logged)
            new_entries += [_entry(alarm) for alarm in prepared.alarms]
            new_entries += await self._write_presence(connection, prepared)
            if numbers:
                await _write_numbers(connection, numbers)
            # None of these has an answer that the next one needs: one round trip for all.
            async with connection.pipeline():
                if prepared.unknown.device:
                    await _write_unknown(connection, prepared.unknown)
                if prepared.statistics:
                    await _write_statistics(connection, prepared.statistics)
                if aside:
                    await quarantine.write(connection, prepared.messages, aside, keep=self.quarantine_rows)
                if seen:
                    await _write_seen(connection, seen)
                await log.append(connection, self.writer, new_entries)
                counts = asdict(outcome)
                await connection.execute(SQL["count_move"], {**counts, "worker": self.worker, "batch": number})
        return outcome

    async def _write_presence(self, connection: psycopg.AsyncConnection, prepared: Prepared) -> list[NewEntry]:
        """Store who is connected; entries only for devices whose state changed."""
        said = prepared.presence
        if not said:
            return []
        cursor = await connection.execute(
            SQL["seen_connected"],
            {
                "worker": self.worker,
                "device": list(said),
                "at": [one.at for one in said.values()],
                "connected": [one.connected for one in said.values()],
                "held": [one.held for one in said.values()],
            },
        )
        return [
            _entry(
                DeviceEntry(
                    device=one.device.id,
                    site=one.device.site_id,
                    time=one.at,
                    event="connected" if one.connected else "disconnected",
                )
            )
            for (number,) in await cursor.fetchall()
            for one in (said[number],)
        ]


async def _write_unknown(connection: psycopg.AsyncConnection, unknown: Unknown) -> None:
    await connection.execute(
        SQL["unknown_insert"],
        {"device": unknown.device, "metric": unknown.metric, "time": unknown.time, "value": unknown.value},
    )


async def _write_statistics(connection: psycopg.AsyncConnection, statistics: Sequence[tuple[int, Statistic]]) -> None:
    def column(values: Iterable[float]) -> list[float | None]:
        return [None if value != value else value for value in values]

    await connection.execute(
        SQL["statistics_insert"],
        {
            "device": [device for device, _ in statistics],
            "period": [item.period for _, item in statistics],
            "metric": [item.metric for _, item in statistics],
            "time": [item.time for _, item in statistics],
            "mean": column(item.mean for _, item in statistics),
            "minimum": column(item.minimum for _, item in statistics),
            "maximum": column(item.maximum for _, item in statistics),
            "total": column(item.total for _, item in statistics),
            "quality": [None if item.quality == "N" else item.quality for _, item in statistics],
        },
    )


async def _write_numbers(connection: psycopg.AsyncConnection, numbers: Numbers) -> None:
    """Lay running numbers upon the rows of their devices; seen_lock is held."""
    cursor = await connection.execute(SQL["sequence_read"], {"device": list(numbers)})
    known = {
        device: Numbering(received, late, repeated, restarts, lost, gap_at, msgspec.json.decode(runs, type=list[Run]))
        for device, received, late, repeated, restarts, lost, gap_at, runs in await cursor.fetchall()
    }
    for device, spans in numbers.items():
        numbering = known.setdefault(device, Numbering())
        for span in spans:
            numbering.lay(span)
    every = known.values()
    await connection.execute(
        SQL["sequence_write"],
        {
            "device": list(known),
            "since": [numbering.runs[0].start for numbering in every],
            "received": [numbering.received for numbering in every],
            "missing": [numbering.missing for numbering in every],
            "late": [numbering.late for numbering in every],
            "repeated": [numbering.repeated for numbering in every],
            "restarts": [numbering.restarts for numbering in every],
            "lost": [numbering.lost for numbering in every],
            "gap_at": [numbering.gap_at for numbering in every],
            "runs": [msgspec.json.encode(numbering.runs).decode() for numbering in every],
        },
    )


async def _write_seen(connection: psycopg.AsyncConnection, seen: Seen) -> None:
    await connection.execute(
        SQL["seen_readings"],
        {
            "device": list(seen),
            "time": [time for time, _ in seen.values()],
            "arrived": [arrived for _, arrived in seen.values()],
        },
    )


async def _write_rows(
    connection: psycopg.AsyncConnection, rows: Rows, outcome: Outcome, aside: list[SetAside], *, merge: bool
) -> list[Rows]:
    """Write the rows of one kind; return what the log is to hold: rows that are new, and cells that were filled."""
    folded = fold(rows)
    outcome.filled += len(folded.filled)
    outcome.duplicates += len(folded.duplicates)
    aside += [_conflict(rows, place) for place in folded.conflicts.tolist()]
    new = folded.rows
    logged: list[Rows] = []
    if merge:
        found = await sort_out(connection, new)
        outcome.filled += len(found.filled)
        outcome.duplicates += len(found.duplicates)
        aside += [_conflict(new, place) for place in found.conflicts.tolist()]
        if len(found.fill):
            await write_fill(connection, found.fill)
            logged.append(found.fill)
        new = found.new
    if len(new):
        # In the order of the key: two workers that were given the same messages wait for each other, never in a circle.
        ordered = new.pick(np.lexsort((new.time, new.device)))
        async with connection.cursor() as cursor, cursor.copy(_copy(new)) as copy:
            await copy.write(copy_bytes(ordered))
        outcome.stored += len(new)
        logged.append(new)
    return logged


def _copy(rows: Rows) -> sql.Composed:
    return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
        sql.Identifier(rows.profile.table),
        sql.SQL(", ").join(sql.Identifier(name) for name in copy_columns(rows.profile)),
    )


def _conflict(rows: Rows, place: int) -> SetAside:
    time = np.datetime64(int(rows.time[place]), "us")
    return SetAside(int(rows.message[place]), Reject(CONFLICT, f"another value is stored for {time}Z"))


async def _settle(connection: psycopg.AsyncConnection, prepared: Prepared) -> list[SetAside]:
    """Bring replies to their commands; those that belong to none are set aside."""
    if not prepared.replies:
        return []
    known = await commands.settle(connection, [(device, reply, at) for _, device, reply, at in prepared.replies])
    return [
        SetAside(place, Reject(NO_COMMAND, f"the device was given no command {reply.id}"))
        for place, device, reply, _ in prepared.replies
        if (device, reply.id) not in known
    ]


def _entry(entry: DeviceEntry) -> NewEntry:
    return NewEntry(shard_of(entry.site), Kind.DEVICE, entries.encode(entry))
