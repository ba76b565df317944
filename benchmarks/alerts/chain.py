"""From the device's publish to the regulator's acceptance and the officer's message, through the real processes.

Ingest and alerts as in production on PostgreSQL with fsync, the sandbox regulator as receiver of violations and, by
apprise's webhook, of messages. 500 stations publish quietly at a steady rate; beside them others publish one reading
beyond a limit each. Publish is when the PUBLISH is written, arrival is the receiver's own clock; all on one machine.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sqlite3
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.ingest.generator import Job
from benchmarks.ingest.stage import Stage
from benchmarks.ingest.usage import Meter
from smartsite.commands.regulator import SECRET_VARIABLE

QUIET = 500
_SECRET = "whsec_" + "YmVuY2htYXJrcw" * 2 + "YmVuY2g="
_PATIENCE_S = 30.0


async def latency(folder: Path, *, seconds: int, rate: float, breaches: int) -> dict[str, Any]:
    """Percentiles in milliseconds, and how many of the violations arrived where they should."""
    stage = Stage(folder, QUIET + breaches)
    try:
        await stage.open()
        with stage.database() as url:
            return await _run(stage, url, seconds=seconds, rate=rate, breaches=breaches)
    finally:
        stage.close()


async def _run(stage: Stage, url: str, *, seconds: int, rate: float, breaches: int) -> dict[str, Any]:
    port, state = _free_port(), stage.folder / "regulator"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO person (code, name, role, all_sites, contacts) VALUES ('o', '安全员', 'officer', true, %s)",
            [[f"json://127.0.0.1:{port}/inbox"]],
        )
        # Without these a regulator cannot take a violation.
        connection.execute("UPDATE site SET project_code = code, permit_number = code, region_code = '330108'")
        connection.execute("UPDATE device SET record_number = code")
    target = {
        "name": "sandbox", "url": f"http://127.0.0.1:{port}", "client_id": "smartsite", "secret": _SECRET,
        "push_on": "raise", "rules": ["*"],
    }  # fmt: skip
    sandbox = ("-m", "smartsite", "regulator", "--port", str(port), "--state", str(state))
    async with (
        stage.process(*sandbox, **{SECRET_VARIABLE: _SECRET}),
        stage.rooms(url, targets=[target]) as (pids, endpoint),
    ):
        await _listening(port)
        job = Job(
            port=endpoint, devices=stage.names[:QUIET], password=stage.secret, messages=int(rate * seconds),
            window=10, rate=rate,
        )  # fmt: skip
        offenders = [await Offender.connect(endpoint, name, stage.secret) for name in stage.names[QUIET:]]
        async with stage.process("-m", "benchmarks.ingest.generator", json.dumps(asdict(job))) as generator:
            assert generator.stdin is not None
            assert generator.stdout is not None
            await generator.stdout.readline()
            meter = Meter({**pids, "postgres": stage.postgres_pid})
            meter.start()
            generator.stdin.write(b"\n")
            published = await _offend(offenders, seconds)
            quiet = json.loads(await generator.stdout.readline())
        await _arrived(state, breaches)
        spent = meter.spent()
    for offender in offenders:
        offender.close()
    figures = _figures(url, state, published)
    return figures | {
        "messages_s": round(rate), "breaches": breaches, "seconds": seconds,
        "acknowledged_p99_ms": round(quiet["p99_ms"], 1),
        "cpu_cores": {name: round(value / quiet["seconds"], 3) for name, value in spent.items()},
    }  # fmt: skip


class Offender:
    """A station that publishes one reading beyond its limit."""

    def __init__(self, name: str, writer: asyncio.StreamWriter) -> None:
        self.name = name
        self._writer = writer

    @classmethod
    async def connect(cls, port: int, name: str, secret: str) -> Offender:
        """Log in as the device `name`."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        words = b"".join(
            len(word).to_bytes(2, "big") + word for word in (name.encode(), name.encode(), secret.encode())
        )
        body = b"\0\4MQTT\4\xc2\0\x00" + words
        writer.write(bytes((0x10, len(body))) + body)
        if await reader.readexactly(4) != b"\x20\x02\0\0":
            raise ConnectionError(f"{name} was refused")
        return cls(name, writer)

    def publish(self) -> int:
        """Publish at QoS 1; the wall time in milliseconds."""
        now = time.time_ns() // 1_000_000
        topic = f"smartsite/v1/{self.name}/telemetry".encode()
        packet = len(topic).to_bytes(2, "big") + topic + b"\0\1" + b'{"ts":%d,"values":{"pm10":4990.0}}' % now
        self._writer.write(bytes((0x32, len(packet))) + packet)
        return now

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


async def _offend(offenders: Sequence[Offender], seconds: int) -> dict[str, int]:
    """Publish one after another, evenly over the run; wall time in milliseconds by name."""
    started, published = time.monotonic(), {}
    for place, offender in enumerate(offenders):
        # The first second is left to the start of the steady load.
        due = started + 1 + place * (seconds - 2) / len(offenders)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        published[offender.name] = offender.publish()
    return published


async def _arrived(state: Path, breaches: int) -> None:
    """Wait until everything is there; what is still missing then is counted."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        with sqlite3.connect(state / "regulator.sqlite") as memory:
            (accepted,) = memory.execute("SELECT count(*) FROM violation").fetchone()
            (told,) = memory.execute("SELECT count(*) FROM message").fetchone()
        if min(accepted, told) >= breaches:
            return
        await asyncio.sleep(0.2)


def _figures(url: str, state: Path, published: dict[str, int]) -> dict[str, Any]:
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT a.id, s.code || '/' || d.code, (extract(epoch FROM a.raised_at) * 1000)::bigint"
            " FROM alert a JOIN device d ON d.id = a.device_id JOIN site s ON s.id = d.site_id"
        ).fetchall()
    names = {number: name for number, name, _ in rows}
    with sqlite3.connect(state / "regulator.sqlite") as memory:
        accepted = [
            (json.loads(body)["alert"]["id"], at)
            for at, body in memory.execute("SELECT arrived_ms, body FROM violation")
        ]
        told = memory.execute("SELECT alert, arrived_ms FROM message WHERE phase = 'raised'").fetchall()
    found: dict[str, Any] = {}
    for name, arrivals in (("raised", [(row[0], row[2]) for row in rows]), ("accepted", accepted), ("notified", told)):
        delays = sorted(at - published[names[number]] for number, at in arrivals)
        found[name] = {
            "count": len(delays),
            "p50_ms": statistics.median(delays) if delays else None,
            # What never arrived is not a matter of its latency: it is a target of its own.
            "p99_ms": delays[len(delays) * 99 // 100] if delays else 1000 * _PATIENCE_S,
            "worst_ms": delays[-1] if delays else None,
        }
    return found


async def _listening(port: int) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
