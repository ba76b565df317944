"""The api process is killed in the middle of uploads: what was answered is there whole and once, the rest comes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from core.clock import SystemClock
from core.database import connect
from core.evidence import INCOMING
from core.settings import Settings
from smartsite.sweep import EvidenceSweep
from tests.api.world import PASSWORD, World, furnish
from tests.support import office
from tests.support.wait import eventually

COUNT, KILLS = 6, 3
FILES = [office.PDF + bytes([number]) * 3_000_000 for number in range(COUNT)]


@pytest.fixture
async def world(settings: Settings) -> AsyncIterator[World]:
    async with await connect(settings.database, application="tests") as connection:
        yield await furnish(World(connection, datetime.now(UTC)))


class Api:
    """The api as a process of its own, started again where it was killed."""

    def __init__(
        self, database_url: str, settings: Settings, connection: psycopg.AsyncConnection[Any], log: Path
    ) -> None:
        self._environment = {
            **os.environ,
            "SMARTSITE_DATABASE__URL": database_url,
            "SMARTSITE_DATA_DIR": str(settings.data_dir),
            "SMARTSITE_API__PORT": "0",
        }
        self._connection = connection
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self.address = ""

    async def start(self) -> None:
        await self._connection.execute("DELETE FROM worker")
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "smartsite", "run", "api", env=self._environment, stdout=log, stderr=log
            )

        async def address() -> str:
            assert self._process is not None
            assert self._process.returncode is None, self._log.read_text()
            row = await (await self._connection.execute("SELECT detail FROM worker WHERE room = 'api'")).fetchone()
            return f"http://{row[0]['host']}:{row[0]['port']}" if row else ""

        self.address = await eventually(address, timeout=120)

    def peak_bytes(self) -> int:
        """The most memory that the process has had so far."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@pytest.fixture
async def api(database_url: str, settings: Settings, world: World, tmp_path: Path) -> AsyncIterator[Api]:
    api = Api(database_url, settings, world.connection, tmp_path / "api.log")
    await api.start()
    yield api
    await api.kill()


def in_parts(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), 100_000):
        yield data[start : start + 100_000]


async def test_the_largest_file_is_never_whole_in_memory(
    api: Api, world: World, settings: Settings, cookies: dict[str, str]
) -> None:
    path = f"/api/v1/sites/{world.ids['north']}/documents"
    size = settings.documents.max_mb * 1024 * 1024
    assert size == 50 * 1024 * 1024
    async with httpx.AsyncClient(base_url=api.address, trust_env=False, headers=cookies, timeout=60) as client:
        facts = {"kind": "drawing", "title": "x", "file_name": "x.pdf"}

        async def send(data: bytes, key: str) -> str:
            answer = await client.post(path, params=facts, content=data, headers={"Idempotency-Key": key})
            assert answer.status_code == 201, answer.text
            return f"{path}/{answer.json()['id']}/file"

        # What is needed for the first one of any size is there afterwards.
        await client.get(await send(office.PDF, "key-of-the-small-one"))
        before = api.peak_bytes()
        large = office.PDF.ljust(size, b"\n")
        assert (await client.get(await send(large, "key-of-the-large-one"))).content == large
    assert api.peak_bytes() - before < size / 3


async def upload(api: Api, cookies: dict[str, str], path: str, number: int) -> dict[str, Any]:
    """Send until it is answered, each time under the same key."""
    facts = {"kind": "drawing", "title": f"drawing {number}", "file_name": f"{number}.pdf"}

    async def parts() -> AsyncIterator[bytes]:
        for part in in_parts(FILES[number]):
            yield part
            # So that whoever kills can do so in the middle.
            await asyncio.sleep(0.005)

    while True:
        with contextlib.suppress(httpx.TransportError):
            async with httpx.AsyncClient(base_url=api.address, trust_env=False, timeout=30) as client:
                headers = {**cookies, "Idempotency-Key": f"key-of-drawing-{number}"}
                answer = await client.post(path, params=facts, content=parts(), headers=headers)
                assert answer.status_code == 201, answer.text
                found: dict[str, Any] = answer.json()
                return found
        await asyncio.sleep(0.05)


def size_of(file: Path) -> int:
    """Its bytes; none where it has got its name meanwhile, or is gone."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


@pytest.fixture
async def cookies(api: Api) -> dict[str, str]:
    """Headers of an officer's session."""
    async with httpx.AsyncClient(base_url=api.address, trust_env=False, timeout=60) as client:
        entered = await client.post("/api/v1/session", json={"login": "officer", "password": PASSWORD})
        cookie = f"smartsite_session={client.cookies['smartsite_session']}"
    return {"Cookie": cookie, "X-CSRF-Token": entered.json()["csrf"]}


async def test_uploads_outlive_the_death_of_the_api(
    api: Api, world: World, settings: Settings, cookies: dict[str, str]
) -> None:
    path = f"/api/v1/sites/{world.ids['north']}/documents"
    incoming = settings.evidence_dir / INCOMING

    async def all_of_them() -> list[dict[str, Any]]:
        return [await upload(api, cookies, path, number) for number in range(COUNT)]

    uploading = asyncio.create_task(all_of_them())
    dead: set[Path] = set()
    for _ in range(KILLS):

        def half() -> list[Path]:
            return [one for one in incoming.glob("*") if one not in dead and size_of(one) > 1_000_000]

        dead.update(await eventually(half, timeout=120))
        await api.kill()
        await api.start()
    answered = await uploading

    async with httpx.AsyncClient(base_url=api.address, trust_env=False, headers=cookies, timeout=60) as client:
        listed = (await client.get(path)).json()["items"]
        assert listed == answered[::-1]
        for number, one in enumerate(answered):
            assert (await client.get(f"{path}/{one['id']}/file")).content == FILES[number]
    # What the dead left is half a file each, and goes.
    left = list(incoming.glob("*"))
    assert left
    assert set(left) <= dead
    for one in left:
        os.utime(one, (0, 0))
    await EvidenceSweep(settings, SystemClock()).run(world.connection)
    assert list(incoming.glob("*")) == []
