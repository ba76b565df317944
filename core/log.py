"""The log: what passes between rooms. Append-only batches, written in the transaction of the rows they announce.

A stream is (writer, one of 16 shards by site) with a gapless sequence. A notification after commit is the doorbell,
a poll its back-stop; a reader's memory is one cursor a stream, stored in the transaction of what it did.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any, Literal

import psycopg
from psycopg import sql

from core.clock import Clock
from core.database import connect, is_outage
from core.settings import DatabaseSettings
from core.sql import queries

logger = logging.getLogger(__name__)

SHARDS = 16
DOORBELL = "smartsite_log"
_POLL_S = 0.5
_KEEP = timedelta(minutes=2)
_SQL = queries("core")


class Kind(IntEnum):
    """What an entry's payload is; sensors.batch and sensors.entries hold the codecs."""

    READINGS = 1
    DEVICE = 2
    EPISODE = 3
    ALERT = 4


@dataclass(frozen=True, slots=True)
class NewEntry:
    """An entry to append; `shard` by `shard_of(site_id)`."""

    shard: int
    kind: Kind
    payload: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as read."""

    writer: str
    shard: int
    sequence: int
    kind: Kind
    written_at: datetime
    payload: bytes


def shard_of(site_id: int) -> int:
    """The shard of a site's entries: all of a site is in one stream per writer, in commit order."""
    return site_id % SHARDS


def _append_parameters(writer: str, entries: Sequence[NewEntry]) -> dict[str, Any]:
    return {
        "writer": writer,
        "shards": [entry.shard for entry in entries],
        "kinds": [int(entry.kind) for entry in entries],
        "payloads": [entry.payload for entry in entries],
    }


async def append(connection: psycopg.AsyncConnection, writer: str, entries: Sequence[NewEntry]) -> None:
    """Append in the caller's transaction; the doorbell rings when it commits."""
    if entries:
        await connection.execute(_SQL["log_append"], _append_parameters(writer, entries))
        await connection.execute(_SQL["log_ring"], {"writer": writer})


def append_sync(connection: psycopg.Connection, writer: str, entries: Sequence[NewEntry]) -> None:
    """`append` for code outside an event loop."""
    if entries:
        connection.execute(_SQL["log_append"], _append_parameters(writer, entries))
        connection.execute(_SQL["log_ring"], {"writer": writer})


class Reader:
    """Reads every stream from where it stands. A registered reader holds back trimming and stores its cursors.

    `shards`: only these; several readers of one name then read the log between them.
    """

    def __init__(self, reader: str, *, registered: bool, shards: Sequence[int] | None = None) -> None:
        self.reader = reader
        self.shards = None if shards is None else list(shards)
        self.registered = registered
        self.position: dict[tuple[str, int], int] = {}

    async def open(self, connection: psycopg.AsyncConnection, at: Literal["start", "end"] = "start") -> None:
        """Take up the stored cursors, or for a new or unregistered reader the start or the end of every stream.

        Also the way back after a transaction that failed: what was read since the last `commit` is read again.
        """
        self.position = {}
        known = False
        if self.registered:
            cursor = await connection.execute(_SQL["log_register"], {"reader": self.reader})
            known = cursor.rowcount == 0
            rows = await (await connection.execute(_SQL["log_cursors"], {"reader": self.reader})).fetchall()
            self.position = {(writer, shard): sequence for writer, shard, sequence in rows if self._is_mine(shard)}
        if at == "end" and not known:
            rows = await (await connection.execute(_SQL["log_streams"])).fetchall()
            self.position = {(writer, shard): last for writer, shard, last in rows if self._is_mine(shard)}

    async def read(self, connection: psycopg.AsyncConnection, limit: int = 256) -> list[Entry]:
        """At most `limit` entries behind the position, in order within each stream; moves the position in memory."""
        async with connection.cursor(binary=True) as cursor:
            await cursor.execute(_SQL["log_read"], {**self._columns(), "limit": limit, "only": self.shards})
            rows = await cursor.fetchall()
        entries = [
            Entry(writer, shard, sequence, Kind(kind), written_at, payload)
            for writer, shard, sequence, kind, written_at, payload in rows
        ]
        for entry in entries:
            self.position[entry.writer, entry.shard] = entry.sequence
        return entries

    async def commit(self, connection: psycopg.AsyncConnection) -> None:
        """Store the position in the caller's transaction, so that it moves exactly when the work behind it holds."""
        if not self.registered:
            raise ValueError(f"reader {self.reader} is not registered and has no stored cursor")
        await connection.execute(_SQL["log_commit"], {"reader": self.reader, **self._columns()})

    def _is_mine(self, shard: int) -> bool:
        return self.shards is None or shard in self.shards

    def _columns(self) -> dict[str, list[Any]]:
        return {
            "writers": [writer for writer, _ in self.position],
            "shards": [shard for _, shard in self.position],
            "sequences": list(self.position.values()),
        }


