"""A seeded sample of the fuzz campaign (`python -m benchmarks.fuzz`) beside a device that behaves."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from benchmarks.fuzz.attack import Attack
from benchmarks.fuzz.mutations import Hostile
from core.settings import Settings
from tests.ingest.plant import SECRET, running, with_ingest
from tests.ingest.raw import RawClient, publish
from tests.ingest.stations import MN, furnish_stations, port_of

INPUTS = 3000
TOPIC = "smartsite/v1/B/b1/telemetry"


def test_the_same_seed_makes_the_same_sessions() -> None:
    def made(seed: int) -> list[bytes]:
        hostile = Hostile(seed, user="A/d1", password=SECRET, mn=MN["d1"])
        return [hostile._bend(hostile.connect(5)) for _ in range(50)]

    assert made(1) == made(1)
    assert made(1) != made(2)


async def test_hostile_inputs_hold_up_nobody(settings: Settings, database_url: str) -> None:
    await furnish_stations(database_url)
    chosen = with_ingest(settings, sources=["endpoint", "hj212"], hj212_host="127.0.0.1", hj212_port=0, connect_rate=0)
    async with running(chosen) as plant:
        good = await RawClient.enter(plant.port, user="B/b1", version=4)
        attacks = [
            Attack(
                Hostile(seed, user=f"A/d{seed % 3 + 1}", password=SECRET, mn=MN[f"d{seed % 3 + 1}"]),
                mqtt_port=plant.port,
                hj212_port=await port_of(plant),
            )
            for seed in range(10)
        ]
        fuzz = asyncio.gather(*(attack.run(INPUTS // len(attacks), at_once=1) for attack in attacks))
        sent, now = 0, time.time_ns() // 1_000_000 - 600_000
        while not fuzz.done() or sent < 20:
            sent += 1
            good.send(publish(TOPIC, b'{"ts":%d,"values":{"pm10":5}}' % (now + sent), packet_id=sent, version=4))
            # Each is stored before the next is sent, whatever goes on beside it.
            assert await good.packet(20) == (4, sent.to_bytes(2, "big"))
        await fuzz
        found = sum((attack.found for attack in attacks), Counter[str]())
        assert found["inputs"] >= INPUTS
        assert found["stalls"] == found["cut_short"] == 0, found
        assert (
            await plant.value(
                "SELECT count(*) FROM reading_dust WHERE device_id IN (SELECT id FROM device WHERE code = 'b1')"
            )
            == sent
        )
        # The process is the same, holds no connection of theirs, and takes newcomers.
        await RawClient.enter(plant.port, user="A/d1")
