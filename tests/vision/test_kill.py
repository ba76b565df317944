"""kill -9 of the vision worker amid a visit: its capture processes go with it, the next run goes on, once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core.database import connect
from core.settings import Settings
from smartsite.demo.rtsp import RtspServer
from tests.support.wait import eventually

OPTIONS = '{"fps": 2, "attentive_fps": 10, "vote_positive": 3, "vote_window": 5, "quiet_s": 6, "cool_down_s": 0}'


@contextlib.asynccontextmanager
async def worker(settings: Settings, log: Path, name: str = "1") -> AsyncIterator[asyncio.subprocess.Process]:
    """`smartsite run vision`, as the supervisor starts it; ended by force."""
    assert settings.database.url is not None
    environment = {
        **os.environ,
        "SMARTSITE_DATABASE__URL": settings.database.url.get_secret_value(),
        "SMARTSITE_DATA_DIR": str(settings.data_dir),
        "SMARTSITE_VISION__LIVE_PORT": "0",
        "SMARTSITE_VISION__WORKER": name,
    }
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "smartsite", "run", "vision", env=environment, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # the latter where it goes between opening and reading
        return False
    return status.rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_a_killed_worker_leaves_nothing_behind_and_the_next_goes_on(
    settings: Settings, rtsp: RtspServer, tmp_path: Path
) -> None:
    async with await connect(settings.database, application="test") as database:
        await database.execute("INSERT INTO site (code, name) VALUES ('alpha', '甲')")
        await database.execute(
            "INSERT INTO camera (site_id, code, name, url, options) SELECT id, 'gate', '大门', %s, %s FROM site",
            (f"rtsp://127.0.0.1:{rtsp.port}/visit", OPTIONS),
        )

        async def episodes() -> list[Any]:
            return await (await database.execute("SELECT last_seen_at, ended_at FROM episode")).fetchall()

        async with worker(settings, tmp_path / "log") as first:
            await eventually(episodes, timeout=120)
            captures = children(first.pid)
            assert captures
            first.send_signal(signal.SIGKILL)
        await eventually(lambda: not any(alive(pid) for pid in captures))
        [(seen, _)] = await episodes()

        async with worker(settings, tmp_path / "log"):

            async def seen_again() -> bool:
                return any((last - seen).total_seconds() > 3 for last, _ in await episodes())

            await eventually(seen_again, timeout=120)
            [(_, end)] = await episodes()
            assert end is None, "the same visit goes on"

            rtsp.streams["visit"].stalled = True

            async def over() -> bool:
                return all(end is not None for _, end in await episodes())

            await eventually(over, timeout=60)
        assert len(await episodes()) == 1
    assert "Traceback" not in (tmp_path / "log").read_text()
