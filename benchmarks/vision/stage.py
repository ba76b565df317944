"""The set: a PostgreSQL of the benchmark's own, the cameras' process, `smartsite run vision`, and stock ultralytics."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.processes import Processes
from core.clock import SystemClock
from core.settings import DatabaseSettings, Settings
from smartsite.postgres import EmbeddedPostgres
from smartsite.schema import bring_up_to_date

CAMERAS = """
INSERT INTO camera (site_id, code, name, url, zone)
SELECT (SELECT min(id) FROM site), 'c' || n, 'c' || n, u.url, 'gate' FROM unnest(%s::text[]) WITH ORDINALITY u (url, n)
"""
STATES = """
SELECT split_part(url, '/', 5)::integer AS number, s.state, s.frames_in, s.frames_analysed, s.frames_gated,
       (s.detail->>'frames_skipped')::integer AS skipped
FROM camera c LEFT JOIN camera_state s ON s.camera_id = c.id ORDER BY 1
"""
EPISODES = """
SELECT split_part(c.url, '/', 5)::integer AS number, extract(epoch FROM e.started_at)::float8 AS started,
       extract(epoch FROM e.last_seen_at)::float8 AS seen, e.peak_score
FROM episode e JOIN camera c ON c.id = e.camera_id WHERE e.kind = 'no_helmet' ORDER BY e.started_at
"""


@dataclass(frozen=True, slots=True)
class Cameras:
    """The running cameras."""

    process: asyncio.subprocess.Process
    port: int
    epoch: float

    @property
    def pid(self) -> int:
        """Whose CPU is told apart."""
        return self.process.pid

    def cut(self) -> None:
        """Cut every connection."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"cut\n")

    def url(self, kind: str, number: int) -> str:
        """Where a camera is."""
        return f"rtsp://127.0.0.1:{self.port}/{kind}/{number}"


class Stage(Processes):
    """Holds the database; everything else comes and goes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._postgres = EmbeddedPostgres(folder)
        self._url = ""

    async def open(self) -> None:
        """Start the server."""
        self._url = self._postgres.start()
        await bring_up_to_date(Settings(database=DatabaseSettings(url=self._url)), clock=SystemClock())  # type: ignore[arg-type]
        with psycopg.connect(self._url) as connection:
            connection.execute("INSERT INTO site (code, name) VALUES ('bench', 'bench')")

    def close(self) -> None:
        """Stop it."""
        self._postgres.stop()

    @property
    def postgres_pid(self) -> int:
        """Whose CPU is told apart."""
        assert self._postgres.pid is not None
        return self._postgres.pid

    def rows(self, statement: str) -> list[dict[str, Any]]:
        """What the database says."""
        with psycopg.connect(self._url, row_factory=psycopg.rows.dict_row) as connection:
            return connection.execute(statement).fetchall()

    @contextlib.asynccontextmanager
    async def cameras(self, count: int, few: int, kinds: list[str]) -> AsyncIterator[Cameras]:
        """The cameras, encoded and served."""
        arguments = [str(count), "--few", str(few), *kinds]
        async with self.process("-m", "benchmarks.vision.cameras", *arguments) as process:
            assert process.stdout is not None
            told = json.loads(await process.stdout.readline())
            yield Cameras(process, told["port"], told["epoch"])

    @contextlib.asynccontextmanager
    async def ours(
        self, urls: list[str], *, model: Path | None = None, **camera: float
    ) -> AsyncIterator[tuple[int, float]]:
        """The vision room on these cameras, all of which have been looked at: its process id, and the seconds that
        took. `model` instead of the built-in one; `camera` are defaults of all cameras."""
        with psycopg.connect(self._url) as connection:
            connection.execute("TRUNCATE camera CASCADE")
            connection.execute(CAMERAS, [urls])
        environment = {
            "SMARTSITE_DATABASE__URL": self._url,
            "SMARTSITE_DATA_DIR": str(self.folder / "data"),
            "SMARTSITE_LOG__LEVEL": "warning",
            "SMARTSITE_VISION__LIVE_PORT": "0",
            # In the arithmetic that OpenVINO chooses, as ultralytics runs it: bfloat16 where the processor has it.
            **({"SMARTSITE_VISION__MODEL": str(model), "SMARTSITE_VISION__PRECISION": "auto"} if model else {}),
            **{f"SMARTSITE_VISION__CAMERA__{name.upper()}": str(value) for name, value in camera.items()},
        }
        began = time.monotonic()
        async with self.process("-m", "smartsite", "run", "vision", **environment) as process:
            await self.until(lambda: all(row["frames_analysed"] for row in self.rows(STATES)), process)
            yield process.pid, time.monotonic() - began

    @contextlib.asynccontextmanager
    async def stock(self, model: Path, url: str, stride: int) -> AsyncIterator[tuple[int, list[float], float]]:
        """ultralytics on one camera after its first results: its process id, a list that grows by the time of each
        result, and the seconds until the first."""
        results: list[float] = []
        began = time.monotonic()

        async def listen(output: asyncio.StreamReader) -> None:
            while line := await output.readline():
                if line.strip().isdigit():  # and not a line of its log
                    results.append(time.monotonic())

        async with self.process("-m", "benchmarks.vision.stock", str(model), url, str(stride)) as process:
            assert process.stdout is not None
            listening = asyncio.create_task(listen(process.stdout))
            try:
                await self.until(lambda: len(results) > 2, process)
                yield process.pid, results, results[0] - began
            finally:
                process.kill()  # its reading threads do not end by themselves
                await listening
