"""The crowd, in a process of its own: `python -m benchmarks.reconnect.crowd FILE PORT`; FILE holds users and secrets.

Each device connects by raw MQTT 3.1.1, publishes one reading when it is accepted, and is done when that is
acknowledged. Who is told to come again (CONNACK 3), or gets no connection, comes again after one to three seconds.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import uvloop

from ingest.mqtt.wire import string, variable

KNOCKING = 1000
"""Devices between their first SYN and CONNACK at a time; a city's radio cells let no more through."""


class Crowd:
    """What was measured."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.started = time.perf_counter()
        self.connected: list[float] = []
        self.acknowledged: list[float] = []
        self.again = 0
        self._held: list[asyncio.StreamWriter] = []  # open to the end
        self.knocking = asyncio.Semaphore(KNOCKING)

    async def device(self, user: str, secret: str) -> None:
        """One device, until its reading is acknowledged; its connection stays."""
        body = b"\0\4MQTT\4\xc2\0\x3c" + string(user) + string(user) + string(secret)
        connect = b"\x10" + variable(len(body)) + body
        while True:
            async with self.knocking:
                try:
                    async with asyncio.timeout(60):
                        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1024)
                        writer.write(connect)
                        answer = await reader.readexactly(4)
                except (OSError, TimeoutError, asyncio.IncompleteReadError):
                    answer = b"\x20\2\0\3"
            if answer == b"\x20\2\0\0":
                break
            if answer != b"\x20\2\0\3":
                raise SystemExit(f"{user} was refused: {answer!r}")
            self.again += 1
            await asyncio.sleep(1 + 2 * random.random())
        self.connected.append(time.perf_counter() - self.started)
        body = string(f"smartsite/v1/{user}/telemetry") + b"\0\1"
        body += b'{"ts":%d,"values":{"pm10":50.5,"laeq":61.5}}' % (time.time_ns() // 1_000_000)
        writer.write(b"\x32" + variable(len(body)) + body)
        assert await reader.readexactly(4) == b"\x40\2\0\1"
        self.acknowledged.append(time.perf_counter() - self.started)
        self._held.append(writer)

    def figures(self) -> dict[str, Any]:
        """Seconds since the first device knocked."""
        connected, acknowledged = sorted(self.connected), sorted(self.acknowledged)
        return {
            "devices": len(acknowledged),
            "all_connected_s": round(connected[-1], 2),
            "all_acknowledged_s": round(acknowledged[-1], 2),
            "half_acknowledged_s": round(acknowledged[len(acknowledged) // 2], 2),
            "came_again": self.again,
            "crowd_cpu_s": round(time.process_time(), 1),
        }


async def _main() -> None:
    devices = json.loads(Path(sys.argv[1]).read_text())
    crowd = Crowd(int(sys.argv[2]))
    await asyncio.gather(*(crowd.device(user, secret) for user, secret in devices.items()))
    print(json.dumps(crowd.figures()), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


if __name__ == "__main__":
    uvloop.run(_main())
