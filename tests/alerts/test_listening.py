"""Between which times devices can be heard: workers of their own, and workers that read one queue."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest
from psycopg.types.json import Jsonb

from alerts.listening import Heard, Listening
from core.clock import micros
from tests.support.clock import FakeClock


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        yield connection


async def beat(
    connection: psycopg.AsyncConnection,
    clock: FakeClock,
    *names: str,
    group: str | None = None,
    watermark: int | None = None,
) -> None:
    """Heartbeats of workers that started when their row was made."""
    detail = {"group": group, "watermark": watermark}
    for name in names:
        await connection.execute(
            "INSERT INTO worker (name, room, host, pid, started_at, beat_at, detail)"
            " VALUES (%s, 'ingest', 'h', 1, %s, %s, %s)"
            " ON CONFLICT (name) DO UPDATE SET beat_at = excluded.beat_at, detail = excluded.detail",
            [name, clock.now(), clock.now(), Jsonb({key: value for key, value in detail.items() if value})],
        )


def now(clock: FakeClock) -> int:
    return micros(clock.now())


async def test_a_worker_that_goes_takes_its_devices_along(connection: psycopg.AsyncConnection) -> None:
    clock = FakeClock()
    listening = Listening(clock)
    assert await listening.heard(connection) == Heard(now(clock), now(clock))
    await beat(connection, clock, "a", "b")
    began = now(clock)
    assert await listening.heard(connection) == Heard(began, began)
    await clock.advance(30)
    await beat(connection, clock, "a")
    assert await listening.heard(connection) == Heard(now(clock), now(clock))


async def test_of_workers_that_read_one_queue_one_is_enough(connection: psycopg.AsyncConnection) -> None:
    clock = FakeClock()
    listening = Listening(clock)
    await beat(connection, clock, "a", "b", group="amqp smartsite")
    began = now(clock)
    assert (await listening.heard(connection)).since == began
    await clock.advance(30)
    await beat(connection, clock, "a", "c", group="amqp smartsite")
    assert await listening.heard(connection) == Heard(began, now(clock))
    await clock.advance(30)
    assert await listening.heard(connection) == Heard(now(clock), now(clock))
    await beat(connection, clock, "c", group="amqp smartsite")
    assert (await listening.heard(connection)).since == now(clock)


async def test_the_worker_that_is_furthest_behind_says_up_to_when(connection: psycopg.AsyncConnection) -> None:
    clock = FakeClock()
    listening = Listening(clock)
    await beat(connection, clock, "a", "b")
    began = now(clock)
    await listening.heard(connection)
    await clock.advance(5)
    await beat(connection, clock, "a", watermark=began + 1_000_000)
    await beat(connection, clock, "b", watermark=now(clock))
    assert await listening.heard(connection) == Heard(began, began + 1_000_000)
    await beat(connection, clock, "a", watermark=now(clock))
    await clock.advance(1)
    assert await listening.heard(connection) == Heard(began, now(clock) - 1_000_000)
    # A worker whose clock is ahead knows no future.
    await beat(connection, clock, "a", "b", watermark=now(clock) + 9_000_000)
    assert await listening.heard(connection) == Heard(began, now(clock))
