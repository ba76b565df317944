"""One run of each way: figures of a fresh database and fresh processes."""

from __future__ import annotations

import asyncio
import json
import pickle
import time
from dataclasses import asdict
from typing import Any

import numpy as np
import psycopg

from benchmarks.ingest.generator import Job
from benchmarks.ingest.peers import CHANNELS, OBVIOUS_TABLE
from benchmarks.ingest.rabbitmq import PASSWORD, QUEUE, USER, rabbitmq, reader
from benchmarks.ingest.stage import KIND, Stage
from benchmarks.ingest.usage import Meter
from ingest.rows import Rows, copy_bytes, copy_columns
from sensors.batch import NORMAL
from sensors.profiles import load_profiles

VALUES = len(CHANNELS)
BATCH = 2000
_PATIENCE_S = 300.0


class Ways:
    """Runs on a stage; every method returns the figures of one run, None where a figure has no meaning."""

    def __init__(self, stage: Stage, *, window: int) -> None:
        self._stage = stage
        self._window = window

    async def own(self, messages: int, *, connections: int, rate: float = 0) -> dict[str, Any]:
        """(a): devices connect straight to ingest."""
        with self._stage.database() as url:
            async with self._stage.rooms(url) as (pids, port):
                meter = Meter({**pids, "postgres": self._stage.postgres_pid})
                run = await self._generate(port, messages, connections, meter, rate)
                behind = await self._engine_done(url)
                return self._figures(run, run["seconds"], meter) | await self._kept(url, messages) | behind

    async def through_broker(self, messages: int, *, connections: int) -> dict[str, Any]:
        """(b): devices speak to Mosquitto, ingest reads from it; timed until the last row is committed."""
        with self._stage.database() as url:
            async with (
                self._stage.broker() as (broker, port),
                self._stage.rooms(url, sources='["broker"]', broker_url=f"mqtt://127.0.0.1:{port}") as (pids, _),
            ):
                meter = Meter({**pids, "mosquitto": broker, "postgres": self._stage.postgres_pid})
                run = await self._generate(port, messages, connections, meter)
                return await self._stored(url, run, meter)

    async def through_rabbitmq(self, messages: int, *, connections: int, workers: int) -> dict[str, Any]:
        """Beside (b): devices speak to one RabbitMQ node, workers read its quorum queue."""
        with self._stage.database() as url:
            async with (
                rabbitmq(self._stage.folder, self._stage.names[:connections], self._stage.secret) as (erlang, node),
                self._stage.rooms(url, workers=workers, **reader(node)) as (pids, _),
            ):
                meter = Meter({**pids, "rabbitmq": erlang, "postgres": self._stage.postgres_pid})
                run = await self._generate(node.mqtt, messages, connections, meter)
                return await self._stored(url, run, meter)

    async def obvious(self, messages: int, *, connections: int) -> dict[str, Any]:
        """(c): paho's callback and one INSERT a message, without rules."""
        with self._stage.database() as url:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(OBVIOUS_TABLE)
            async with (
                self._stage.broker() as (broker, port),
                self._stage.process("-m", "benchmarks.ingest.peers", "obvious", url, str(port)) as peer,
            ):
                await _line(peer)
                meter = Meter({"obvious": peer.pid, "mosquitto": broker, "postgres": self._stage.postgres_pid})
                run = await self._generate(port, messages, connections, meter)
                seconds = await self._until(url, "SELECT count(*) FROM reading_obvious", messages) - run["begun"]
                return self._figures(run, seconds, meter)

    async def endpoint_ceiling(self, messages: int, *, connections: int) -> dict[str, Any]:
        """(d): the same bytes to an endpoint that only acknowledges."""
        async with self._stage.process("-m", "benchmarks.ingest.peers", "endpoint") as peer:
            port = int((await _line(peer)).split()[1])
            meter = Meter({"endpoint": peer.pid})
            run = await self._generate(port, messages, connections, meter)
            return self._figures(run, run["seconds"], meter)

    async def subscriber_ceiling(self, messages: int, *, connections: int) -> dict[str, Any]:
        """(d): the same bytes through Mosquitto to a paho subscriber that only counts."""
        async with (
            self._stage.broker() as (broker, port),
            self._stage.process("-m", "benchmarks.ingest.peers", "subscriber", str(port)) as peer,
        ):
            await _line(peer)
            meter = Meter({"subscriber": peer.pid, "mosquitto": broker})
            run = await self._generate(port, messages, connections, meter)
            while int(await _ask(peer)) < messages:  # noqa: ASYNC110 - another process counts
                await asyncio.sleep(0.01)
            return self._figures(run, time.perf_counter() - run["begun"], meter)

    async def queue_ceiling(self, messages: int, *, connections: int) -> dict[str, Any]:
        """(d): the same bytes through RabbitMQ's quorum queue to a consumer that counts and acknowledges."""
        async with (
            rabbitmq(self._stage.folder, self._stage.names[:connections], self._stage.secret) as (erlang, node),
            self._stage.process("-m", "benchmarks.ingest.peers", "queue", node.url, USER, PASSWORD, QUEUE) as peer,
        ):
            await _line(peer)
            meter = Meter({"consumer": peer.pid, "rabbitmq": erlang})
            run = await self._generate(node.mqtt, messages, connections, meter)
            while int(await _ask(peer)) < messages:  # noqa: ASYNC110 - another process counts
                await asyncio.sleep(0.01)
            return self._figures(run, time.perf_counter() - run["begun"], meter)

    async def copy_ceiling(self, messages: int) -> dict[str, Any]:
        """(d): the same rows by bare binary COPY, 2000 a commit, no log and no rules."""
        profile = load_profiles(None)[KIND]
        streams = [copy_bytes(_rows(start, min(BATCH, messages - start))) for start in range(0, messages, BATCH)]
        file = self._stage.folder / "streams"
        file.write_bytes(pickle.dumps((profile.table, copy_columns(profile), streams)))
        with self._stage.database() as url:
            async with self._stage.process("-m", "benchmarks.ingest.peers", "copy", url, str(file)) as peer:
                await _line(peer)
                meter = Meter({"copy": peer.pid, "postgres": self._stage.postgres_pid})
                meter.start()
                seconds = float(await _ask(peer))
                return self._figures({"published": messages}, seconds, meter)

    # -- parts --------------------------------------------------------------------------------------------------------

    async def _generate(
        self, port: int, messages: int, connections: int, meter: Meter, rate: float = 0
    ) -> dict[str, Any]:
        """Connect the devices, then start the meter and publish."""
        job = Job(
            port=port,
            devices=self._stage.names[:connections],
            password=self._stage.secret,
            messages=messages,
            window=self._window,
            rate=rate,
        )
        async with self._stage.process("-m", "benchmarks.ingest.generator", json.dumps(asdict(job))) as process:
            await _line(process)
            meter.start()
            begun = time.perf_counter()
            async with asyncio.timeout(_PATIENCE_S):
                run: dict[str, Any] = json.loads(await _ask(process))
            return run | {"begun": begun}

    async def _until(self, url: str, query: str, messages: int) -> float:
        """The moment in which the query says that all messages are there."""
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            deadline = time.monotonic() + _PATIENCE_S
            while time.monotonic() < deadline:
                row = await (await connection.execute(query)).fetchone()  # type: ignore[arg-type]
                if row is not None and (row[0] or 0) >= messages:
                    return time.perf_counter()
                await asyncio.sleep(0.05)
        raise TimeoutError(f"only {row} of {messages} messages are stored")

    async def _engine_done(self, url: str) -> dict[str, Any]:
        """Wait until the rules have seen everything; its cursor is stored at most every two seconds."""
        started = time.perf_counter()
        query = (
            "SELECT count(*) FROM log_stream s LEFT JOIN log_cursor c"
            " ON c.reader = 'alerts' AND c.writer = s.writer AND c.shard = s.shard"
            " WHERE s.writer LIKE 'ingest-%' AND coalesce(c.sequence, 0) < s.last"
        )
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            async with asyncio.timeout(_PATIENCE_S):
                while True:
                    row = await (await connection.execute(query)).fetchone()
                    if row is not None and row[0] == 0:
                        return {"rules_behind_s": time.perf_counter() - started}
                    await asyncio.sleep(0.1)

    async def _stored(self, url: str, run: dict[str, Any], meter: Meter) -> dict[str, Any]:
        """Figures of messages that a broker acknowledged: until the last of them is committed."""
        messages = run["published"]
        query = "SELECT sum(stored + duplicates) FROM ingest_count"
        seconds = await self._until(url, query, messages) - run["begun"]
        behind = await self._engine_done(url)
        return self._figures(run, seconds, meter) | await self._kept(url, messages) | behind

    async def _kept(self, url: str, messages: int) -> dict[str, Any]:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            row = await (await connection.execute(f"SELECT count(*) FROM reading_{KIND}")).fetchone()
            counts = await (
                await connection.execute("SELECT sum(duplicates), sum(quarantined) FROM ingest_count")
            ).fetchone()
        assert row is not None
        assert counts is not None
        return {"lost": messages - row[0], "duplicates": int(counts[0]), "quarantined": int(counts[1])}

    def _figures(self, run: dict[str, Any], seconds: float, meter: Meter) -> dict[str, Any]:
        messages = run["published"]
        spent = meter.spent()
        figures: dict[str, Any] = {
            "messages_s": messages / seconds,
            "readings_s": messages * VALUES / seconds,
            "cpu_s_per_million_readings": {name: value / messages / VALUES * 1e6 for name, value in spent.items()},
            "cpu_us_per_message": sum(spent.values()) / messages * 1e6,
            "peak_mb": meter.peak(),
        }
        if "cpu_s" in run:
            figures["cpu_s_per_million_readings"]["generator"] = run["cpu_s"] / messages / VALUES * 1e6
            figures |= {"acknowledged_p50_ms": run["p50_ms"], "acknowledged_p99_ms": run["p99_ms"]}
        return figures


def _rows(start: int, count: int) -> Rows:
    """Rows as the decoder would make them: 500 devices in turn."""
    profile = load_profiles(None)[KIND]
    number = np.arange(start, start + count)
    known = np.array([channel.name in CHANNELS for channel in profile.channels])
    values = np.where(known, 50.0 + (number % 61)[:, np.newaxis] / 4, np.nan)
    now = time.time_ns() // 1_000_000 * 1000
    return Rows(
        profile=profile,
        device=(1 + number % 500).astype(np.int32),
        site=np.ones(count, dtype=np.int32),
        time=(now + number // 500 * 1000).astype(np.int64),
        flags=np.zeros(count, dtype=np.uint8),
        values=values,
        quality=np.where(np.isnan(values), 0, NORMAL).astype(np.uint8),
        message=np.arange(count, dtype=np.int32),
        arrived=np.full(count, now),
    )


async def _line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode().strip()
    if not line:
        raise RuntimeError("a process of the benchmark ended before it was ready; see processes.log")
    return line


async def _ask(process: asyncio.subprocess.Process) -> str:
    assert process.stdin is not None
    process.stdin.write(b"go\n")
    await process.stdin.drain()
    return await _line(process)
