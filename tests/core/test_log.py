"""The log: gapless streams, cursors that move with the work, trimming that spares the unread."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import psycopg
import pytest

from core import log
from core.clock import SystemClock
from core.database import connect, connect_sync
from core.log import Kind, NewEntry, Reader, append, append_sync, shard_of
from core.settings import Settings


async def open_connection(settings: Settings) -> psycopg.AsyncConnection:
    return await connect(settings.database, application="test")


def entry(site: int, payload: bytes) -> NewEntry:
    return NewEntry(shard_of(site), Kind.READINGS, payload)


async def test_entries_come_back_in_order_within_each_stream(settings: Settings) -> None:
    async with await open_connection(settings) as connection:
        await append(connection, "a", [entry(1, b"1"), entry(2, b"x"), entry(1, b"2")])
        await append(connection, "a", [entry(1, b"3")])
        await append(connection, "b", [entry(1, b"other")])
        reader = Reader("live", registered=False)
        await reader.open(connection)
        entries = await reader.read(connection)
        stream = [(e.sequence, e.payload) for e in entries if (e.writer, e.shard) == ("a", 1)]
        assert stream == [(1, b"1"), (2, b"2"), (3, b"3")]
        assert {(e.writer, e.payload) for e in entries} >= {("a", b"x"), ("b", b"other")}
        assert await reader.read(connection) == []


async def test_a_small_limit_cuts_no_stream_in_its_middle(settings: Settings) -> None:
    async with await open_connection(settings) as connection:
        for number in range(7):
            await append(connection, "a", [entry(site, bytes([site, number])) for site in range(5)])
        reader = Reader("live", registered=False)
        await reader.open(connection)
        seen: dict[int, list[int]] = {}
        while entries := await reader.read(connection, limit=4):
            for e in entries:
                seen.setdefault(e.shard, []).append(e.payload[1])
        assert seen == {site: list(range(7)) for site in range(5)}


async def test_an_aborted_transaction_leaves_no_entry_and_no_gap(settings: Settings) -> None:
    async with await open_connection(settings) as connection:
        await append(connection, "a", [entry(1, b"1")])
        with pytest.raises(RuntimeError):
            async with connection.transaction():
                await append(connection, "a", [entry(1, b"lost")])
                raise RuntimeError
        await append(connection, "a", [entry(1, b"2")])
        reader = Reader("live", registered=False)
        await reader.open(connection)
        assert [(e.sequence, e.payload) for e in await reader.read(connection)] == [(1, b"1"), (2, b"2")]


async def test_two_writers_of_one_stream_never_show_out_of_order(settings: Settings) -> None:
    """The second append waits for the first to commit, so a reader never passes a sequence that shows later."""
    async with await open_connection(settings) as first, await open_connection(settings) as second:
        async with first.transaction():
            await append(first, "a", [entry(1, b"first")])
            waiting = asyncio.create_task(append(second, "a", [entry(1, b"second")]))
            async with await open_connection(settings) as watcher:
                reader = Reader("live", registered=False)
                await reader.open(watcher)
                assert await reader.read(watcher) == []
            assert not waiting.done()
        await waiting
        reader = Reader("live", registered=False)
        await reader.open(first)
        assert [e.payload for e in await reader.read(first)] == [b"first", b"second"]


async def test_a_cursor_moves_with_the_transaction_of_the_work(settings: Settings) -> None:
    async with await open_connection(settings) as connection:
        await append(connection, "a", [entry(1, b"1"), entry(1, b"2")])
        reader = Reader("engine", registered=True)
        await reader.open(connection)
        assert len(await reader.read(connection)) == 2
        with pytest.raises(RuntimeError):
            async with connection.transaction():
                await reader.commit(connection)
                raise RuntimeError
        await reader.open(connection)
        assert len(await reader.read(connection)) == 2
        async with connection.transaction():
            await reader.commit(connection)
        again = Reader("engine", registered=True)
        await again.open(connection)
        assert await again.read(connection) == []


async def test_a_live_reader_starts_at_the_end(settings: Settings) -> None:
    async with await open_connection(settings) as connection:
        await append(connection, "a", [entry(1, b"old")])
        reader = Reader("live", registered=False)
        await reader.open(connection, at="end")
        await append(connection, "a", [entry(1, b"new")])
        await append(connection, "b", [entry(1, b"new too")])
        assert {e.payload for e in await reader.read(connection)} == {b"new", b"new too"}


async def test_trimming_spares_what_a_registered_reader_has_not_read(settings: Settings) -> None:
    later = SystemClock().now() + timedelta(hours=1)
    async with await open_connection(settings) as connection:
        await append(connection, "a", [entry(1, b"1"), entry(2, b"2")])
        fast, slow = Reader("fast", registered=True), Reader("slow", registered=True)
        for reader in (fast, slow):
            await reader.open(connection)
        await fast.read(connection)
        await fast.commit(connection)
        assert await log.trim(connection, now=later, max_bytes=1_000_000) == 0
        assert await log.lag(connection) == {"fast": 0, "slow": 2}
        await slow.read(connection)
        await slow.commit(connection)
        assert (
            await log.trim(connection, now=SystemClock().now(), max_bytes=1_000_000) == 0
        )  # the tail for live readers
        assert await log.trim(connection, now=later, max_bytes=1_000_000) == 2


async def test_beyond_the_cap_the_oldest_entries_go(settings: Settings) -> None:
    async with await open_connection(settings) as connection:
        await Reader("slow", registered=True).open(connection)
        for number in range(10):
            await append(connection, "a", [entry(1, bytes([number]) * 100)])
        assert await log.trim(connection, now=SystemClock().now(), max_bytes=350) == 7
        reader = Reader("slow", registered=True)
        await reader.open(connection)
        assert [e.payload[0] for e in await reader.read(connection)] == [7, 8, 9]


async def test_a_reader_may_rest_so_that_some_gather(settings: Settings) -> None:
    stop = asyncio.Event()
    rings = log.doorbell(settings.database, clock=SystemClock(), stop=stop, rest_s=0.2)
    await anext(rings)
    with connect_sync(settings.database, application="test") as connection:
        append_sync(connection, "a", [entry(1, b"1")])
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(10):
        await anext(rings)
    assert asyncio.get_running_loop().time() - began >= 0.2
    stop.set()
    with pytest.raises(StopAsyncIteration):
        await anext(rings)


async def test_the_doorbell_rings_after_commit(settings: Settings) -> None:
    stop = asyncio.Event()
    rings = log.listen(settings.database, log.DOORBELL, clock=SystemClock(), stop=stop, poll_s=30)
    await anext(rings)  # at once
    await anext(rings)  # when the ear is in place
    with connect_sync(settings.database, application="test") as connection:
        append_sync(connection, "a", [entry(1, b"1")])
    async with asyncio.timeout(10):
        await anext(rings)
    stop.set()
    with pytest.raises(StopAsyncIteration):
        await anext(rings)
