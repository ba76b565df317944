"""The database away: QoS 0 and QoS 1 go on, ingest is killed in the middle, and everything sent is stored."""

from __future__ import annotations

import asyncio
import json
import signal
import time
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
from tests.ingest.raw import RawClient, publish
from tests.support.ports import free_port
from tests.support.wait import eventually


@pytest.fixture
async def server(open_folder: Path) -> AsyncIterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(open_folder, port=free_port())
    url = await asyncio.to_thread(server.start)
    await bring_up_to_date(Settings(database=DatabaseSettings(url=url)), clock=SystemClock())
    await furnish(url)
    yield server
    await asyncio.to_thread(server.stop)


@pytest.fixture
async def port() -> int:
    return free_port()


@pytest.fixture
async def worker(server: EmbeddedPostgres, port: int, tmp_path: Path) -> AsyncIterator[Worker]:
    worker = Worker(server.url, port, tmp_path, SMARTSITE_INGEST__SPOOL_AFTER_S="0.3")
    await worker.start()
    yield worker
    if worker.process is not None and worker.process.returncode is None:
        await worker.end(signal.SIGKILL)


class Quiet:
    """A device that publishes with QoS 0."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self._ts = time.time_ns() // 1_000_000 - 600_000

    async def send(self, port: int, count: int) -> None:
        client = await RawClient.enter(port, version=4, user="A/d3", client_id="quiet")
        for _ in range(count):
            self._ts += 1
            body = json.dumps({"ts": self._ts, "values": {"pm10": 5}}).encode()
            client.send(publish("smartsite/v1/A/d3/telemetry", body, qos=0, version=4))
            self.sent.append(self._ts)
        client.send(b"\xc0\x00")
        # In order: the answer says that all before it was read.
        assert await client.packet(20) == (13, b"")
        client.send(b"\xe0\x00")


async def stored(url: str) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        rows = await connection.execute(
            "SELECT d.code, (extract(epoch FROM r.time) * 1000)::bigint"
            " FROM reading_dust r JOIN device d ON d.id = r.device_id ORDER BY 1, 2"
        )
        async for code, ts in rows:
            found.setdefault(code, []).append(ts)
    return found


async def test_an_outage_with_ingest_killed_in_it_loses_nothing(
    server: EmbeddedPostgres, worker: Worker, port: int
) -> None:
    url = server.url
    quiet = Quiet()
    loud = Publisher("A/d1", port, version=4).start()
    await eventually(lambda: len(loud.acknowledged) > 100, timeout=40)
    await quiet.send(port, 50)
    await eventually(lambda: stored_count(url, "d3", 50), timeout=20)

    await asyncio.to_thread(server.stop)
    # Acknowledged all the same: the spool has it.
    before = len(loud.acknowledged)
    await eventually(lambda: len(loud.acknowledged) > before + 300, timeout=40)
    await quiet.send(port, 200)
    held = worker.spooled()
    await quiet.send(port, 200)
    await eventually(lambda: worker.spooled() > held + 200 * 60, timeout=20)
    after = len(loud.acknowledged)
    await eventually(lambda: len(loud.acknowledged) > after + 50, timeout=20)

    await worker.end(signal.SIGKILL)
    assert worker.spooled() > 0
    # It starts into the outage, knows the devices all the same, and goes on with the spool.
    await worker.start()
    again = len(loud.acknowledged)
    await eventually(lambda: len(loud.acknowledged) > again + 300, timeout=40)
    await quiet.send(port, 200)
    again = len(loud.acknowledged)
    await eventually(lambda: len(loud.acknowledged) > again + 50, timeout=20)
    # So it does after an orderly end, for which it does not wait for the database.
    assert await asyncio.wait_for(worker.end(signal.SIGTERM), 20) == 0
    await worker.start()
    again = len(loud.acknowledged)
    await eventually(lambda: len(loud.acknowledged) > again + 100, timeout=40)
    await quiet.send(port, 50)
    await asyncio.to_thread(server.start)

    again = len(loud.acknowledged)
    await eventually(lambda: len(loud.acknowledged) > again + 100, timeout=40)
    loud.finish()
    assert loud.waiting == 0
    await eventually(lambda: worker.spooled() == 0, timeout=40)
    found = await stored(url)
    assert found["d1"] == sorted(loud.published)
    assert found["d3"] == sorted(quiet.sent)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        logged = []
        async for (payload,) in await connection.execute("SELECT payload FROM log_entry WHERE kind = 1"):
            for batch in decode(payload):
                logged += list(zip(batch.device.tolist(), batch.time.tolist(), strict=True))
    assert len(logged) == len(set(logged)) == len(loud.published) + len(quiet.sent)


async def stored_count(url: str, device: str, count: int) -> bool:
    return len((await stored(url)).get(device, [])) >= count


async def test_a_spool_that_is_full_stops_the_reading_and_loses_nothing(
    server: EmbeddedPostgres, port: int, tmp_path: Path
) -> None:
    limits = {"SPOOL_MB": "1", "SPOOL_AFTER_S": "0.3", "WAITING_MESSAGES": "500", "BATCH_MESSAGES": "500"}
    worker = Worker(
        server.url, port, tmp_path, **{f"SMARTSITE_INGEST__{name}": value for name, value in limits.items()}
    )
    await worker.start()
    try:
        loud = Publisher("A/d1", port, every_s=0.0002).start()
        await eventually(lambda: len(loud.acknowledged) > 100, timeout=40)
        await asyncio.to_thread(server.stop)
        await eventually(lambda: worker.spooled() >= 1 << 20, timeout=180)
        # QoS 1 is held at the device from here on.
        await eventually(lambda: loud.waiting >= 50, timeout=20)
        assert worker.spooled() < 2 << 20
        await asyncio.to_thread(server.start)
        await eventually(lambda: worker.spooled() == 0, timeout=40)
        loud.finish()
        assert loud.waiting == 0
        assert (await stored(server.url))["d1"] == sorted(loud.published)
    finally:
        await worker.end(signal.SIGTERM)
