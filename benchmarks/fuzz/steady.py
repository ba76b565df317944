"""Devices that behave, in a process of their own: `python -m benchmarks.fuzz.steady '<job>'`.

Prints `ready`, publishes until a line comes on stdin, waits for the last acknowledgements, prints one JSON object.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from benchmarks.fuzz.mutations import Hostile
from ingest.mqtt.wire import string, variable
from sensors.hj212 import compose
from sensors.hj212.packet import Packet, write

_BEIJING = timezone(timedelta(hours=8))
_LAST_S = 30.0


class Figures:
    """Seconds from sending to acknowledgement."""

    def __init__(self) -> None:
        self.latency: list[float] = []
        self.sent = 0
        self.stop = asyncio.Event()


async def mqtt(figures: Figures, job: dict[str, Any], user: str) -> None:
    """A dust station at `rate` messages a second."""
    reader, writer = await asyncio.open_connection("127.0.0.1", job["mqtt_port"])
    writer.write(Hostile(0, user=user, password=job["password"], mn="").connect(4, client_id="steady"))
    assert await reader.readexactly(4) == b"\x20\2\0\0"
    sent: dict[int, float] = {}
    heard = asyncio.Event()

    async def hear() -> None:
        while True:
            head = await reader.readexactly(4)
            figures.latency.append(time.perf_counter() - sent.pop(head[2] << 8 | head[3]))
            if not sent:
                heard.set()

    hearing = asyncio.create_task(hear())
    number, topic = 0, string(f"smartsite/v1/{user}/telemetry")
    while not figures.stop.is_set():
        number = number % 65_535 + 1
        payload = b'{"ts":%d,"values":{"pm10":%.1f,"laeq":60.5}}' % (time.time_ns() // 1_000_000, number % 100)
        body = topic + number.to_bytes(2, "big") + payload
        heard.clear()
        sent[number] = time.perf_counter()
        writer.write(b"\x32" + variable(len(body)) + body)
        figures.sent += 1
        await asyncio.sleep(1 / job["rate"])
    with contextlib.suppress(TimeoutError):  # what is still missing is counted
        async with asyncio.timeout(_LAST_S):
            await heard.wait()
    hearing.cancel()
    await asyncio.gather(hearing, return_exceptions=True)
    writer.close()


async def hj212(figures: Figures, job: dict[str, Any], mn: str) -> None:
    """A station that waits for each acknowledgement and then for its turn."""
    reader, writer = await asyncio.open_connection("127.0.0.1", job["hj212_port"])
    moment = datetime.now(UTC).replace(microsecond=0) - timedelta(days=5)
    while not figures.stop.is_set():
        moment += timedelta(seconds=1)
        packet = Packet(cn="2011", mn=mn, qn=compose.qn(moment, _BEIJING), st="39", pw="123456", flag=5)
        (made,) = compose.data(packet, moment, _BEIJING, {"a34002": {"Rtd": 50.5, "Flag": "N"}})
        started = time.perf_counter()
        writer.write(write(made))
        figures.sent += 1
        async with asyncio.timeout(_LAST_S):
            await reader.readuntil(b"\r\n")
        figures.latency.append(time.perf_counter() - started)
        await asyncio.sleep(1 / job["rate"])
    writer.close()


async def _main() -> None:
    job = json.loads(sys.argv[1])
    figures = Figures()
    devices = [asyncio.create_task(mqtt(figures, job, user)) for user in job["users"]]
    devices += [asyncio.create_task(hj212(figures, job, mn)) for mn in job["mns"]]
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    figures.stop.set()
    failed = [str(one) for one in await asyncio.gather(*devices, return_exceptions=True) if one is not None]
    latency = sorted(figures.latency) or [0.0]
    print(
        json.dumps(
            {
                "sent": figures.sent,
                "unacknowledged": figures.sent - len(figures.latency),
                "failed": failed,
                "p50_ms": round(latency[len(latency) // 2] * 1000, 2),
                "p99_ms": round(latency[len(latency) * 99 // 100] * 1000, 2),
                "max_ms": round(latency[-1] * 1000, 2),
                "over_1_s": sum(one > 1 for one in latency),
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    asyncio.run(_main())
