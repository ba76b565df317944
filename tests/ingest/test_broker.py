"""The broker source on a real Mosquitto: a kept session, acknowledgement after commit, poison that never sticks."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiomqtt
import psycopg
import pytest

from core.settings import Settings
from tests.ingest.authority import Authority
from tests.ingest.broker import Mosquitto
from tests.ingest.load import Publisher
from tests.ingest.plant import Plant, furnish, running, with_ingest
from tests.ingest.process import Worker
from tests.support.wait import eventually

pytestmark = pytest.mark.needs("broker")


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    broker = Mosquitto(tmp_path)
    await broker.start()
    yield broker
    await broker.stop()


def through(settings: Settings, broker: Mosquitto, **fields: object) -> Settings:
    """Settings of an ingest that reads from the broker."""
    return with_ingest(settings, sources=["broker"], broker_url=broker.url, **fields)


async def subscribed(plant: Plant) -> None:
    """Wait until the source has its session."""
    await eventually(
        lambda: plant.value("SELECT (detail->>'broker_connected')::boolean FROM worker WHERE room = 'ingest'"),
        timeout=60,
    )


async def publish(broker: Mosquitto, *messages: tuple[str, bytes]) -> None:
    """Publish with QoS 1 and wait until the broker has it all."""
    async with aiomqtt.Client("127.0.0.1", broker.port) as client:
        for level, payload in messages:
            await client.publish(f"smartsite/v1/{level}", payload, qos=1)


def reading(number: int) -> bytes:
    return json.dumps({"ts": time.time_ns() // 1_000_000 - 60_000 + number, "values": {"pm10": number}}).encode()


async def test_messages_of_the_broker_are_stored_and_acknowledged(
    settings: Settings, database_url: str, broker: Mosquitto
) -> None:
    await furnish(database_url)
    async with running(through(settings, broker)) as plant:
        await subscribed(plant)
        await publish(broker, *[("A/d1/telemetry", reading(n)) for n in range(500)])
        await eventually(lambda: plant.value("SELECT count(*) = 500 FROM reading_dust"))
        await publish(broker, ("A/d1/status", b'{"online": true}'), ("A/d1/event", b'{"code": "door"}'))
        await eventually(lambda: plant.value("SELECT connected FROM device_seen WHERE device_id = 1"))
        assert await plant.counts() == {
            "messages": 500,
            "stored": 500,
            "filled": 0,
            "duplicates": 0,
            "quarantined": 0,
        }


async def test_a_broker_behind_tls(
    settings: Settings, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    broker = Mosquitto(tmp_path, certificate=authority.issue("broker"))
    await broker.start()
    try:
        await furnish(database_url)
        async with running(through(settings, broker)) as plant:
            await subscribed(plant)
            # More than one TLS record at a time.
            publisher = Publisher("A/d1", broker.plain_port).start()
            await eventually(lambda: len(publisher.acknowledged) > 500)
            await asyncio.to_thread(publisher.finish)
            wanted = len(publisher.acknowledged)
            await eventually(lambda: plant.value(f"SELECT count(*) = {wanted} FROM reading_dust"))
    finally:
        await broker.stop()


async def test_qos_0_beyond_what_ingest_can_hold_waits_in_the_connection(
    settings: Settings,
    database_url: str,
    broker: Mosquitto,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name in ("broker_session.KEEP_ALIVE_S", "broker.KEEP_ALIVE_S", "broker_session._LOOK_S"):
        monkeypatch.setattr(f"ingest.sources.{name}", 3 if "KEEP" in name else 0.1)
    await furnish(database_url)
    chosen = through(settings, broker, waiting_messages=100)
    async with running(chosen) as plant:
        await subscribed(plant)
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as locker:
            await locker.execute("BEGIN; LOCK TABLE reading_dust IN ACCESS EXCLUSIVE MODE")
            async with aiomqtt.Client("127.0.0.1", broker.port) as client:
                for number in range(1000):
                    await client.publish("smartsite/v1/A/d1/telemetry", reading(number), qos=0)
            waiting = "SELECT (detail->>'waiting')::int FROM worker WHERE room = 'ingest'"
            await eventually(lambda: plant.value(f"SELECT ({waiting}) > 100"))
            # Longer than the broker bears silence (4.5 s, and it looks every five): kept alive though nothing is read.
            await asyncio.sleep(10.5)
            await locker.execute("ROLLBACK")
        await eventually(lambda: plant.value("SELECT count(*) = 1000 FROM reading_dust"))
        assert "disconnected from the broker" not in caplog.text


async def test_what_came_while_ingest_was_away_comes_to_the_next_one(
    settings: Settings, database_url: str, broker: Mosquitto
) -> None:
    await furnish(database_url)
    chosen = through(settings, broker)
    async with running(chosen) as plant:
        await subscribed(plant)
    await publish(broker, *[("A/d1/telemetry", reading(n)) for n in range(2000)])
    async with running(chosen) as plant:
        await eventually(lambda: plant.value("SELECT count(*) = 2000 FROM reading_dust"))
        assert (await plant.counts())["duplicates"] == 0
    async with running(chosen) as plant:
        # All was acknowledged: nothing comes a second time.
        await subscribed(plant)
        await publish(broker, ("A/d2/telemetry", reading(1)))
        await eventually(lambda: plant.value("SELECT count(*) = 2001 FROM reading_dust"))
        assert (await plant.counts())["duplicates"] == 0


async def test_more_poison_than_the_window_is_set_aside_and_acknowledged(
    settings: Settings, database_url: str, broker: Mosquitto
) -> None:
    await furnish(database_url)
    async with running(through(settings, broker, in_flight=20)) as plant:
        await subscribed(plant)
        poison = [
            ("A/d1/telemetry", b"poison"),
            ("A/nobody/telemetry", b"{}"),
            ("A/d1/reply", b'{"id": 1, "ok": true}'),
        ] * 40
        await publish(broker, *poison, ("A/d1/telemetry", reading(1)))
        await eventually(lambda: plant.value("SELECT count(*) = 1 FROM reading_dust"))
        rows = await plant.rows("SELECT reason, count FROM quarantine_count ORDER BY reason")
        assert rows == [("malformed", 40), ("no_command", 40), ("unknown_device", 40)]
        assert await plant.value("SELECT count(*) FROM quarantine WHERE source = 'broker'") == 120


async def test_a_device_of_the_registry_is_known_at_once(
    settings: Settings, database_url: str, broker: Mosquitto
) -> None:
    await furnish(database_url)
    async with running(through(settings, broker)) as plant:
        await subscribed(plant)
        await publish(broker, ("A/new/telemetry", reading(1)))
        await eventually(plant.reasons)
        await plant.connection.execute(
            "INSERT INTO device (site_id, code, kind, name) VALUES (1, 'new', 'dust', 'new')"
        )

        async def stored() -> bool:
            await publish(broker, ("A/new/telemetry", reading(2)))
            return bool(await plant.value("SELECT count(*) FROM reading_dust"))

        await eventually(stored)


async def test_a_broker_killed_in_mid_stream(settings: Settings, database_url: str, broker: Mosquitto) -> None:
    await furnish(database_url)
    async with running(through(settings, broker)) as plant:
        await subscribed(plant)
        publisher = Publisher("A/d1", broker.port).start()
        unsaved: set[int] = set()
        for _ in range(2):
            before = len(publisher.acknowledged)
            await eventually(lambda: len(publisher.acknowledged) > before + 300, timeout=30)  # noqa: B023
            # What it acknowledges within its autosave interval (1 s, and the time to write) is the broker's to lose,
            # where it has not handed it on yet.
            saved = set(publisher.acknowledged)
            await asyncio.sleep(7)
            await broker.stop(kill=True)
            await broker.start()
            unsaved |= publisher.acknowledged - saved
        before = len(publisher.acknowledged)
        await eventually(lambda: len(publisher.acknowledged) > before + 300, timeout=30)
        await asyncio.to_thread(publisher.finish)
        stored: set[int] = set()

        async def complete() -> bool:
            rows = await plant.rows("SELECT (extract(epoch FROM time) * 1000)::bigint FROM reading_dust")
            stored.update(ts for (ts,) in rows)
            return publisher.acknowledged - unsaved <= stored

        await eventually(complete)
        assert len(publisher.acknowledged - unsaved) > 900
        assert await plant.value("SELECT stored FROM ingest_count") == len(stored)


async def test_the_database_away_keeps_messages_at_the_broker(
    settings: Settings, database_url: str, broker: Mosquitto
) -> None:
    await furnish(database_url)
    chosen = through(settings, broker, in_flight=50)
    async with running(chosen) as plant:
        await subscribed(plant)
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as locker:
            await locker.execute("BEGIN; LOCK TABLE reading_dust IN ACCESS EXCLUSIVE MODE")
            await publish(broker, *[("A/d1/telemetry", reading(n)) for n in range(500)])
            await locker.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'smartsite ingest-1'"
            )
            await locker.execute("ROLLBACK")
        await eventually(lambda: plant.value("SELECT count(*) = 500 FROM reading_dust"))
        assert (await plant.counts())["stored"] == 500


async def test_ingest_killed_in_mid_stream_gets_the_rest_from_the_broker(
    database_url: str, broker: Mosquitto, tmp_path: Path
) -> None:
    await furnish(database_url)
    worker = Worker(
        database_url,
        0,
        tmp_path,
        SMARTSITE_INGEST__SOURCES='["broker"]',
        SMARTSITE_INGEST__BROKER_URL=broker.url,
    )
    await worker.start()
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        plant = Plant(Settings(), connection)
        await subscribed(plant)
        publisher = Publisher("A/d1", broker.port).start()
        try:
            for _ in range(2):
                before = await plant.value("SELECT count(*) FROM reading_dust")
                await eventually(lambda: plant.value(f"SELECT count(*) > {before + 200} FROM reading_dust"), timeout=30)  # noqa: B023
                await worker.end(signal.SIGKILL)
                await worker.start()
            await asyncio.to_thread(publisher.finish)
            wanted = len(publisher.published)
            await eventually(lambda: plant.value(f"SELECT count(*) = {wanted} FROM reading_dust"), timeout=30)
            assert await plant.value("SELECT stored FROM ingest_count") == wanted
        finally:
            await worker.end(signal.SIGTERM)
