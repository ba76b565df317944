"""Since when devices can be heard: workers of their own, and workers that read one queue."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest
from psycopg.types.json import Jsonb

from alerts.listening import Listening
from core.clock import micros
from tests.support.clock import FakeClock


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        yield connection


async def beat(connection: psycopg.AsyncConnection, clock: FakeClock, *names: str, group: str | None = None) -> None:
    """Heartbeats of workers that started when their row was made."""
    for name in names:
        await connection.execute(
            "INSERT INTO worker (name, room, host, pid, started_at, beat_at, detail)"
            " VALUES (%s, 'ingest', 'h', 1, %s, %s, %s)"
            " ON CONFLICT (name) DO UPDATE SET beat_at = excluded.beat_at",
            [name, clock.now(), clock.now(), Jsonb({"group": group} if group else {})],
        )


async def test_a_worker_that_goes_takes_its_devices_along(connection: psycopg.AsyncConnection) -> None:
    clock = FakeClock()
    listening = Listening(clock)
    assert await listening.since(connection) is None
    await beat(connection, clock, "a", "b")
    began = micros(clock.now())
    assert await listening.since(connection) == began
    await clock.advance(30)
    await beat(connection, clock, "a")
    assert await listening.since(connection) == micros(clock.now())


async def test_of_workers_that_read_one_queue_one_is_enough(connection: psycopg.AsyncConnection) -> None:
    clock = FakeClock()
    listening = Listening(clock)
    await beat(connection, clock, "a", "b", group="amqp smartsite")
    began = micros(clock.now())
    assert await listening.since(connection) == began
    await clock.advance(30)
    await beat(connection, clock, "a", "c", group="amqp smartsite")
    assert await listening.since(connection) == began
    await clock.advance(30)
    assert await listening.since(connection) is None
    await beat(connection, clock, "c", group="amqp smartsite")
    assert await listening.since(connection) == micros(clock.now())
