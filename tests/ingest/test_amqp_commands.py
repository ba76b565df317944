"""Commands through a real RabbitMQ to devices that speak MQTT to it: away, never there, and with workers killed."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiomqtt
import pytest

from core.settings import Settings
from tests.ingest.amqp import one_node, reading_from, through, workers
from tests.ingest.listener import Listener
from tests.ingest.plant import SECRET, Plant, furnish, running
from tests.ingest.test_commands import becomes, order
from tests.support.rabbitmq import Node
from tests.support.wait import eventually

pytestmark = pytest.mark.needs("rabbitmq")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One node for all tests here; each test has devices of its own, as sessions are kept."""
    with one_node(tmp_path_factory.mktemp("rabbitmq")) as node:
        yield node


@contextlib.asynccontextmanager
async def listening(node: Node, device: str, *, replies: bool = True) -> AsyncIterator[Listener]:
    """A device that has subscribed."""
    listener = Listener(device, node.mqtt, replies=replies).start()
    try:
        await eventually(listener.subscribed.is_set, timeout=60)
        yield listener
    finally:
        await asyncio.to_thread(listener.leave)


@pytest.fixture
async def through_queue(settings: Settings, database_url: str, node: Node) -> AsyncIterator[Plant]:
    """One worker that reads the queue, with the devices that the node knows."""
    await furnish(database_url, devices=9)
    async with running(through(settings, node)) as plant:
        await reading_from(plant)
        yield plant


async def test_a_command_is_delivered_replied_to_and_done(through_queue: Plant, node: Node) -> None:
    plant = through_queue
    async with listening(node, "A/d1", replies=False) as silent:
        number = await order(plant.connection)
        await eventually(lambda: plant.value("SELECT delivered_at IS NOT NULL FROM command"))
        await eventually(lambda: silent.heard == [number])
        assert silent.qualities == {1}
        await becomes(plant, number, "sent")
    async with listening(node, "A/d1") as device:
        number = await order(plant.connection)
        await becomes(plant, number, "done")
        assert device.heard == [number]


async def test_a_device_that_never_subscribed_has_nothing_delivered(through_queue: Plant, node: Node) -> None:
    plant = through_queue
    short = await order(plant.connection, device=2, within_s=5)
    number = await order(plant.connection, device=2)
    why = "the device has not subscribed to its commands at RabbitMQ"
    told = "SELECT count(*) = 2 FROM command WHERE reason = %s AND delivered_at IS NULL"
    # While it waits, and when it has expired; in the moment of another attempt there is no reason to tell.
    await eventually(lambda: plant.value(told, why))
    await becomes(plant, short, "expired")
    await eventually(lambda: plant.value(told, why))
    # Sent again when it says that it is there, however long the pause has become.
    async with listening(node, "A/d2") as device:
        device.say_online()
        await becomes(plant, number, "done")
        assert device.heard == [number]
        assert await plant.value("SELECT reason FROM command WHERE id = %s", number) == ""


async def test_a_device_that_is_away_finds_what_has_not_expired(through_queue: Plant, node: Node) -> None:
    plant = through_queue
    async with listening(node, "A/d3"):
        pass
    short = await order(plant.connection, device=3, within_s=5)
    number = await order(plant.connection, device=3)
    await eventually(lambda: plant.value("SELECT count(*) = 2 FROM command WHERE delivered_at IS NOT NULL"))
    await becomes(plant, short, "expired")
    assert await plant.value("SELECT reason FROM command WHERE id = %s", short) == "the device did not reply"
    async with listening(node, "A/d3") as device:
        await becomes(plant, number, "done")
        assert device.heard == [number]


async def test_a_node_lost_before_it_had_confirmed(through_queue: Plant, node: Node) -> None:
    plant = through_queue
    async with listening(node, "A/d4"):
        pass
    node.freeze()
    number = await order(plant.connection, device=4, within_s=300)
    await becomes(plant, number, "sent")
    await node.restart()
    # The queue of a device is there some time after the port: until then RabbitMQ lets it wait for its CONNACK.
    await eventually(lambda: plant.value("SELECT delivered_at IS NOT NULL FROM command"), timeout=100)
    async with listening(node, "A/d4") as device:
        await becomes(plant, number, "done", timeout=60)
        assert device.heard == [number]
        assert await plant.reasons() == []


async def test_a_device_hears_its_own_commands_only(node: Node) -> None:
    client = aiomqtt.Client(
        "127.0.0.1", node.mqtt, username="A/d5", password=SECRET, identifier="A/d5",
        protocol=aiomqtt.ProtocolVersion.V311, timeout=5,
    )  # fmt: skip
    with pytest.raises(aiomqtt.MqttError):
        async with client:
            await client.subscribe("smartsite/v1/A/d6/command", qos=1)
            await client.publish("smartsite/v1/A/d5/status", b"online", qos=1)


async def test_of_two_workers_one_sends_and_one_killed_leaves_its_commands_to_the_other(
    database_url: str, node: Node, tmp_path: Path
) -> None:
    await furnish(database_url, devices=9)
    async with (
        workers(database_url, node, tmp_path, "one", "two") as (plant, started),
        listening(node, "A/d7") as device,
    ):
        numbers = [await order(plant.connection, device=7) for _ in range(40)]
        done = "SELECT count(*) FROM command WHERE state = 'done'"
        await eventually(lambda: plant.value(f"{done} HAVING count(*) = 40"), timeout=60)
        assert sorted(device.heard) == numbers
        await started["one"].end(signal.SIGKILL)
        # As one leaves them that was killed between its claim and the confirmation.
        await plant.connection.execute(
            "INSERT INTO command (device_id, name, arguments, requested_by, requested_at, expires_at, state, sent_at,"
            " sent_by) SELECT 7, 'spray_on', '{}', 'test', now(), now() + interval '1 min', 'sent', now(), 'one'"
            " FROM generate_series(1, 5)"
        )
        later = [await order(plant.connection, device=7) for _ in range(10)]
        await eventually(lambda: plant.value(f"{done} HAVING count(*) = 55"), timeout=60)
        assert await plant.value("SELECT count(*) FROM command WHERE sent_by = 'two' AND id >= %s", later[0]) == 10
        assert len(device.heard) == len(set(device.heard)) == 55
