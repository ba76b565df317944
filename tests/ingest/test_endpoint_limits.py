"""Rates of a device, and a crowd that comes back at once."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from core.settings import Settings
from ingest import credentials as room
from ingest.credentials import Credentials
from ingest.mqtt.buckets import Bucket, Buckets
from tests.ingest.plant import SECRET, furnish, running, with_ingest
from tests.ingest.raw import RawClient, connect, publish

TOPIC = "smartsite/v1/A/d1/telemetry"


def test_a_bucket_refills_and_tells_its_debt() -> None:
    bucket = Bucket(10, 20, now=0)
    assert bucket.take(20, 0) == 0
    assert bucket.take(5, 0) == 0.5
    assert bucket.take(0, 0.25) == 0.25
    assert bucket.take(5, 1) == 0
    assert not bucket.is_full(1)
    assert bucket.is_full(10)


def test_what_is_refused_costs_nothing() -> None:
    buckets = Buckets(1, 2)
    assert [buckets.may("a", 0) for _ in range(4)] == [True, True, False, False]
    assert buckets.may("b", 0)
    assert buckets.may("a", 1)


async def test_a_device_above_its_rate_is_read_slower_and_loses_nothing(settings: Settings, database_url: str) -> None:
    await furnish(database_url)
    async with running(with_ingest(settings, publish_rate=100)) as plant:
        flood = await RawClient.enter(plant.port, version=4)
        started, now = time.monotonic(), time.time_ns() // 1_000_000 - 60_000
        for n in range(1150):  # ten seconds' worth may come at once, the rest at the rate
            body = b'{"ts":%d,"values":{"pm10":5}}' % (now + n)
            flood.send(publish(TOPIC, body, packet_id=n + 1, version=4))
            if n % 50 == 0:
                await flood.writer.drain()
                await asyncio.sleep(0)
        for _ in range(1150):
            answer = await flood.packet()
            assert answer is not None
            assert answer.kind == 4
        # The last piece read may overdraw the bucket by itself; another device is not held up meanwhile.
        assert time.monotonic() - started < 20
        assert await plant.value("SELECT count(*) FROM reading_dust") == 1150
        held = time.monotonic()
        flood.send(b"\xc0\x00")
        assert await flood.packet() == (13, b"")
        other = await RawClient.enter(plant.port, user="A/d2")
        other.send(b"\xc0\x00")
        assert await other.packet() == (13, b"")
        assert time.monotonic() - held < 5


async def test_a_device_that_connects_too_often_is_told(
    settings: Settings, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two at once, and then none before the test is over.
    monkeypatch.setattr("ingest.mqtt.endpoint.BURST_S", 2000)
    await furnish(database_url)
    async with running(with_ingest(settings, connect_rate=0.001)) as plant:
        for number in range(2):
            await RawClient.enter(plant.port, client_id=f"c{number}")
        for version, code in ((5, 0x9F), (4, 3)):
            client = await RawClient.open(plant.port)
            client.send(connect(version))
            answer = await client.packet()
            assert answer is not None
            assert (answer.kind, answer.body[1]) == (2, code)
            assert await client.closed()
        await RawClient.enter(plant.port, user="A/d2")


async def test_argon2_is_asked_once_however_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def verify(_hashed: str, secret: str) -> bool:
        asked.append(secret)
        time.sleep(0.05)
        return secret == SECRET

    monkeypatch.setattr(room.credentials, "verify", verify)
    device = SimpleNamespace(enabled=True, site_id=1, secret_hash="hash")
    registry = SimpleNamespace(by_topic={("A", "d1"): device}, sites={1: SimpleNamespace(enabled=True)})
    checks = Credentials(cast("Any", SimpleNamespace(current=registry)))
    try:
        waiting = [asyncio.create_task(checks.check("A/d1", SECRET.encode())) for _ in range(500)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        assert all(found is device for found in await asyncio.gather(*waiting[1:]))
        await checks.check("A/d1", SECRET.encode())
        assert asked == [SECRET]
    finally:
        checks.close()
