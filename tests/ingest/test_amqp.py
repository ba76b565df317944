"""The amqp source on a real RabbitMQ: devices speak MQTT to it, workers read one quorum queue."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import aiomqtt
import psycopg
import pytest
from pydantic import ValidationError

from core.settings import IngestSettings, Settings
from tests.ingest.amqp import channel, one_node, reading_from, through, workers
from tests.ingest.load import Publisher
from tests.ingest.plant import SECRET, Plant, furnish, running
from tests.support.rabbitmq import Node
from tests.support.wait import eventually

pytestmark = pytest.mark.needs("rabbitmq")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One node for all tests here."""
    with one_node(tmp_path_factory.mktemp("rabbitmq")) as node:
        yield node


@pytest.fixture(autouse=True)
def empty(node: Node) -> None:
    """Each test begins without a queue: the worker makes it."""
    with channel(node) as one:
        one.queue_delete("smartsite")


def client_of(node: Node, device: str) -> aiomqtt.Client:
    """A client as a device's should be: user name and client identifier are the device's."""
    return aiomqtt.Client(
        "127.0.0.1",
        node.mqtt,
        identifier=device,
        username=device,
        password=SECRET,
        protocol=aiomqtt.ProtocolVersion.V311,
    )


async def publish(node: Node, device: str, *messages: tuple[str, bytes]) -> None:
    """Publish as a device, with QoS 1, and wait until RabbitMQ has it all."""
    async with client_of(node, device) as client:
        for level, payload in messages:
            await client.publish(f"smartsite/v1/{device}/{level}", payload, qos=1)


def will(node: Node, device: str, topic: str) -> None:
    """Connect with a last will, `offline`, on any topic, and vanish."""
    parts = [device, topic, "offline", device, SECRET]
    body = b"\x00\x04MQTT\x04\xce\x00\x3c" + b"".join(struct.pack(">H", len(part)) + part.encode() for part in parts)
    with socket.create_connection(("127.0.0.1", node.mqtt)) as connection:
        connection.sendall(bytes([0x10, len(body)]) + body)
        assert connection.recv(4) == b"\x20\x02\x00\x00"


