"""Devices that go on sending whatever happens, and know what they were told: all of them in one process.

`python -m benchmarks.outage.devices '<job>'` begins at a line on stdin. At a second line, or when every device has sent
its quota, nothing new is sent; when all that waits is acknowledged, the book is written and one JSON object printed.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, cast

import uvloop

from benchmarks.ingest.generator import BODIES, length, string
from benchmarks.outage.book import Book, Kind
from sensors.hj212 import compose
from sensors.hj212.framing import Splitter
from sensors.hj212.packet import Packet, open_frame, write

_BEIJING = timezone(timedelta(hours=8))
_WINDOW = 20
_KEEP_ALIVE_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Who sends what: device numbers by kind, their names (user names, or MNs of stations) by number.

    Each sends a reading every `every_s` seconds, `quota` in all where that is not 0.
    """

    mqtt_port: int
    hj212_port: int
    password: str
    qos1: list[int]
    qos0: list[int]
    hj212: list[int]
    names: dict[str, str]
    every_s: float
    quota: int
    patience_s: float
    book: str


class Crowd:
    """What the devices of a process share."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.book = Book()
        self.ending = asyncio.Event()
        makers = {Kind.QOS1: Loud, Kind.QOS0: Quiet, Kind.HJ212: Station}
        self.devices: list[Device] = [
            makers[kind](self, number) for kind in Kind for number in getattr(job, kind.name.lower())
        ]

    async def run(self) -> dict[str, Any]:
        """Send until told to end, then wait for the last acknowledgement."""
        connecting = [asyncio.create_task(device.connect()) for device in self.devices]
        sending = [asyncio.create_task(device.send()) for device in self.devices]
        told = asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        told.add_done_callback(lambda _: self.ending.set())
        await asyncio.gather(*sending)
        deadline = time.monotonic() + self.job.patience_s
        while (waiting := sum(device.waiting for device in self.devices)) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        for task in connecting:
            task.cancel()
        await asyncio.gather(*connecting, return_exceptions=True)
        self.book.save(Path(self.job.book))
        return {"waiting": waiting, "connections": sum(device.connections for device in self.devices)}


class Device(asyncio.Protocol):
    """Connects again as often as its connection ends; a kind says how a reading is sent and what comes back."""

    kind: Kind

    def __init__(self, crowd: Crowd, number: int) -> None:
        self.crowd = crowd
        self.number = number
        self.name = crowd.job.names[str(number)]
        self.connections = 0
        self.port = crowd.job.mqtt_port
        self._transport: asyncio.Transport | None = None
        self._lost = asyncio.Event()
        self._chance = random.Random(number)
        self._open = False
        self._ts = 0
        self._made = 0

    @property
    def waiting(self) -> int:
        """Readings that are not acknowledged yet."""
        raise NotImplementedError

    def produce(self) -> None:
        """A new reading is due."""
        raise NotImplementedError

    async def connect(self) -> None:
        """Go on until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._lost.clear()
            try:
                await loop.create_connection(lambda: self, "127.0.0.1", self.port)
            except OSError:
                pass  # nobody listens: the next attempt is a moment away
            else:
                self.connections += 1
                await self._lost.wait()
            await asyncio.sleep(self._chance.uniform(0.2, 0.6))

    async def send(self) -> None:
        """Produce in time until the quota is reached or the end has come."""
        job, due = self.crowd.job, time.monotonic() + self._chance.random() * self.crowd.job.every_s
        while not self.crowd.ending.is_set() and not (job.quota and self._made >= job.quota):
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due += job.every_s
            self.produce()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the interface of asyncio.Transport without being one.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._open = False
        self._lost.set()

    def _write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    def _reading(self, ts: int) -> int:
        self._ts = ts
        self._made += 1
        return self.crowd.book.add(self.kind, self.number, ts, time.monotonic())


class _Keeping(Device):
    """Keeps what is not acknowledged, and sends it again on the next connection."""

    def __init__(self, crowd: Crowd, number: int) -> None:
        super().__init__(crowd, number)
        self._backlog: deque[tuple[int, int]] = deque()
        self._flying: dict[Any, tuple[int, int]] = {}

    @property
    def waiting(self) -> int:
        return len(self._backlog) + len(self._flying)

    def produce(self) -> None:
        ts = self._next_ts()
        self._backlog.append((self._reading(ts), ts))
        self._pump()

    def _next_ts(self) -> int:
        raise NotImplementedError

    def _key(self, ts: int) -> Any:
        """What the acknowledgement of a reading will name."""
        raise NotImplementedError

    def _message(self, key: Any, ts: int, *, again: bool) -> bytes:
        raise NotImplementedError

    def _begin(self) -> None:
        """The connection is ready: first what the one before left open."""
        self._open = True
        for key, (_, ts) in self._flying.items():
            self._write(self._message(key, ts, again=True))
        self._pump()

    def _pump(self) -> None:
        while self._open and self._backlog and len(self._flying) < _WINDOW:
            entry = self._backlog.popleft()
            key = self._key(entry[1])
            self._flying[key] = entry
            self._write(self._message(key, entry[1], again=False))

    def _acknowledged(self, key: Any) -> None:
        entry = self._flying.pop(key, None)
        if entry is not None:
            self.crowd.book.acknowledge(entry[0], time.monotonic())
            self._pump()


