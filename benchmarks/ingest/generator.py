"""Many devices in one lean process: publishes at QoS 1 over raw MQTT 3.1.1 and counts every PUBACK.

`python -m benchmarks.ingest.generator '<job>'` connects, prints `ready`, waits for a line on stdin, publishes, and
prints one JSON object. A packet identifier is a slot of the device's window: it is used again once acknowledged.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from array import array
from dataclasses import dataclass
from typing import Any

import uvloop

_VARIANTS = 61
_CONNECTING = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to publish.

    `messages` in all, as fast as windows of `window` allow, or `rate` of them a second where that is not 0. `devices`
    are user names, one connection each.
    """

    port: int
    devices: list[str]
    password: str
    messages: int
    window: int
    rate: float


def bodies() -> list[bytes]:
    """Payload tails of one length: eight values as a dust station has them, all within their limits."""
    return [
        b',"values":{"pm10":%.2f,"pm2_5":%.2f,"tsp":%.2f,"laeq":%.2f,"temperature":%.2f,'
        b'"humidity":%.2f,"pressure":%.2f,"wind_speed":%.2f}}'
        % (100 + n / 4, 30 + n / 8, 120 + n / 3, 50 + n / 9, 20 + n / 7, 40 + n / 5, 1000 + n / 6, 1 + n / 40)
        for n in range(_VARIANTS)
    ]


BODIES = bodies()


def length(value: int) -> bytes:
    """A remaining length of MQTT."""
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | 0x80 if value else low)
        if not value:
            return bytes(out)


def string(text: str) -> bytes:
    """A string of MQTT, its length before it."""
    return len(text.encode()).to_bytes(2, "big") + text.encode()


class Crowd:
    """The devices together: what is left to publish, and what was measured."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.left = job.messages
        self.acknowledged = 0
        self.latency = array("d")
        self.refused = 0
        self.lost_connections = 0
        self.ready = asyncio.Event()
        self.done = asyncio.Event()
        self.waiting = 0
        self.devices: list[Device] = []

    async def connect(self) -> None:
        """Connect all devices, a few hundred at a time."""
        loop = asyncio.get_running_loop()
        for start in range(0, len(self.job.devices), _CONNECTING):
            names = self.job.devices[start : start + _CONNECTING]
            self.waiting = len(names)
            self.ready.clear()
            for name in names:
                _, device = await loop.create_connection(
                    lambda name=name: Device(self, name), "127.0.0.1", self.job.port
                )  # type: ignore[misc]
                self.devices.append(device)
            await self.ready.wait()

    async def publish(self) -> dict[str, Any]:
        """Publish everything and wait for the last PUBACK."""
        cpu, started = time.process_time(), time.perf_counter()
        if self.job.rate:
            await self._paced()
        else:
            for device in self.devices:
                device.fill()
        await self.done.wait()
        seconds = time.perf_counter() - started
        latency = sorted(self.latency)
        return {
            "seconds": seconds,
            "cpu_s": time.process_time() - cpu,
            "published": self.job.messages,
            "acknowledged": self.acknowledged,
            "lost_connections": self.lost_connections,
            "p50_ms": latency[len(latency) // 2] * 1000,
            "p99_ms": latency[len(latency) * 99 // 100] * 1000,
        }

    async def _paced(self) -> None:
        started, sent, turn = time.perf_counter(), 0, 0
        while self.left:
            due = int((time.perf_counter() - started) * self.job.rate) - sent
            for _ in range(min(due, self.left)):
                self.devices[turn].one()
                turn = (turn + 1) % len(self.devices)
            sent += max(0, due)
            await asyncio.sleep(0.005)

    def count(self, number: int) -> None:
        """So many more are acknowledged."""
        self.acknowledged += number
        if self.acknowledged == self.job.messages:
            self.done.set()


class Device(asyncio.Protocol):
    """One connection with its window."""

    def __init__(self, crowd: Crowd, name: str) -> None:
        self._crowd = crowd
        self._name = name
        self._transport: Any = None
        self._open = False
        self._held = b""
        self._ts = time.time_ns() // 1_000_000
        topic = string(f"smartsite/v1/{name}/telemetry")
        size = len(topic) + 2 + len(b'{"ts":1786000000000') + len(BODIES[0])
        head = b"\x32" + length(size) + topic
        window = crowd.job.window
        self._heads = [head + number.to_bytes(2, "big") for number in range(1, window + 1)]
        self._sent = [0.0] * window
        self._free = list(range(window))
        self._turn = hash(name) % _VARIANTS

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        body = b"\0\4MQTT\4\xc2\0\x3c" + string(self._name) + string(self._name) + string(self._crowd.job.password)
        transport.write(b"\x10" + length(len(body)) + body)

    def connection_lost(self, _exc: Exception | None) -> None:
        if not self._crowd.done.is_set():
            self._crowd.lost_connections += 1

    def data_received(self, data: bytes) -> None:
        if self._held:
            data = self._held + data
        if not self._open:
            if data[:4] != b"\x20\x02\0\0":
                raise SystemExit(f"{self._name} was refused: {data!r}")
            self._open = True
            self._crowd.waiting -= 1
            if not self._crowd.waiting:
                self._crowd.ready.set()
            return
        whole = len(data) & ~3
        self._held = data[whole:]
        now = time.perf_counter()
        latency, sent, free = self._crowd.latency, self._sent, self._free
        for at in range(2, whole, 4):
            slot = (data[at] << 8 | data[at + 1]) - 1
            latency.append(now - sent[slot])
            free.append(slot)
        if not self._crowd.job.rate:
            self.fill()
        self._crowd.count(whole >> 2)

    def fill(self) -> None:
        """Publish as much as the window takes, in one write."""
        count = min(len(self._free), self._crowd.left)
        if count:
            self._crowd.left -= count
            self._transport.write(b"".join([self._packet() for _ in range(count)]))

    def one(self) -> None:
        """Publish one message; a window that is full skips its turn."""
        if self._free:
            self._crowd.left -= 1
            self._transport.write(self._packet())

    def _packet(self) -> bytes:
        slot = self._free.pop()
        self._sent[slot] = now = time.perf_counter()
        self._ts = max(self._ts + 1, int((now + _WALL) * 1000))
        self._turn = turn = (self._turn + 1) % _VARIANTS
        return b'%b{"ts":%d%b' % (self._heads[slot], self._ts, BODIES[turn])


_WALL = time.time() - time.perf_counter()


async def _main() -> None:
    crowd = Crowd(Job(**json.loads(sys.argv[1])))
    await crowd.connect()
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    print(json.dumps(await crowd.publish()), flush=True)


if __name__ == "__main__":
    uvloop.run(_main())
