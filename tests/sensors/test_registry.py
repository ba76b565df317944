"""The registry in memory follows the database, through changes and lost connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from core.clock import SystemClock
from core.database import connect
from core.settings import Settings
from sensors.registry import Registry, RegistryWatch, load_registry
from tests.support.wait import eventually


@pytest.fixture
async def connection(settings: Settings) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await connect(settings.database, application="test") as connection:
        yield connection


@pytest.fixture
async def watch(settings: Settings) -> AsyncIterator[RegistryWatch]:
    watch = RegistryWatch(settings.database, application="watcher", clock=SystemClock())
    await watch.open()
    stop = asyncio.Event()
    running = asyncio.create_task(watch.run(stop))
    yield watch
    stop.set()
    await asyncio.wait_for(running, 30)


async def add_site(connection: psycopg.AsyncConnection, code: str) -> int:
    cursor = await connection.execute("INSERT INTO site (code, name) VALUES (%s, %s) RETURNING id", [code, code])
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def test_a_disabled_site_disables_its_devices(connection: psycopg.AsyncConnection) -> None:
    site = await add_site(connection, "alpha")
    await connection.execute("INSERT INTO device (site_id, code, kind, name) VALUES (%s, 'd', 'dust', 'D')", [site])
    assert (await load_registry(connection)).by_topic["alpha", "d"].enabled
    await connection.execute("UPDATE site SET enabled = false")
    registry = await load_registry(connection)
    assert not registry.by_topic["alpha", "d"].enabled
    assert not registry.sites[site].enabled


async def test_a_change_is_followed(watch: RegistryWatch, connection: psycopg.AsyncConnection) -> None:
    seen: list[Registry] = []
    watch.on_change(seen.append)
    before = watch.current.version
    site = await add_site(connection, "alpha")
    await eventually(lambda: site in watch.current.sites)
    assert watch.current.version > before
    assert seen == [watch.current]


async def test_a_lost_connection_is_made_again(watch: RegistryWatch, connection: psycopg.AsyncConnection) -> None:
    ended = await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'smartsite watcher registry'"
        " AND datname = current_database()"
    )
    assert await ended.fetchall() == [(True,)]
    site = await add_site(connection, "alpha")
    await eventually(lambda: site in watch.current.sites)


def test_nothing_is_there_before_open(settings: Settings) -> None:
    watch = RegistryWatch(settings.database, application="watcher", clock=SystemClock())
    with pytest.raises(RuntimeError, match="open"):
        _ = watch.current