async def listen(
    settings: DatabaseSettings,
    channel: str,
    *,
    clock: Clock,
    stop: asyncio.Event,
    poll_s: float = _POLL_S,
    rest_s: float = 0,
) -> AsyncIterator[None]:
    """Yield at once, then after every notification on `channel` and at least every `poll_s` seconds, until `stop`.

    Holds a connection of its own; while the database is away it yields at the poll's pace, so that the caller finds
    out by its own means. Notifications that gather while the caller works, and for `rest_s` after it, make one yield.
    """
    rung = asyncio.Event()
    rung.set()
    ear = asyncio.create_task(_ear(settings, channel, rung, clock, rest_s), name=f"listen {channel}")
    halt = asyncio.create_task(stop.wait())
    try:
        while not stop.is_set():
            ring = asyncio.create_task(rung.wait())
            await asyncio.wait({ring, halt}, timeout=poll_s, return_when=asyncio.FIRST_COMPLETED)
            ring.cancel()
            if stop.is_set():
                return
            if ear.done():
                ear.result()
            rung.clear()
            yield
            if rest_s:
                await asyncio.wait({halt}, timeout=rest_s)
    finally:
        ear.cancel()
        halt.cancel()
        await asyncio.gather(ear, halt, return_exceptions=True)


def doorbell(
    settings: DatabaseSettings, *, clock: Clock, stop: asyncio.Event, rest_s: float = 0
) -> AsyncIterator[None]:
    """`listen` to the log."""
    return listen(settings, DOORBELL, clock=clock, stop=stop, rest_s=rest_s)


async def _ear(settings: DatabaseSettings, channel: str, rung: asyncio.Event, clock: Clock, rest_s: float) -> None:
    """Keep one LISTENing connection; the poll covers the time in which there is none."""
    while True:
        try:
            connection = await connect(settings, application=f"listen {channel}")
            async with connection:
                await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                rung.set()
                while True:
                    # Those that come while it rests are taken in all at once.
                    async for _ in connection.notifies(stop_after=1 if rest_s else None):
                        rung.set()
                    # By the network's time, as the rest of `listen`: a clock that stands still must not make it deaf.
                    await asyncio.sleep(rest_s)
        except psycopg.Error as error:
            if not is_outage(error):
                raise
        await clock.sleep(1)


async def trim(connection: psycopg.AsyncConnection, *, now: datetime, max_bytes: int) -> int:
    """Drop what every registered reader has read, and beyond `max_bytes` of payload the oldest; return entries dropped.

    The last two minutes stay in any case, for live readers without a cursor.
    """
    dropped = (await connection.execute(_SQL["log_trim_read"], {"before": now - _KEEP})).rowcount
    row = await (await connection.execute(_SQL["log_size"])).fetchone()
    if row is not None and row[1] > max_bytes:
        over = (await connection.execute(_SQL["log_trim_oldest"], {"max_bytes": max_bytes})).rowcount
        logger.warning("log is over its cap, unread entries dropped", extra={"entries": over, "max_bytes": max_bytes})
        dropped += over
    return dropped


async def size(connection: psycopg.AsyncConnection) -> int:
    """Bytes that the log takes on disk, indexes included."""
    row = await (await connection.execute(_SQL["log_disk"])).fetchone()
    assert row is not None
    return int(row[0])


async def lag(connection: psycopg.AsyncConnection) -> dict[str, int]:
    """Entries that each registered reader has not dealt with yet."""
    return dict(await (await connection.execute(_SQL["log_lag"])).fetchall())
