"""Two workers that share the messages of a real Mosquitto, and what that cannot do."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiomqtt
import psycopg
import pytest

from core.settings import Settings
from tests.ingest.broker import Mosquitto
from tests.ingest.plant import Plant, furnish
from tests.ingest.process import Worker
from tests.support.wait import eventually

pytestmark = pytest.mark.needs("broker")


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    broker = Mosquitto(tmp_path)
    await broker.start()
    yield broker
    await broker.stop()


async def publish(broker: Mosquitto, plant: Plant, count: int, *, hours_ago: int) -> None:
    """`count` readings, each of a millisecond of its own."""
    base = await plant.value("SELECT (extract(epoch FROM now() - %s * interval '1 hour') * 1000)::bigint", hours_ago)
    async with aiomqtt.Client("127.0.0.1", broker.port) as client:
        for number in range(count):
            payload = json.dumps({"ts": base + number, "values": {"pm10": number % 100}})
            await client.publish("smartsite/v1/A/d1/telemetry", payload, qos=1)


async def test_a_group_shares_and_a_dead_members_messages_wait_for_it(
    database_url: str, broker: Mosquitto, tmp_path: Path
) -> None:
    await furnish(database_url)
    async with AsyncExitStack() as stack:
        connection = await psycopg.AsyncConnection.connect(database_url, autocommit=True)
        plant = Plant(Settings(), await stack.enter_async_context(connection))
        workers = {}
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            worker = workers[name] = Worker(
                database_url,
                0,
                tmp_path / name,
                SMARTSITE_INGEST__WORKER=name,
                SMARTSITE_INGEST__SOURCES='["broker"]',
                SMARTSITE_INGEST__BROKER_URL=broker.url,
                SMARTSITE_INGEST__BROKER_GROUP="smartsite",
            )
            await worker.start()
            stack.push_async_callback(worker.end, signal.SIGTERM)
            await eventually(
                lambda: plant.value(
                    "SELECT (detail->>'broker_connected')::boolean FROM worker WHERE name = %s",
                    f"ingest-{name}",  # noqa: B023
                ),
                timeout=60,
            )
        await publish(broker, plant, 1000, hours_ago=2)
        await eventually(lambda: plant.value("SELECT count(*) = 1000 FROM reading_dust"), timeout=60)
        assert await plant.value("SELECT count(*) FROM ingest_count WHERE stored > 100") == 2
        assert await plant.value("SELECT sum(duplicates)::int FROM ingest_count") == 0

        # What Mosquitto gives to a member that is away stays with it: nobody else gets it ...
        await workers["one"].end(signal.SIGKILL)
        before = await plant.value("SELECT stored FROM ingest_count WHERE worker = 'one'")
        await publish(broker, plant, 1000, hours_ago=1)
        await workers["one"].start()
        # ... and it comes when the member is back: late, and not lost. With it comes again what it had stored and not
        # acknowledged yet.
        await eventually(lambda: plant.value("SELECT count(*) = 2000 FROM reading_dust"), timeout=60)
        assert await plant.value("SELECT stored > %s FROM ingest_count WHERE worker = 'one'", before + 300)
