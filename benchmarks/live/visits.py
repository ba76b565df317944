"""`python -m benchmarks.live.visits ADDRESS SECONDS PAUSE`: 50 people use the page at once.

Each opens one view after another, asking at once for all that the page asks for then, and looks at it for PAUSE seconds
on average (half to one and a half times). 0: one request after another without a pause, so that there are 50 at any
time, for the most that the API can do. Prints one JSON line.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable

from benchmarks.live.stage import CLIENTS, STATIONS, cookie

DAY = 86_400_000
CONNECTIONS = 6
"""As many as a browser opens to a host."""


class Browser:
    """One person's connections, kept open; on plain streams, since a client's own work would be waited for, too."""

    def __init__(self, address: str, number: int) -> None:
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._head = f"Host: {address}\r\nCookie: {cookie(number)}\r\nAccept: application/json\r\n\r\n"
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._free = asyncio.Semaphore(CONNECTIONS)

    async def get(self, path: str) -> tuple[bytes, float]:
        """The body, and the seconds from asking to its last byte."""
        async with self._free:
            # The server closes what is idle for long.
            self._idle = [kept for kept in self._idle if not kept[0].at_eof()]
            reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(self._host, self._port)
            began = time.perf_counter()
            writer.write(f"GET /api/v1{path} HTTP/1.1\r\n{self._head}".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            (length,) = re.findall(rb"\r\ncontent-length: (\d+)", head.lower())
            body = await reader.readexactly(int(length))
            took = time.perf_counter() - began
            self._idle.append((reader, writer))
        if b" 200 " not in head[:20]:
            raise RuntimeError(f"{path}: {head[:20]!r} {body[:200]!r}")
        return body, took


class City:
    """What there is to look at."""

    def __init__(self, sites: list[int], devices: list[int], alerts: list[int]) -> None:
        self.sites = sites
        self.devices = devices
        self.alerts = alerts


def overview(_: City) -> list[str]:
    return ["/sites", "/cameras", "/alerts?state=open&limit=200", "/alerts?state=all&limit=30", "/devices", "/system"]


def site(city: City) -> list[str]:
    number, device = random.choice(city.sites), random.choice(city.devices)
    now = round(time.time() * 1000)
    line = f"/devices/{device}/series?channel=pm10&start={now - DAY}&end={now}&points=600"
    return [f"/sites/{number}", f"/sites/{number}/control", f"/alerts?state=open&site_id={number}", line]


def alerts(_: City) -> list[str]:
    return ["/alerts?state=all&limit=50"]


def alert(city: City) -> list[str]:
    number = random.choice(city.alerts)
    return [f"/alerts/{number}", f"/alerts/{number}/assignees"]


def history(city: City) -> list[str]:
    device, days = random.choice(city.devices), random.choice((1, 7, 30))
    now = round(time.time() * 1000)
    channels = "channel=pm10&channel=pm2_5&channel=laeq"
    return [f"/devices/{device}/series?{channels}&start={now - days * DAY}&end={now}&points=1000"]


def polls(_: City) -> list[str]:
    return ["/system", "/session"]


VIEWS: list[Callable[[City], list[str]]] = [overview, site, site, alerts, alert, history, history, polls]


def route(path: str) -> str:
    """The path without numbers."""
    return "/".join("{id}" if part.isdigit() else part for part in path.partition("?")[0].split("/"))


async def run(address: str, seconds: float, pause: float) -> None:
    """All people at once."""
    took: dict[str, list[float]] = defaultdict(list)
    counts = False

    async def ask(browser: Browser, path: str) -> None:
        _, seconds = await browser.get(path)
        if counts:
            took[route(path)].append(1000 * seconds)

    async def person(number: int, city: City) -> None:
        browser = Browser(address, number)
        await asyncio.sleep(pause * random.random())
        while True:
            paths = random.choice(VIEWS)(city)
            if pause:
                async with asyncio.TaskGroup() as group:
                    for path in paths:
                        group.create_task(ask(browser, path))
                await asyncio.sleep(pause * (0.5 + random.random()))
            else:
                for path in paths:
                    await ask(browser, path)

    first = Browser(address, 0)
    sites, devices, found = [
        [one["id"] for one in json.loads((await first.get(path))[0])["items"]]
        for path in ("/sites", "/devices", "/alerts?state=all&limit=200")
    ]
    # The first ones have the history.
    city = City(sites, sorted(devices)[:STATIONS], found)
    async with asyncio.TaskGroup() as group:
        people = [group.create_task(person(number, city)) for number in range(CLIENTS)]
        await asyncio.sleep(2)
        counts = True
        print(json.dumps({"ready": CLIENTS}), flush=True)
        await asyncio.sleep(seconds)
        counts = False
        for one in people:
            one.cancel()
    every = [one for times in took.values() for one in times]
    cuts = statistics.quantiles(every, n=100)
    figures = {
        "requests_s": round(len(every) / seconds, 1),
        "p50_ms": round(cuts[49], 1),
        "p99_ms": round(cuts[98], 1),
        "max_ms": round(max(every), 1),
        "by_route": {
            name: {"p50_ms": round(statistics.median(times), 1), "max_ms": round(max(times), 1), "requests": len(times)}
            for name, times in sorted(took.items())
        },
    }
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    random.seed(1)
    asyncio.run(run(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))
