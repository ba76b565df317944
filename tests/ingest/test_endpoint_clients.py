"""Clients that are not ours against the endpoint: what they get acknowledged is in the table."""

from __future__ import annotations

import asyncio
import json
import time

import aiomqtt
import paho.mqtt.client as paho
import pytest

from tests.ingest.plant import SECRET, Plant
from tests.support.wait import eventually

TOPIC = "smartsite/v1/A/d1/telemetry"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.mark.parametrize("version", [paho.MQTTv311, paho.MQTTv5])
async def test_what_paho_gets_acknowledged_is_stored(plant: Plant, version: int) -> None:
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, "paho", protocol=version)
    client.username_pw_set("A/d1", SECRET)
    client.connect("127.0.0.1", plant.port)
    client.loop_start()
    started = now_ms() - 60_000
    try:
        infos = [
            client.publish(TOPIC, json.dumps({"ts": started + n, "values": {"pm10": n}}), qos=1) for n in range(100)
        ]
        for info in infos:
            await asyncio.to_thread(info.wait_for_publish, 10)
            assert info.is_published()
        # No waiting here: the acknowledgement said that it is committed.
        rows = await plant.rows("SELECT pm10 FROM reading_dust ORDER BY time")
        assert [value for (value,) in rows] == list(range(100))
    finally:
        client.disconnect()
        client.loop_stop()


@pytest.mark.parametrize("version", [aiomqtt.ProtocolVersion.V311, aiomqtt.ProtocolVersion.V5])
async def test_aiomqtt_publishes_and_hears_its_commands(plant: Plant, version: aiomqtt.ProtocolVersion) -> None:
    will = aiomqtt.Will("smartsite/v1/A/d1/status", b'{"online": false}', qos=1, retain=True)
    async with aiomqtt.Client(
        "127.0.0.1", plant.port, username="A/d1", password=SECRET, protocol=version, will=will
    ) as client:
        await client.subscribe("smartsite/v1/A/d1/command", qos=1)
        await client.publish("smartsite/v1/A/d1/status", b'{"online": true}', qos=1, retain=True)
        ts = now_ms()
        back_fill = [{"ts": ts - n * 60_000, "values": {"pm10": n}} for n in range(50)]
        await client.publish(TOPIC, json.dumps(back_fill), qos=1)
        assert await plant.value("SELECT count(*) FROM reading_dust WHERE flags = 4") == 50
        assert await plant.value("SELECT connected FROM device_seen")
        last_time = await eventually(
            lambda: plant.value("SELECT (extract(epoch FROM last_time) * 1000)::bigint FROM device_seen")
        )
        assert last_time == ts
    assert await eventually(lambda: plant.value("SELECT NOT connected FROM device_seen"))


async def test_aiomqtt_is_told_when_it_may_not(plant: Plant) -> None:
    with pytest.raises(aiomqtt.MqttError, match=r"(?i)bad user name or password|not authori[sz]ed"):
        async with aiomqtt.Client("127.0.0.1", plant.port, username="A/d1", password="wrong"):
            pass
    async with aiomqtt.Client("127.0.0.1", plant.port, username="A/d1", password=SECRET) as client:
        (granted,) = await client.subscribe("smartsite/v1/#")
        assert getattr(granted, "value", granted) == 0x80


@pytest.mark.needs("broker")
@pytest.mark.parametrize("version", ["311", "5"])
async def test_mosquitto_pub(plant: Plant, version: str) -> None:
    for qos, ts in (("1", now_ms()), ("0", now_ms() + 1)):
        process = await asyncio.create_subprocess_exec(
            "mosquitto_pub", "-p", str(plant.port), "-V", version, "-u", "A/d1", "-P", SECRET, "-q", qos,
            "-t", TOPIC, "-m", json.dumps({"ts": ts, "values": {"pm10": 152.3}}),
        )  # fmt: skip
        assert await process.wait() == 0
    await eventually(lambda: plant.value("SELECT count(*) = 2 FROM reading_dust"))


async def test_qos_0_is_stored_too(plant: Plant) -> None:
    async with aiomqtt.Client("127.0.0.1", plant.port, username="A/d2", password=SECRET) as client:
        await client.publish("smartsite/v1/A/d2/telemetry", b'{"values": {"pm10": 5}}', qos=0)
        await eventually(lambda: plant.value("SELECT count(*) = 1 FROM reading_dust"))
