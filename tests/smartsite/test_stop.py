"""A room that is asked to stop ends by itself, while the database is away as well."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from core.clock import SystemClock
from core.settings import DatabaseSettings, Settings
from smartsite.postgres import EmbeddedPostgres
from smartsite.rooms import SERVICES, specs
from smartsite.schema import bring_up_to_date
from tests.support.ports import free_port
from tests.support.wait import eventually

GRACE_S = min(spec.grace_s for spec in specs({}, Settings()))
"""Then the supervisor kills."""


@pytest.fixture
async def server(open_folder: Path) -> AsyncIterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(open_folder, port=free_port())
    url = await asyncio.to_thread(server.start)
    await bring_up_to_date(Settings(database=DatabaseSettings(url=url)), clock=SystemClock())
    yield server
    await asyncio.to_thread(server.stop)


def environment(url: str, folder: Path) -> dict[str, str]:
    target = {
        "name": "bureau",
        "url": "http://127.0.0.1:9",
        "client_id": "c",
        "secret": "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ=",
    }
    return {
        **os.environ,
        "SMARTSITE_DATABASE__URL": url,
        "SMARTSITE_DATA_DIR": str(folder),
        "SMARTSITE_INGEST__MQTT_HOST": "127.0.0.1",
        "SMARTSITE_INGEST__MQTT_PORT": "0",
        "SMARTSITE_API__PORT": "0",
        "SMARTSITE_VISION__LIVE_PORT": "0",
        "SMARTSITE_ALERTS__TARGETS": json.dumps([target]),
    }


@contextlib.asynccontextmanager
async def rooms(url: str, folder: Path) -> AsyncIterator[dict[str, asyncio.subprocess.Process]]:
    """All rooms, each a process; none outlives the block."""
    processes = {}
    try:
        for room in SERVICES:
            with (folder / f"{room}.log").open("wb") as log:
                processes[room] = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "smartsite", "run", room,
                    env=environment(url, folder), stdout=log, stderr=log, cwd=folder,
                )  # fmt: skip
        yield processes
    finally:
        for process in processes.values():
            if process.returncode is None:
                process.kill()
                await process.wait()


async def end(processes: dict[str, asyncio.subprocess.Process]) -> dict[str, tuple[int | None, float]]:
    """Ask all to stop: exit status and seconds of each; who does not stop is killed."""
    began = time.monotonic()
    for process in processes.values():
        process.send_signal(signal.SIGTERM)

    async def one(process: asyncio.subprocess.Process) -> tuple[int | None, float]:
        try:
            return await asyncio.wait_for(process.wait(), GRACE_S), time.monotonic() - began
        except TimeoutError:
            process.kill()
            await process.wait()
            return None, GRACE_S

    return dict(zip(processes, await asyncio.gather(*map(one, processes.values())), strict=True))


def children(pid: int) -> list[int]:
    """The children of a process."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found


def unread(port: int) -> int:
    """Connections to a port of this machine on which something waits to be read by the server."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(line[1].endswith(f":{port:04X}") and not line[4].endswith(":00000000") for line in lines)


@contextlib.contextmanager
def hanging(server: EmbeddedPostgres) -> Iterator[None]:
    """The server answers nothing and closes nothing."""
    assert server.pid is not None
    stopped: set[int] = set()
    try:
        # The head first, that no child is added; one that ends in this moment needs no stopping.
        os.kill(server.pid, signal.SIGSTOP)
        stopped.add(server.pid)
        for process in children(server.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGSTOP)
                stopped.add(process)
        yield
    finally:
        for process in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)


def all_look_for_it(folder: Path) -> bool:
    """Whether every room has found the database away, by its log."""
    return all("database is away" in (folder / f"{room}.log").read_text() for room in SERVICES)


async def alive(url: str) -> int:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        row = await (await connection.execute("SELECT count(DISTINCT room) FROM worker")).fetchone()
    assert row is not None
    return int(row[0])


async def test_all_rooms_end_while_the_database_is_away(server: EmbeddedPostgres, tmp_path: Path) -> None:
    async with rooms(server.url, tmp_path) as processes:

        async def all_alive() -> bool:
            return await alive(server.url) == len(SERVICES)

        await eventually(all_alive, timeout=120)
        await asyncio.to_thread(server.stop)
        await eventually(lambda: all_look_for_it(tmp_path), timeout=120)
        found = await end(processes)
    assert {room: status for room, (status, _) in found.items()} == dict.fromkeys(SERVICES, 0), found


async def test_all_rooms_end_that_start_into_an_outage(server: EmbeddedPostgres, tmp_path: Path) -> None:
    url = server.url
    await asyncio.to_thread(server.stop)
    async with rooms(url, tmp_path) as processes:
        await eventually(lambda: all_look_for_it(tmp_path), timeout=120)
        found = await end(processes)
    assert {room: status for room, (status, _) in found.items()} == dict.fromkeys(SERVICES, 0), found


async def test_all_rooms_end_while_the_database_hangs(server: EmbeddedPostgres, tmp_path: Path) -> None:
    async with rooms(server.url, tmp_path) as processes:

        async def all_alive() -> bool:
            return await alive(server.url) == len(SERVICES)

        await eventually(all_alive, timeout=120)
        port = urlsplit(server.url).port
        assert port is not None
        with hanging(server):
            # Every room beats every two seconds, and waits for the answer to that.
            await eventually(lambda: unread(port) >= len(SERVICES), timeout=60)
            found = await end(processes)
    assert {room: status for room, (status, _) in found.items()} == dict.fromkeys(SERVICES, 0), found
