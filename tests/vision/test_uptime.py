"""How long cameras delivered, as reports read it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from core.database import connect
from core.settings import Settings
from tests.support.clock import FakeClock
from tests.support.wait import eventually
from vision.states import StateBoard


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    async with await connect(settings.database, application="test") as connection:
        await connection.execute("INSERT INTO site (code, name) VALUES ('alpha', '甲')")
        await connection.execute(
            "INSERT INTO camera (site_id, code, name, url) SELECT site.id, c.code, c.code, '0' "
            "FROM site, unnest('{a,b}'::text[]) AS c (code)"
        )
        yield connection


async def uptime(database: psycopg.AsyncConnection[Any]) -> list[tuple[str, str, float]]:
    """(camera, time of the quarter, seconds)."""
    cursor = await database.execute(
        "SELECT c.code, u.time, u.online_s FROM camera_uptime u JOIN camera c ON c.id = u.camera_id ORDER BY 1, 2"
    )
    return [(code, f"{at.astimezone(UTC):%d %H:%M}", round(seconds)) for code, at, seconds in await cursor.fetchall()]


async def numbers(database: psycopg.AsyncConnection[Any]) -> tuple[int, int]:
    first, second = await (await database.execute("SELECT id FROM camera ORDER BY code")).fetchall()
    return first[0], second[0]


class Worker:
    """A board whose states are written once a second, as the service does."""

    def __init__(self, database: psycopg.AsyncConnection[Any], clock: FakeClock) -> None:
        self.board = StateBoard(clock)
        self._database, self._clock = database, clock

    def put(self, camera: int, state: Any) -> None:
        self.board.status(camera, f"alpha/{camera}").change(state, now=self._clock.now())

    async def go_on(self, seconds: int) -> None:
        for _ in range(seconds):
            await self._clock.advance(1)
            await self.board.write(self._database)


async def test_the_seconds_in_which_a_camera_delivers_are_added_up_by_quarters(
    database: psycopg.AsyncConnection[Any],
) -> None:
    clock = FakeClock(datetime(2026, 8, 1, 11, 58, tzinfo=UTC))
    first, second = await numbers(database)
    worker = Worker(database, clock)
    worker.put(first, "online")
    worker.put(second, "unreachable")
    await worker.go_on(60)
    worker.put(second, "online")
    await worker.go_on(180)
    worker.put(first, "stalled")
    await worker.go_on(60)
    await worker.board.write(database, last=True)
    # The second that ends with the hour belongs to the quarter in which it ends.
    assert await uptime(database) == [
        ("a", "01 11:45", 119),
        ("a", "01 12:00", 121),
        ("b", "01 11:45", 59),
        ("b", "01 12:00", 181),
    ]


async def test_a_killed_worker_loses_a_minute_at_most_and_the_next_adds_to_it(
    database: psycopg.AsyncConnection[Any],
) -> None:
    clock = FakeClock(datetime(2026, 8, 1, 12, 0, tzinfo=UTC))
    first, _ = await numbers(database)
    killed = Worker(database, clock)
    killed.put(first, "online")
    await killed.go_on(100)
    await clock.advance(30)
    following = Worker(database, clock)
    following.put(first, "online")
    await following.go_on(61)
    (_, _, seconds), *_ = await uptime(database)
    assert 60 <= seconds - 60 <= 100


async def test_what_hung_is_not_called_online_and_old_quarters_go(database: psycopg.AsyncConnection[Any]) -> None:
    clock = FakeClock(datetime(2026, 8, 1, 12, 0, tzinfo=UTC))
    first, second = await numbers(database)
    await database.execute(
        "INSERT INTO camera_uptime SELECT id, %s, 900 FROM camera", [clock.now() - timedelta(days=61)]
    )
    worker = Worker(database, clock)
    worker.put(first, "online")
    worker.put(second, "broken")
    await worker.go_on(5)
    await clock.advance(3600)
    await worker.go_on(1)
    await database.execute("DELETE FROM camera WHERE id = %s", [second])
    await worker.board.write(database, last=True)
    assert await uptime(database) == [("a", "01 12:00", 5)]


@pytest.mark.parametrize("last", [False, True])
async def test_a_camera_that_is_being_removed_meanwhile_costs_the_others_nothing(
    database: psycopg.AsyncConnection[Any], settings: Settings, last: bool
) -> None:
    clock = FakeClock(datetime(2026, 8, 1, 12, 0, tzinfo=UTC))
    first, second = await numbers(database)
    worker = Worker(database, clock)
    worker.put(first, "online")
    worker.put(second, "online")
    await worker.go_on(1)
    async with await connect(settings.database, application="remover") as remover:

        async def waits() -> bool:
            waiting = "SELECT FROM pg_locks WHERE pid = %s AND NOT granted"
            return await (await remover.execute(waiting, [database.info.backend_pid])).fetchone() is not None

        async with remover.transaction():
            await remover.execute("DELETE FROM camera WHERE id = %s", [second])
            writing = asyncio.create_task(worker.board.write(database, last=last))
            await eventually(waits)
        await writing
    cursor = await database.execute("SELECT camera_id FROM camera_state")
    assert await cursor.fetchall() == [(first,)]
    assert [camera for camera, _, _ in await uptime(database)] == (["a"] if last else [])