def reading(number: int) -> bytes:
    return json.dumps({"ts": time.time_ns() // 1_000_000 - 60_000 + number, "values": {"pm10": number}}).encode()


async def test_messages_of_the_queue_are_stored_and_acknowledged(
    settings: Settings, database_url: str, node: Node
) -> None:
    await furnish(database_url)
    async with running(through(settings, node)) as plant:
        await reading_from(plant)
        await publish(node, "A/d1", *[("telemetry", reading(n)) for n in range(300)])
        await publish(node, "A/d1", ("status", b'{"online": true}'), ("event", b'{"code": "door"}'))
        await eventually(lambda: plant.value("SELECT count(*) = 300 FROM reading_dust"))
        await eventually(lambda: plant.value("SELECT connected FROM device_seen WHERE device_id = 1"))
        assert await plant.counts() == {
            "messages": 300,
            "stored": 300,
            "filled": 0,
            "duplicates": 0,
            "quarantined": 0,
        }
    with channel(node) as one:
        assert one.queue_declare("smartsite", passive=True).method.message_count == 0


async def test_what_came_while_no_worker_ran_comes_to_the_next_one(
    settings: Settings, database_url: str, node: Node
) -> None:
    await furnish(database_url)
    async with running(through(settings, node)) as plant:
        await reading_from(plant)
    await publish(node, "A/d1", *[("telemetry", reading(n)) for n in range(1000)])
    async with running(through(settings, node, amqp_declare=False, amqp_prefetch=100)) as plant:
        await eventually(lambda: plant.value("SELECT count(*) = 1000 FROM reading_dust"))
        assert (await plant.counts())["duplicates"] == 0


async def test_more_poison_than_the_prefetch_is_set_aside_and_acknowledged(
    settings: Settings, database_url: str, node: Node
) -> None:
    await furnish(database_url)
    async with running(through(settings, node, amqp_prefetch=10)) as plant:
        await reading_from(plant)
        with channel(node) as one:
            one.queue_bind("smartsite", "amq.topic", "smartsite.v1.A.d1.command")
            one.basic_publish("amq.topic", "smartsite.v1.A.d1.command", b"of a queue that somebody bound otherwise")
        await publish(node, "A/d1", *[("telemetry", b"poison")] * 40)
        await publish(node, "A/nobody", *[("telemetry", b"{}")] * 40)
        await publish(node, "A/d1", ("telemetry", reading(1)))
        await eventually(lambda: plant.value("SELECT count(*) = 1 FROM reading_dust"))
        rows = await plant.rows("SELECT reason, count FROM quarantine_count ORDER BY reason")
        assert rows == [("forbidden_topic", 1), ("malformed", 40), ("unknown_device", 40)]
        assert await plant.value("SELECT count(*) FROM quarantine WHERE source = 'amqp'") == 81


async def test_a_topic_says_truly_who_published(settings: Settings, database_url: str, node: Node) -> None:
    await furnish(database_url)
    async with running(through(settings, node)) as plant:
        await reading_from(plant)
        with pytest.raises(aiomqtt.MqttError):
            async with aiomqtt.Client("127.0.0.1", node.mqtt, username="A/d1", password="wrong", identifier="w"):
                pass
        with pytest.raises((aiomqtt.MqttError, TimeoutError)):
            async with client_of(node, "A/d1") as client, asyncio.timeout(3):
                await client.publish("smartsite/v1/A/d2/telemetry", reading(1), qos=1)
        # A last will counts as much as what is published.
        for of in ("A/d2", "A/d1"):
            will(node, "A/d1", f"smartsite/v1/{of}/status")
        await eventually(lambda: plant.value("SELECT NOT connected FROM device_seen WHERE device_id = 1"))
        await publish(node, "A/d1", ("telemetry", reading(2)))
        await eventually(lambda: plant.value("SELECT count(*) = 1 FROM reading_dust"))
        assert await plant.rows("SELECT device_id FROM reading_dust") == [(1,)]
        assert await plant.rows("SELECT device_id FROM device_seen") == [(1,)]


async def test_the_database_away_keeps_messages_in_the_queue(settings: Settings, database_url: str, node: Node) -> None:
    await furnish(database_url)
    async with running(through(settings, node, amqp_prefetch=50)) as plant:
        await reading_from(plant)
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as locker:
            await locker.execute("BEGIN; LOCK TABLE reading_dust IN ACCESS EXCLUSIVE MODE")
            await publish(node, "A/d1", *[("telemetry", reading(n)) for n in range(300)])
            await locker.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'smartsite ingest-1'"
            )
            await locker.execute("ROLLBACK")
        await eventually(lambda: plant.value("SELECT count(*) = 300 FROM reading_dust"))
        assert (await plant.counts())["stored"] == 300


async def stored_by_all(plant: Plant, publishers: list[Publisher]) -> None:
    """Every reading that was published is a row, once, whoever wrote it."""
    for publisher in publishers:
        await asyncio.to_thread(publisher.finish)
        assert len(publisher.acknowledged) == len(publisher.published)
    wanted = sum(len(publisher.published) for publisher in publishers)
    await eventually(lambda: plant.value("SELECT count(*) = %s FROM reading_dust", wanted), timeout=60)
    assert await plant.value("SELECT sum(stored) FROM ingest_count") == wanted
    assert await plant.value("SELECT count(*) FROM quarantine") == 0


async def test_of_two_workers_one_killed_leaves_its_messages_to_the_other(
    database_url: str, node: Node, tmp_path: Path
) -> None:
    await furnish(database_url)
    async with workers(database_url, node, tmp_path, "one", "two") as (plant, started):
        publishers = [Publisher(f"A/d{number}", node.mqtt).start() for number in (1, 2)]
        for name in started:
            await eventually(
                lambda: plant.value("SELECT stored > 200 FROM ingest_count WHERE worker = %s", name),  # noqa: B023
                timeout=60,
            )
        await started["one"].end(signal.SIGKILL)
        before = await plant.value("SELECT stored FROM ingest_count WHERE worker = 'two'")
        await eventually(
            lambda: plant.value("SELECT stored > %s FROM ingest_count WHERE worker = 'two'", before + 500), timeout=60
        )
        await stored_by_all(plant, publishers)


async def test_a_node_killed_in_mid_stream(settings: Settings, database_url: str, node: Node) -> None:
    await furnish(database_url)
    async with running(through(settings, node)) as plant:
        await reading_from(plant)
        publisher = Publisher("A/d1", node.mqtt).start()
        await eventually(lambda: plant.value("SELECT count(*) > 200 FROM reading_dust"), timeout=60)
        await node.restart()
        before = len(publisher.acknowledged)
        await eventually(lambda: len(publisher.acknowledged) > before + 200, timeout=60)
        await stored_by_all(plant, [publisher])


@pytest.mark.parametrize("urls", [[], ["amqp://a:70000"], ["amqp://user:word@a"], ["http://a"]])
def test_addresses_that_cannot_be_are_told_at_once(urls: list[str]) -> None:
    with pytest.raises(ValidationError, match="amqp"):
        IngestSettings(sources=["amqp"], amqp_urls=urls)
