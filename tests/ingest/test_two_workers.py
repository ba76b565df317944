"""Several workers on one database: who holds a device's connection, and the same rows by two of them at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta

import psycopg
import pytest

from core.clock import SystemClock
from core.database import Reconnecting, connect
from core.settings import DatabaseSettings, Settings
from ingest.intake import Intake
from ingest.message import CONNECTED, DISCONNECTED, Leaf, Message
from ingest.prepare import Preparer
from ingest.store import Store
from ingest.writer import Writer
from tests.ingest.messages import NOW, PROFILES, device, message
from tests.ingest.plant import furnish, running, with_ingest
from tests.ingest.raw import RawClient
from tests.support.wait import eventually

SECOND = 1_000_000


def preparer() -> Preparer:
    return Preparer(PROFILES, max_age=timedelta(days=30), max_ahead=timedelta(minutes=5))


class Worker:
    """A store under a worker's name, with a look at the device's state after each word."""

    def __init__(self, name: str, connection: psycopg.AsyncConnection) -> None:
        self.name = name
        self.connection = connection
        self._store = Store(worker=name, quarantine_rows=10)
        self._number = 0

    async def hears(self, payload: bytes, *, leaf: Leaf = Leaf.PRESENCE, at: int) -> tuple[bool | None, str | None]:
        """Store a word on device 1, `at` seconds; return whether it counts as connected, and who holds it."""
        self._number += 1
        prepared = preparer().prepare([message(payload, leaf=leaf, arrived=NOW + at * SECOND)])
        await self._store.write(self.connection, prepared, number=self._number, seen={}, merge=False)
        return await self.state()

    async def state(self) -> tuple[bool | None, str | None]:
        cursor = await self.connection.execute("SELECT connected, connected_by FROM device_seen WHERE device_id = 1")
        row = await cursor.fetchone()
        assert row is not None
        return row[0], row[1]

    async def starts(self) -> tuple[bool | None, str | None]:
        """What a worker does first; it has a heartbeat then."""
        await self._store.forget_connected(self.connection)
        await self.connection.execute(
            "INSERT INTO worker (name, room, host, pid, started_at, beat_at)"
            " VALUES (%s, 'ingest', 'h', 1, now(), now()) ON CONFLICT DO NOTHING",
            [f"ingest-{self.name}"],
        )
        return await self.state()


@pytest.fixture
async def pair(database_url: str) -> AsyncIterator[tuple[Worker, Worker]]:
    await furnish(database_url)
    settings = DatabaseSettings(url=database_url)
    async with await connect(settings, application="one") as one, await connect(settings, application="two") as two:
        await one.execute(
            "INSERT INTO worker (name, room, host, pid, started_at, beat_at)"
            " SELECT 'ingest-' || n, 'ingest', 'h', 1, now(), now() FROM unnest(array['one', 'two']) AS n"
        )
        yield Worker("one", one), Worker("two", two)


async def test_the_end_of_a_connection_counts_only_where_the_device_is(pair: tuple[Worker, Worker]) -> None:
    one, two = pair
    assert await one.hears(CONNECTED, at=0) == (True, "one")
    # It came back by the other worker before the first one noticed that it was gone.
    assert await two.hears(CONNECTED, at=10) == (True, "two")
    assert await one.hears(DISCONNECTED, at=20) == (True, "two")
    assert await two.hears(DISCONNECTED, at=30) == (False, None)


async def test_a_worker_that_starts_forgets_what_it_held_and_nothing_else(pair: tuple[Worker, Worker]) -> None:
    one, two = pair
    await one.hears(CONNECTED, at=0)
    assert await two.starts() == (True, "one")
    assert await one.starts() == (None, None)
    await one.hears(CONNECTED, at=1)
    # One that was killed and never came back has no heartbeat any more.
    await two.connection.execute("DELETE FROM worker WHERE name = 'ingest-one'")
    assert await two.starts() == (None, None)


async def test_status_by_a_broker_is_any_workers_to_write_in_the_order_of_time(pair: tuple[Worker, Worker]) -> None:
    one, two = pair
    assert await one.hears(b"online", leaf=Leaf.STATUS, at=5) == (True, None)
    assert await two.hears(b"offline", leaf=Leaf.STATUS, at=3) == (True, None)
    assert await two.hears(b"offline", leaf=Leaf.STATUS, at=6) == (False, None)
    assert await one.hears(b"online", leaf=Leaf.STATUS, at=7) == (True, None)
    assert await two.starts() == (True, None)


async def test_what_a_device_says_itself_does_not_hide_who_holds_it(pair: tuple[Worker, Worker]) -> None:
    one, _ = pair
    prepared = preparer().prepare(
        [message(CONNECTED, leaf=Leaf.PRESENCE), message(b"online", leaf=Leaf.STATUS, arrived=NOW + 1)]
    )
    await Store(worker="one", quarantine_rows=10).write(one.connection, prepared, number=1, seen={}, merge=False)
    assert await one.state() == (True, "one")
    assert await one.hears(b"online", leaf=Leaf.STATUS, at=1) == (True, "one")


async def test_a_device_moves_between_two_running_workers(settings: Settings, database_url: str) -> None:
    await furnish(database_url)
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(running(with_ingest(settings, worker="one")))
        first = await RawClient.enter(one.port)
        await eventually(lambda: one.value("SELECT connected_by = 'one' FROM device_seen"))
        async with running(with_ingest(settings, worker="two")) as two:
            assert await one.value("SELECT connected_by FROM device_seen") == "one"
            await RawClient.enter(two.port)
            await eventually(lambda: two.value("SELECT connected_by = 'two' FROM device_seen"))
            await first.close()
            await eventually(
                lambda: one.value("SELECT (detail->>'connected')::int = 0 FROM worker WHERE name = 'ingest-one'")
            )
            assert await one.value("SELECT connected FROM device_seen")


def batches(values: Sequence[dict[str, float]]) -> list[Message]:
    """A reading each of 50 devices; every call in another order of devices would do."""
    return [
        message(json.dumps({"ts": NOW // 1000 + place, "values": value}).encode(), of=device(1 + place % 3))
        for place, value in enumerate(values)
    ]


async def test_the_same_messages_by_two_workers_at_once_are_stored_once(database_url: str) -> None:
    await furnish(database_url)
    settings, clock = DatabaseSettings(url=database_url), SystemClock()
    count = 3000
    given = batches([{"pm10": float(number), "laeq": 60.0} for number in range(count)])
    # The one in order, the other backwards; and what fills other cells of the same rows.
    halves = batches([{"pm2_5": float(number)} for number in range(count)])
    plans = [[*given, *halves], [*reversed(given), *reversed(halves)]]
    async with AsyncExitStack() as stack:
        writers = []
        for number, plan in enumerate(plans):
            keeper = Reconnecting(settings, application=f"writer {number}", clock=clock)
            stack.push_async_callback(keeper.close)
            intake = Intake(high=100_000, high_bytes=1 << 30)
            intake.put([Message(one.origin, one.payload, one.arrived) for one in plan])
            writer = Writer(
                intake=intake,
                preparer=preparer(),
                store=Store(worker=str(number), quarantine_rows=10),
                keeper=keeper,
                clock=clock,
                batch=250,
            )
            writer.stop()
            writers.append(writer.run())
        async with asyncio.timeout(60):
            await asyncio.gather(*writers)
        connection = await stack.enter_async_context(await connect(settings, application="test"))
        query = "SELECT count(*), count(pm10), count(pm2_5) FROM reading_dust"
        assert await (await connection.execute(query)).fetchone() == (count, count, count)
        sums = (
            "SELECT sum(messages)::int, sum(stored)::int,"
            " sum(filled + duplicates)::int, sum(quarantined)::int FROM ingest_count"
        )
        assert await (await connection.execute(sums)).fetchone() == (4 * count, count, 3 * count, 0)