class _Mqtt(Device):
    """MQTT 3.1.1: connecting, and cutting what comes into packets."""

    clean = False

    def __init__(self, crowd: Crowd, number: int) -> None:
        super().__init__(crowd, number)
        self._topic = string(f"smartsite/v1/{self.name}/telemetry")
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._held = b""
        flags = b"\xc2" if self.clean else b"\xc0"
        body = b"\0\4MQTT\4" + flags + _KEEP_ALIVE_S.to_bytes(2, "big")
        body += string(self.name) + string(self.name) + string(self.crowd.job.password)
        self._write(b"\x10" + length(len(body)) + body)

    def data_received(self, data: bytes) -> None:
        data, at = self._held + data, 0
        while len(data) - at >= 2 and len(data) - at >= 2 + data[at + 1]:
            end = at + 2 + data[at + 1]
            self._packet(data[at] >> 4, data[at + 2 : end])
            at = end
        self._held = data[at:]

    def _packet(self, kind: int, body: bytes) -> None:
        if kind != 2:
            self._answer(kind, body)
        elif body[1]:
            assert self._transport is not None
            self._transport.abort()  # refused at the moment: tried again
        else:
            self._welcome()

    def _welcome(self) -> None:
        raise NotImplementedError

    def _answer(self, kind: int, body: bytes) -> None:
        raise NotImplementedError

    def _publish(self, first: int, number: bytes, ts: int) -> bytes:
        body = self._topic + number + b'{"ts":%d%b' % (ts, BODIES[ts % len(BODIES)])
        return bytes((first,)) + length(len(body)) + body

    def _now(self) -> int:
        return max(self._ts + 1, time.time_ns() // 1_000_000)


class Loud(_Mqtt, _Keeping):
    """QoS 1 with a kept session."""

    kind = Kind.QOS1

    def __init__(self, crowd: Crowd, number: int) -> None:
        super().__init__(crowd, number)
        self._id = 0

    def _next_ts(self) -> int:
        return self._now()

    def _key(self, ts: int) -> int:  # noqa: ARG002 - packets are numbered in turn
        self._id = self._id % 65_535 + 1
        return self._id

    def _message(self, key: Any, ts: int, *, again: bool) -> bytes:
        return self._publish(0x3A if again else 0x32, key.to_bytes(2, "big"), ts)

    def _welcome(self) -> None:
        self._begin()

    def _answer(self, kind: int, body: bytes) -> None:
        if kind == 4:
            self._acknowledged(int.from_bytes(body[:2], "big"))


class Quiet(_Mqtt):
    """QoS 0: says nothing while it has no connection. The answer to a PINGREQ behind each message tells that the
    message was read."""

    kind = Kind.QOS0
    clean = True

    def __init__(self, crowd: Crowd, number: int) -> None:
        super().__init__(crowd, number)
        self._asked: deque[int] = deque()

    @property
    def waiting(self) -> int:
        return len(self._asked)

    def produce(self) -> None:
        if self._open:
            ts = self._now()
            self._asked.append(self._reading(ts))
            self._write(self._publish(0x30, b"", ts) + b"\xc0\0")

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._asked.clear()

    def _welcome(self) -> None:
        self._open = True

    def _answer(self, kind: int, body: bytes) -> None:  # noqa: ARG002 - a PINGRESP has none
        if kind == 13:
            self.crowd.book.acknowledge(self._asked.popleft(), time.monotonic())


class Station(_Keeping):
    """HJ 212: real-time packets with the flag that wants an answer; DataTime goes on by a second each."""

    kind = Kind.HJ212

    def __init__(self, crowd: Crowd, number: int) -> None:
        super().__init__(crowd, number)
        self.port = crowd.job.hj212_port
        self._splitter = Splitter(65_536)
        self._ts = (time.time_ns() // 1_000_000_000 - crowd.job.quota) * 1000

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._splitter = Splitter(65_536)
        self._begin()

    def data_received(self, data: bytes) -> None:
        for piece in self._splitter.feed(data):
            packet = open_frame(piece.raw).packet
            if packet.cn == compose.DATA_ACK:
                self._acknowledged(packet.qn)

    def _next_ts(self) -> int:
        return self._ts + 1000

    def _key(self, ts: int) -> str:
        return compose.qn(datetime.fromtimestamp(ts / 1000, UTC), _BEIJING)

    def _message(self, key: Any, ts: int, *, again: bool) -> bytes:  # noqa: ARG002 - HJ 212 has no mark for it
        moment = datetime.fromtimestamp(ts / 1000, UTC)
        header = Packet(cn="2011", mn=self.name, qn=key, st="39", pw="123456", flag=5)
        factors = {"a34002": {"Rtd": 100 + moment.second, "Flag": "N"}, "Leq": {"Rtd": 60.5, "Flag": "N"}}
        (made,) = compose.data(header, moment, _BEIJING, factors)
        return write(made)


async def _main() -> None:
    crowd = Crowd(Job(**json.loads(sys.argv[1])))
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    print(json.dumps(await crowd.run()), flush=True)


if __name__ == "__main__":
    uvloop.run(_main())
