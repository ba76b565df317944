"""`python -m benchmarks.fuzz [--json] [--inputs N] [--seed N] [--rate N]`: the campaign, and what must hold in it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.fuzz.attack import Attack
from benchmarks.fuzz.mutations import Hostile
from benchmarks.ingest.stage import Stage
from benchmarks.ingest.usage import cpu_seconds
from benchmarks.report import conclude, machine, target

DEVICES, GOOD = 60, 10
"""Registered devices; the first ten and two stations behave, the others are attacked with."""
_STATIONS = 4
_AT_ONCE = 8
_RATE = 5.0


def _mn(number: int) -> str:
    return f"010000A8900016F000169D{number:02d}"


def rss_mb(pid: int) -> float:
    """Resident memory now, MB (1e6 bytes)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) * 1024 / 1e6, 1)
    return 0.0


class Campaign:
    """One ingest, and runs beside it."""

    def __init__(self, stage: Stage, ingest: int, job: dict[str, Any]) -> None:
        self._stage = stage
        self._ingest = ingest
        self._job = job
        self.memory: list[float] = []

    @contextlib.asynccontextmanager
    async def steady(self, into: dict[str, Any]) -> AsyncIterator[None]:
        """Devices that behave, all through the block."""
        async with self._stage.process("-m", "benchmarks.fuzz.steady", json.dumps(self._job)) as process:
            assert process.stdout is not None
            assert process.stdin is not None
            assert await process.stdout.readline() == b"ready\n"
            yield
            process.stdin.write(b"\n")
            into |= json.loads(await process.stdout.readline())

    async def watch(self, attacks: Sequence[Attack]) -> None:
        """Note ingest's memory once a second; ends with an error where the process has ended."""
        while True:
            self.memory.append(rss_mb(self._ingest))
            if len(self.memory) % 30 == 0:
                found = sum((attack.found for attack in attacks), Counter[str]())
                print(f"{self.memory[-1]} MB, {dict(found)}", file=sys.stderr, flush=True)
            await asyncio.sleep(1)


async def campaign(stage: Stage, options: argparse.Namespace) -> dict[str, Any]:
    """The same good devices alone, then beside the fuzz."""
    limits = {"connect_rate": "0", "sources": '["endpoint","hj212"]', "hj212_host": "127.0.0.1", "hj212_port": "0"}
    with stage.database() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            for number in range(_STATIONS):
                name = stage.names[number].partition("/")[2]
                connection.execute("UPDATE device SET mn = %s WHERE code = %s", [_mn(number), name])
        async with stage.rooms(url, **limits) as (pids, mqtt_port):
            with psycopg.connect(url, autocommit=True) as connection:
                row = connection.execute(
                    "SELECT (detail->>'hj212_port')::int FROM worker WHERE room = 'ingest'"
                ).fetchone()
            assert row is not None
            hj212_port = int(row[0])
            job = {
                "mqtt_port": mqtt_port, "hj212_port": hj212_port, "password": stage.secret, "rate": _RATE,
                "users": stage.names[_STATIONS:GOOD], "mns": [_mn(number) for number in range(2)],
            }  # fmt: skip
            here = Campaign(stage, pids["ingest"], job)
            alone: dict[str, Any] = {}
            beside: dict[str, Any] = {}
            async with here.steady(alone):
                await asyncio.sleep(options.alone_s)
            attacks = [
                Attack(
                    Hostile(options.seed * 1000 + number, user=user, password=stage.secret, mn=_mn(2 + number % 2)),
                    mqtt_port=mqtt_port, hj212_port=hj212_port,
                )
                for number, user in enumerate(stage.names[GOOD:DEVICES])
            ]  # fmt: skip
            cpu, started = cpu_seconds(pids["ingest"]), time.perf_counter()
            async with here.steady(beside):
                watching = asyncio.create_task(here.watch(attacks))
                share, rate = options.inputs // len(attacks), options.rate / len(attacks)
                await asyncio.gather(*(attack.run(share, at_once=_AT_ONCE, rate=rate) for attack in attacks))
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
            seconds = time.perf_counter() - started
            spent = cpu_seconds(pids["ingest"]) - cpu
            found = sum((attack.found for attack in attacks), Counter[str]())
            with psycopg.connect(url, autocommit=True) as connection:
                reasons = dict(
                    connection.execute(
                        "SELECT reason, count(*) FROM quarantine GROUP BY reason ORDER BY 2 DESC"
                    ).fetchall()
                )
            tail = here.memory[len(here.memory) // 2 :] or [0.0]
            return {
                **{name: found[name] for name in ("inputs", "connections", "stalls", "cut_short", "resets")},
                "seconds": round(seconds, 1),
                "inputs_s": round(found["inputs"] / seconds),
                "ingest_cpu_s": round(spent, 1),
                "memory_mb": {"first": here.memory[0], "peak": max(here.memory), "last": here.memory[-1]},
                "memory_second_half_growth": round(max(tail) / tail[0], 3) if tail[0] else 0.0,
                "good_alone": alone,
                "good_beside": beside,
                "quarantine": reasons,
            }


async def run(options: argparse.Namespace) -> None:
    """The whole campaign in a temporary folder."""
    about = machine()
    folder = Path(tempfile.mkdtemp(prefix="smartsite-fuzz-", dir=options.folder))
    folder.chmod(0o755)
    stage = Stage(folder, DEVICES)
    try:
        await stage.open()
        figures = await campaign(stage, options)
        log = (folder / "processes.log").read_text(errors="replace")
        figures["tracebacks"] = log.count("Traceback")
        if figures["tracebacks"]:
            print(log[log.index("Traceback") - 500 :][:4000], file=sys.stderr)
    finally:
        stage.close()
        shutil.rmtree(folder, ignore_errors=True)
    alone, beside = figures["good_alone"], figures["good_beside"]
    conclude(
        figures,
        about,
        [
            target("connections that stalled", figures["stalls"], "==", 0),
            target("good messages without acknowledgement", beside["unacknowledged"] + len(beside["failed"]), "==", 0),
            target("good messages stored after more than a second", beside["over_1_s"], "==", 0),
            target("p99 of good messages, beside / alone", round(beside["p99_ms"] / alone["p99_ms"], 2), "<=", 2),
            target("memory, second half: peak / begin", figures["memory_second_half_growth"], "<=", 1.2),
            target("tracebacks in the log", figures["tracebacks"], "==", 0),
        ],
    )


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--json", action="store_true", help="the JSON object is all that is printed in any case")
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1500, help="inputs a second at most; 0: as many as go")
    parser.add_argument("--alone-s", type=float, default=60, help="seconds of good devices alone, before")
    parser.add_argument("--folder", help="where to keep the database meanwhile")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
