"""Cameras that people move: the rows of api reach the process that reads the camera."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from core.database import connect
from core.settings import Settings
from vision import wire
from vision.moving import Moving


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await connect(settings.database, application="test") as connection:
        yield connection


class Watcher:
    def __init__(self) -> None:
        self.heard: list[datetime] = []

    def moved(self, at: datetime) -> None:
        self.heard.append(at)


async def test_each_movement_is_told_once_and_to_whoever_begins_later(database: psycopg.AsyncConnection) -> None:
    await database.execute("INSERT INTO site (code, name) VALUES ('alpha', '甲')")
    cursor = await database.execute(
        "INSERT INTO camera (site_id, code, name, url) SELECT id, n::text, '大门', '0' FROM site, "
        "generate_series(1, 3) n RETURNING id"
    )
    one, other, elsewhere = [number for (number,) in await cursor.fetchall()]
    watchers = {one: Watcher(), other: Watcher()}
    moving = Moving(watchers)
    await moving.look(database)
    at = datetime.now(UTC)
    await database.execute(
        "INSERT INTO camera_ptz (camera_id, moved_at) VALUES (%s, %s), (%s, NULL), (%s, %s)",
        [one, at, other, elsewhere, at],
    )
    for _ in range(3):
        await moving.look(database)
    assert (watchers[one].heard, watchers[other].heard) == ([at], [])
    later = at + timedelta(seconds=1)
    await database.execute("UPDATE camera_ptz SET moved_at = %s WHERE camera_id = %s", [later, one])
    await moving.look(database)
    assert watchers[one].heard == [at, later]
    watchers[one] = Watcher()
    await moving.look(database)
    assert watchers[one].heard == [later]


class Between:
    """A connection; something happens while it answers."""

    def __init__(self, connection: psycopg.AsyncConnection, happens: Callable[[], object]) -> None:
        self._connection, self._happens = connection, happens

    async def execute(self, *statement: Any) -> psycopg.AsyncCursor[Any]:
        cursor = await self._connection.execute(*statement)
        self._happens()
        return cursor


async def test_a_camera_that_is_let_go_of_meanwhile_is_passed_over(database: psycopg.AsyncConnection) -> None:
    await database.execute("INSERT INTO site (code, name) VALUES ('alpha', '甲')")
    await database.execute("INSERT INTO camera (site_id, code, name, url) SELECT id, 'gate', '大门', '0' FROM site")
    await database.execute("INSERT INTO camera_ptz (camera_id, moved_at) SELECT id, now() FROM camera")
    [[camera]] = await (await database.execute("SELECT id FROM camera")).fetchall()
    watcher = Watcher()
    watchers = {camera: watcher}
    moving = Moving(watchers)
    await moving.look(Between(database, watchers.clear))  # type: ignore[arg-type]
    assert watcher.heard == []
    watchers[camera] = watcher
    await moving.look(database)
    assert len(watcher.heard) == 1


def test_the_word_reaches_the_process_that_reads_the_camera() -> None:
    assert wire.demand_decoder.decode(wire.line(wire.Moved(12.5))) == wire.Moved(12.5)
