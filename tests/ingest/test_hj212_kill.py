"""kill -9 of PostgreSQL and of ingest under HJ 212 stations that keep what is not acknowledged: nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from core.clock import SystemClock
from core.settings import DatabaseSettings, Settings
from smartsite.postgres import EmbeddedPostgres
from smartsite.schema import bring_up_to_date
from tests.ingest.process import Worker
from tests.ingest.stations import BEIJING, MN, Box, data, furnish_stations, recent
from tests.support.ports import free_port
from tests.support.wait import eventually


class PatientStation:
    """Sends a packet a few milliseconds apart, and again on every new connection until it is acknowledged."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.acknowledged: set[datetime] = set()
        self.sent = 0
        self._port = port
        self._waiting: dict[str, datetime] = {}
        self._ending = False
        self._next = recent(86_400)

    async def run(self) -> None:
        """Go on until `finish`."""
        while not self._ending or self._waiting:
            with contextlib.suppress(OSError, TimeoutError):
                box = await Box.connect(self._port)
                sending = asyncio.create_task(self._send(box))
                try:
                    await self._receive(box)
                finally:
                    sending.cancel()
                    await asyncio.gather(sending, return_exceptions=True)
                    await box.close()
            await asyncio.sleep(0.02)

    async def finish(self, work: asyncio.Task[None]) -> None:
        """Send nothing new and wait until all is acknowledged."""
        self._ending = True
        await asyncio.wait_for(work, 60)

    async def _send(self, box: Box) -> None:
        for at in list(self._waiting.values()):
            await box.send(data(self.name, at=at, a34002={"Rtd": at.second}))
        while not self._ending:
            at, self._next = self._next, self._next + timedelta(seconds=1)
            self._waiting[f"{at.astimezone(BEIJING):%Y%m%d%H%M%S}000"] = at
            self.sent += 1
            await box.send(data(self.name, at=at, a34002={"Rtd": at.second}))
            await asyncio.sleep(0.005)

    async def _receive(self, box: Box) -> None:
        while not self._ending or self._waiting:
            # As a station does, it gives up a connection on which nothing is answered.
            packet = await box.receive(timeout=3)
            self.acknowledged.add(self._waiting.pop(packet.qn))


@pytest.fixture
def port() -> int:
    """A port that stays the same over restarts."""
    return free_port()


async def test_postgresql_and_ingest_killed_in_mid_stream(open_folder: Path, port: int, tmp_path: Path) -> None:
    server = EmbeddedPostgres(open_folder, port=free_port())
    url = server.start()
    worker = Worker(
        url,
        0,
        tmp_path,
        SMARTSITE_INGEST__SOURCES='["hj212"]',
        SMARTSITE_INGEST__HJ212_HOST="127.0.0.1",
        SMARTSITE_INGEST__HJ212_PORT=str(port),
    )
    stations = [PatientStation(name, port) for name in MN]

    async def more(count: int) -> None:
        before = [len(station.acknowledged) for station in stations]
        await eventually(
            lambda: all(
                len(station.acknowledged) >= start + count for station, start in zip(stations, before, strict=True)
            ),
            timeout=60,
        )

    work: list[asyncio.Task[None]] = []
    try:
        await bring_up_to_date(Settings(database=DatabaseSettings(url=url)), clock=SystemClock())
        await furnish_stations(url)
        await worker.start()
        work = [asyncio.create_task(station.run()) for station in stations]
        await more(50)
        pid = server.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: not server.is_running())
        server.start()
        await more(50)
        assert await worker.end(signal.SIGKILL) == -signal.SIGKILL
        await worker.start()
        await more(50)
        for station, task in zip(stations, work, strict=True):
            await station.finish(task)
        # On a slow machine the server is away for long enough; what an orderly end does not get stored stays there.
        await eventually(lambda: worker.spooled() == 0, timeout=40)
        assert await worker.end(signal.SIGTERM) == 0
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            for station in stations:
                rows = await (
                    await connection.execute(
                        "SELECT r.time, pm10 FROM reading_dust r JOIN device d ON d.id = r.device_id WHERE d.code = %s",
                        [station.name],
                    )
                ).fetchall()
                assert {time for time, _ in rows} == station.acknowledged
                assert len(rows) == station.sent
                assert all(value == time.second for time, value in rows)
            counts = await (await connection.execute("SELECT stored, quarantined FROM ingest_count")).fetchall()
            assert counts == [(sum(station.sent for station in stations), 0)]
    finally:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        if worker.process is not None and worker.process.returncode is None:
            await worker.end(signal.SIGKILL)
        server.stop()
