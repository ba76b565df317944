"""Database, broker, ingest and devices, each a process of its own, to be killed and started again at will."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.ingest.mosquitto import Mosquitto
from benchmarks.ingest.stage import Stage
from benchmarks.outage.book import Sent
from benchmarks.outage.devices import Job

_READY_S = 180.0
_LOOK_S = 0.25
_STATIONS = "UPDATE device SET mn = %s, protocol_options = '{\"hj212\": {}}' WHERE name = %s"


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Scene:
    """Ingest on a fresh database of the stage, on ports that stay the same."""

    def __init__(self, stage: Stage, url: str, *, broker: Mosquitto | None = None) -> None:
        self._stage = stage
        self._broker = broker
        self._process: asyncio.subprocess.Process | None = None
        self._mqtt, self._hj212 = free_port(), free_port()
        sources = ["broker"] if broker else ["endpoint", "hj212"]
        self.url = url
        self._data = stage.folder / "data"
        self._environment = {
            **os.environ,
            "SMARTSITE_DATABASE__URL": url,
            "SMARTSITE_DATA_DIR": str(self._data),
            "SMARTSITE_INGEST__SOURCES": json.dumps(sources),
            "SMARTSITE_INGEST__MQTT_HOST": "127.0.0.1",
            "SMARTSITE_INGEST__MQTT_PORT": str(self._mqtt),
            "SMARTSITE_INGEST__HJ212_HOST": "127.0.0.1",
            "SMARTSITE_INGEST__HJ212_PORT": str(self._hj212),
            "SMARTSITE_LOG__LEVEL": "warning",
            **({"SMARTSITE_INGEST__BROKER_URL": f"mqtt://127.0.0.1:{broker.port}"} if broker else {}),
        }
        self.samples: list[tuple[float, float, int]] = []
        """Monotonic seconds, MB of ingest's resident memory, bytes in the spool."""
        self.kills: dict[str, list[float]] = {"ingest": [], "postgres": [], "broker": []}
        """Monotonic seconds of every kill -9."""
        self.restarts: list[float] = []

    # -- ingest -------------------------------------------------------------------------------------------------------

    async def start_ingest(self) -> None:
        """Start ingest as in production."""
        with (self._stage.folder / "processes.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "smartsite", "run", "ingest",
                env=self._environment, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    async def ready(self) -> float:
        """Wait until ingest takes connections, or has its session at the broker; returns the seconds it took."""
        begun = time.monotonic()
        async with asyncio.timeout(_READY_S):
            while not await self._listens():
                assert self._process is not None
                if self._process.returncode is not None:
                    raise RuntimeError(f"ingest ended with {self._process.returncode}; see processes.log")
                await asyncio.sleep(0.05)
        return time.monotonic() - begun

    async def _listens(self) -> bool:
        if self._broker is None:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self._hj212)
                writer.close()
                return True
            return False
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            query = "SELECT (detail ->> 'broker_connected')::boolean FROM worker WHERE room = 'ingest'"
            row = await (await connection.execute(query)).fetchone()
        return row is not None and bool(row[0])

    async def kill_ingest(self) -> None:
        """kill -9, and start again at once, as the supervisor does."""
        assert self._process is not None
        self.kills["ingest"].append(time.monotonic())
        self._process.kill()
        await self._process.wait()
        await self.start_ingest()

    async def restart_ingest(self) -> int:
        """SIGTERM, wait for the end, start again; returns the exit status."""
        status = await self.end_ingest()
        self.restarts.append(time.monotonic())
        await self.start_ingest()
        return status

    async def end_ingest(self) -> int:
        """SIGTERM, and wait for the end."""
        process, self._process = self._process, None
        if process is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        return await process.wait()

    # -- the others ---------------------------------------------------------------------------------------------------

    async def kill_postgres(self) -> None:
        """kill -9 of the server."""
        self.kills["postgres"].append(time.monotonic())
        os.kill(self._stage.postgres_pid, signal.SIGKILL)
        while self._stage.postgres.is_running():  # noqa: ASYNC110 - another process ends
            await asyncio.sleep(0.01)

    async def start_postgres(self) -> None:
        """Start the server again and wait until it answers."""
        await asyncio.to_thread(self._stage.postgres.start)

    async def kill_broker(self) -> None:
        """kill -9, and start again at once."""
        assert self._broker is not None
        self.kills["broker"].append(time.monotonic())
        await self._broker.end(kill=True)
        await self._broker.start()

    # -- looking ------------------------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Take samples until cancelled."""
        while True:
            self.samples.append((time.monotonic(), self._memory(), self.spooled()))
            await asyncio.sleep(_LOOK_S)

    def spooled(self) -> int:
        """Bytes in the spool's segments."""
        total = 0
        for path in self._data.glob("spool/*/*.segment"):
            with contextlib.suppress(FileNotFoundError):  # a segment that was released meanwhile
                total += path.stat().st_size
        return total

    def _memory(self) -> float:
        if self._process is None:
            return 0.0
        try:
            pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError):
            return 0.0
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    # -- devices ------------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def devices(
        self, *, qos1: int, qos0: int, hj212: int, every_s: float, quota: int = 0
    ) -> AsyncIterator[Devices]:
        """So many devices of each kind, sending."""
        numbers = iter(range(qos1 + qos0 + hj212))
        by_kind = [[next(numbers) for _ in range(count)] for count in (qos1, qos0, hj212)]
        names = {str(number): self._stage.names[number] for kind in by_kind for number in kind}
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            for number in by_kind[2]:
                mn = f"010000A8900016F0{number:08d}"
                await connection.execute(_STATIONS, [mn, names[str(number)]])
                names[str(number)] = mn
        job = Job(
            mqtt_port=self._broker.port if self._broker else self._mqtt,
            hj212_port=self._hj212,
            password=self._stage.secret,
            qos1=by_kind[0],
            qos0=by_kind[1],
            hj212=by_kind[2],
            names=names,
            every_s=every_s,
            quota=quota,
            patience_s=300,
            book=str(self._stage.folder / "book.npz"),
        )
        async with self._stage.process("-m", "benchmarks.outage.devices", json.dumps(asdict(job))) as process:
            devices = Devices(process, Path(job.book))
            await devices.tell()
            yield devices

    def clean(self) -> None:
        """Throw the data folder away."""
        shutil.rmtree(self._data, ignore_errors=True)


class Devices:
    """The devices' process."""

    def __init__(self, process: asyncio.subprocess.Process, book: Path) -> None:
        self._process = process
        self._book = book

    async def tell(self) -> None:
        """Begin, or end."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        await self._process.stdin.drain()

    async def finished(self) -> tuple[Sent, dict[str, Any]]:
        """Wait until all is acknowledged; what was sent, and how the devices fared."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the devices' process ended before its time; see processes.log")
        return Sent.load(self._book), json.loads(line)


def span(samples: Sequence[tuple[float, float, int]], begin: float, end: float) -> dict[str, float]:
    """Highest memory and spool of the samples in [begin, end)."""
    within = [(memory, spool) for moment, memory, spool in samples if begin <= moment < end]
    return {
        "peak_mb": round(max((memory for memory, _ in within), default=0.0), 1),
        "spool_peak_bytes": max((spool for _, spool in within), default=0),
    }
