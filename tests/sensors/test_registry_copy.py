"""The copy of the registry in a file: what ingest starts with while the database is away."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg
import pytest

from core.clock import SystemClock
from core.database import connect
from core.settings import DatabaseSettings, Settings
from sensors import registry_copy
from sensors.registry import Registry, RegistryWatch, load_registry
from tests.support.wait import eventually

AWAY = "postgresql://nobody:x@127.0.0.1:1/nowhere"


async def furnish(settings: Settings) -> Registry:
    async with await connect(settings.database, application="test") as connection:
        await connection.execute("INSERT INTO site (code, name, time_zone) VALUES ('A', '一号', 'Asia/Urumqi')")
        await connection.execute(
            "INSERT INTO device (site_id, code, kind, name, secret_hash, clock_offset_ms, tags, mn, protocol_options)"
            " SELECT id, 'd', 'dust', '站', 'hash', -28800000, '{north}', 'MN1', %s FROM site",
            ['{"hj212": {"crc": "modbus-lohi"}}'],
        )
        return await load_registry(connection)


def watch_of(url: str) -> RegistryWatch:
    return RegistryWatch(DatabaseSettings(url=url), application="copier", clock=SystemClock())  # type: ignore[arg-type]


async def test_sites_and_devices_come_back_as_they_were(settings: Settings, tmp_path: Path) -> None:
    registry = await furnish(settings)
    path = tmp_path / "registry" / "ingest-1"
    registry_copy.save(path, registry)
    assert path.stat().st_mode & 0o777 == 0o600
    found = registry_copy.load(path)
    assert found is not None
    assert (found.sites, found.devices) == (registry.sites, registry.devices)
    assert (found.by_topic, found.by_mn) == (registry.by_topic, registry.by_mn)
    assert found.version != registry.version


@pytest.mark.parametrize("content", [b"", b"\x92", b"\x92\x91\x01\x90"])
def test_a_copy_that_cannot_be_read_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "copy"
    assert registry_copy.load(path) is None
    path.write_bytes(content)
    assert registry_copy.load(path) is None


async def test_the_copy_stands_in_until_the_database_is_there(
    settings: Settings, database_url: str, tmp_path: Path
) -> None:
    registry = await furnish(settings)
    path = tmp_path / "copy"
    first, stop = watch_of(database_url), asyncio.Event()
    assert await registry_copy.open_watch(first, stop, copy=path, patience_s=20)
    assert first.current.version == registry.version
    stop.set()
    await first.run(stop)
    stop.clear()

    second = watch_of(AWAY)
    assert await registry_copy.open_watch(second, stop, copy=path, patience_s=0.1)
    assert second.current.devices == registry.devices

    # A copy gives way to what the database has, and follows it.
    third = watch_of(database_url)
    kept = registry_copy.load(path)
    assert kept is not None
    third.adopt(kept)
    third.on_change(lambda now: registry_copy.save(path, now))
    running = asyncio.create_task(third.run(stop))
    await eventually(lambda: third.current.version == registry.version)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("UPDATE device SET name = 'other'")
    await eventually(lambda: (now := registry_copy.load(path)) is not None and now.by_mn["MN1"].name == "other")
    stop.set()
    await asyncio.wait_for(running, 30)
    stop.clear()


async def test_a_stop_is_heard_while_the_database_is_away(tmp_path: Path) -> None:
    stop = asyncio.Event()
    opening = asyncio.create_task(
        registry_copy.open_watch(watch_of(AWAY), stop, copy=tmp_path / "none", patience_s=0.05)
    )
    await asyncio.sleep(0.2)
    assert not opening.done()
    stop.set()
    assert await asyncio.wait_for(opening, 30) is False
