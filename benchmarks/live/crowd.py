"""`python -m benchmarks.live.crowd ADDRESS DATABASE SECONDS`: 200 stations report once a second, 50 clients listen.

The readings go into the log as ingest announces them: commits every 50 ms with an entry a shard. DATABASE `-` leaves
them out, for servers that make their own. Prints a JSON line when all clients have been greeted, and one at the end:
milliseconds from the commit's return to the client, bytes and messages a client and second.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections import defaultdict

import msgspec
import numpy as np
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.live.stage import CLIENTS, cookie
from core import database, log
from core.settings import DatabaseSettings
from sensors import batch

COMMIT_S = 0.05
CHANNELS = ("pm10", "pm2_5", "tsp", "laeq", "temperature", "humidity", "pressure", "wind_speed", "wind_direction")


class _Reading(msgspec.Struct):
    device_id: int
    time: int


class _Message(msgspec.Struct):
    type: str = ""
    readings: list[_Reading] = []


_decoder = msgspec.json.Decoder(_Message)


class Crowd:
    """The clients, and what they have seen."""

    def __init__(self) -> None:
        self.committed: dict[tuple[int, int], float] = {}
        self.waits: list[float] = []
        self.received = self.bytes = 0
        self.counts = False
        self.greeted = asyncio.Event()
        self._greetings = 0

    async def listen(self, channel: ClientConnection) -> None:
        """Take down when each reading arrives."""
        async for data in channel:
            now = time.monotonic()
            found = _decoder.decode(data)
            if found.type == "hello":
                self._greetings += 1
                if self._greetings == CLIENTS:
                    self.greeted.set()
            elif self.counts:
                self.received += 1
                self.bytes += len(data)
                for reading in found.readings:
                    at = self.committed.get((reading.device_id, reading.time))
                    if at is not None:
                        self.waits.append(1000 * (now - at))


def entries(devices: list[tuple[int, int]], now: float) -> list[log.NewEntry]:
    """What ingest would append for these (device, site) at `now`, wall seconds."""
    by_shard: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for device, site in devices:
        by_shard[log.shard_of(site)].append((device, site))
    found = []
    for shard, members in by_shard.items():
        rows, at = len(members), round(now * 1e6)
        columns = batch.ReadingBatch(
            kind="dust",
            device=np.array([device for device, _ in members], np.int32),
            site=np.array([site for _, site in members], np.int32),
            time=np.full(rows, at, np.int64),
            values={name: np.full(rows, 30 + round(now % 60, 1)) for name in CHANNELS},
            quality={name: np.full(rows, batch.NORMAL, np.uint8) for name in CHANNELS},
            flags=np.zeros(rows, np.uint8),
            arrived=at,
        )
        found.append(log.NewEntry(shard, log.Kind.READINGS, batch.encode([columns])))
    return found


async def publish(url: str, crowd: Crowd, seconds: float) -> None:
    """Every station once a second, spread over it."""
    async with await database.connect(DatabaseSettings(url=url), application="bench") as connection:  # type: ignore[arg-type]
        found = await (await connection.execute("SELECT id, site_id FROM device ORDER BY id")).fetchall()
        turns = round(1 / COMMIT_S)
        parts = [found[part::turns] for part in range(turns)]
        began = time.monotonic()
        for turn in range(round(seconds / COMMIT_S)):
            await asyncio.sleep(began + turn * COMMIT_S - time.monotonic())
            members, now = parts[turn % turns], time.time()
            async with connection.transaction():
                await log.append(connection, "ingest-bench", entries(members, now))
            at, millis = time.monotonic(), round(now * 1e6) // 1000
            for device, _ in members:
                crowd.committed[device, millis] = at


async def run(address: str, url: str, seconds: float) -> None:
    """All of it."""
    crowd = Crowd()
    channels = [
        await connect(
            f"ws://{address}/api/v1/live", additional_headers={"Cookie": cookie(number)}, proxy=None, compression=None,
            max_size=None,
        )
        for number in range(CLIENTS)
    ]  # fmt: skip
    listening = [asyncio.create_task(crowd.listen(channel)) for channel in channels]
    await crowd.greeted.wait()
    sending = asyncio.create_task(publish(url, crowd, seconds + 6) if url != "-" else asyncio.sleep(seconds + 6))
    await asyncio.sleep(3)
    crowd.counts = True
    print(json.dumps({"ready": CLIENTS}), flush=True)
    await asyncio.sleep(seconds)
    crowd.counts = False
    figures: dict[str, float] = {
        "messages_per_client_s": round(crowd.received / CLIENTS / seconds, 2),
        "kb_per_client_s": round(crowd.bytes / 1000 / CLIENTS / seconds, 1),
    }
    if crowd.waits:
        figures["readings_per_client_s"] = round(len(crowd.waits) / CLIENTS / seconds, 1)
        cuts = statistics.quantiles(crowd.waits, n=100)
        figures |= {"p50_ms": round(cuts[49], 1), "p99_ms": round(cuts[98], 1), "max_ms": round(max(crowd.waits), 1)}
    print(json.dumps(figures), flush=True)
    sending.cancel()
    for task in listening:
        task.cancel()
    await asyncio.gather(sending, *listening, return_exceptions=True)
    for channel in channels:
        await channel.close()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2], float(sys.argv[3])))
