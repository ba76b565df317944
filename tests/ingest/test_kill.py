"""kill -9 in mid-stream: what was acknowledged is stored, once, and so is its entry of the log."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from core.clock import SystemClock
from core.settings import DatabaseSettings, Settings
from sensors.batch import decode
from smartsite.postgres import EmbeddedPostgres
from smartsite.schema import bring_up_to_date
from tests.ingest.load import Publisher
from tests.ingest.plant import furnish
from tests.ingest.process import Worker
from tests.support.ports import free_port
from tests.support.wait import eventually

DEVICES = ("A/d1", "A/d2", "B/b1")


@pytest.fixture
def port() -> int:
    """A port that stays the same over restarts."""
    return free_port()


@pytest.fixture
async def worker(database_url: str, port: int, tmp_path: Path) -> AsyncIterator[Worker]:
    await furnish(database_url)
    worker = Worker(database_url, port, tmp_path)
    await worker.start()
    yield worker
    if worker.process is not None and worker.process.returncode is None:
        await worker.end(signal.SIGKILL)


async def acknowledged(publishers: list[Publisher], count: int) -> None:
    """Wait until each publisher has this many more acknowledgements."""
    before = [len(publisher.acknowledged) for publisher in publishers]
    await eventually(
        lambda: all(
            len(publisher.acknowledged) >= start + count for publisher, start in zip(publishers, before, strict=True)
        ),
        timeout=40,
    )


async def check(url: str, publishers: list[Publisher]) -> None:
    """Nothing acknowledged is missing; rows, counts and log agree."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        stored: dict[str, set[int]] = {}
        rows = await connection.execute(
            "SELECT s.code || '/' || d.code, (extract(epoch FROM r.time) * 1000)::bigint"
            " FROM reading_dust r JOIN device d ON d.id = r.device_id JOIN site s ON s.id = d.site_id"
        )
        async for device, ts in rows:
            stored.setdefault(device, set()).add(ts)
        for device, publisher in zip(DEVICES, publishers, strict=True):
            assert publisher.acknowledged - stored[device] == set()
            assert publisher.waiting == 0
            assert stored[device] == set(publisher.published)
        total = sum(len(times) for times in stored.values())
        counts = await (await connection.execute("SELECT stored, quarantined FROM ingest_count")).fetchall()
        assert counts == [(total, 0)]
        logged = []
        async for (payload,) in await connection.execute("SELECT payload FROM log_entry WHERE kind = 1"):
            for batch in decode(payload):
                logged += list(zip(batch.device.tolist(), batch.time.tolist(), strict=True))
        assert len(logged) == total
        assert len(set(logged)) == total


async def test_ingest_killed_in_mid_stream(worker: Worker, database_url: str, port: int) -> None:
    publishers = [
        Publisher(device, port, version=version).start() for device, version in zip(DEVICES, (4, 4, 5), strict=True)
    ]
    for _ in range(3):
        await acknowledged(publishers, 200)
        assert await worker.end(signal.SIGKILL) == -signal.SIGKILL
        await worker.start()
    await acknowledged(publishers, 200)
    for publisher in publishers:
        await asyncio.to_thread(publisher.finish)
    assert await worker.end(signal.SIGTERM) == 0
    await check(database_url, publishers)


async def test_postgresql_killed_in_mid_stream(open_folder: Path, port: int, tmp_path: Path) -> None:
    server = EmbeddedPostgres(open_folder, port=free_port())
    url = server.start()
    worker = Worker(url, port, tmp_path)
    try:
        await bring_up_to_date(Settings(database=DatabaseSettings(url=url)), clock=SystemClock())
        await furnish(url)
        await worker.start()
        publishers = [Publisher(device, port).start() for device in DEVICES]
        for _ in range(2):
            await acknowledged(publishers, 200)
            pid = server.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await eventually(lambda: not server.is_running())
            server.start()
        await acknowledged(publishers, 200)
        for publisher in publishers:
            await asyncio.to_thread(publisher.finish)
        # On a slow machine the server is away for long enough; what an orderly end does not get stored stays there.
        await eventually(lambda: worker.spooled() == 0, timeout=40)
        assert await worker.end(signal.SIGTERM) == 0
        await check(url, publishers)
    finally:
        if worker.process is not None and worker.process.returncode is None:
            await worker.end(signal.SIGKILL)
        server.stop()


async def test_an_orderly_end_stores_and_acknowledges_what_was_taken(
    worker: Worker, database_url: str, port: int
) -> None:
    publishers = [Publisher(device, port, every_s=0.0005).start() for device in DEVICES]
    await acknowledged(publishers, 200)
    assert await worker.end(signal.SIGTERM) == 0
    await worker.start()
    await acknowledged(publishers, 100)
    for publisher in publishers:
        await asyncio.to_thread(publisher.finish)
    await check(database_url, publishers)
