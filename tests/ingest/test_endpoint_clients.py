"""Clients that are not ours against the endpoint: what they get acknowledged is in the table."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

import paho.mqtt.client as paho
import pytest

from core.settings import Settings
from tests.ingest.plant import SECRET, Plant, furnish, running, with_ingest


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
async def plant(settings: Settings, database_url: str) -> AsyncIterator[Plant]:
    await furnish(database_url)
    async with running(with_ingest(settings)) as plant:
        yield plant


@pytest.mark.parametrize("version", [paho.MQTTv311, paho.MQTTv5])
async def test_what_paho_gets_acknowledged_is_stored(plant: Plant, version: int) -> None:
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, "paho", protocol=version)
    client.username_pw_set("A/d1", SECRET)
    client.connect("127.0.0.1", plant.port)
    client.loop_start()
    started = now_ms() - 60_000
    try:
        infos = [
            client.publish("smartsite/v1/A/d1/telemetry", json.dumps({"ts": started + n, "values": {"pm10": n}}), qos=1)
            for n in range(100)
        ]
        for info in infos:
            await asyncio.to_thread(info.wait_for_publish, 10)
            assert info.is_published()
        rows = await plant.rows("SELECT pm10 FROM reading_dust ORDER BY time")
        assert [value for (value,) in rows] == list(range(100))
    finally:
        client.disconnect()
        client.loop_stop()
