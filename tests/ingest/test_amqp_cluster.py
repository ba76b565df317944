"""Three RabbitMQ nodes and two workers: a node and a worker are killed in mid-stream, and nothing is lost.

Neither readings nor commands: those that wait for a device survive with their queue, and it can hear them elsewhere.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path

import psycopg
import pytest

from core.settings import Settings
from ingest.rabbitmq import definitions
from tests.ingest.listener import Listener
from tests.ingest.load import Publisher
from tests.ingest.plant import SECRET, Plant, furnish
from tests.ingest.process import Worker
from tests.ingest.test_commands import becomes, order
from tests.support.rabbitmq import Epmd, Node
from tests.support.wait import eventually

pytestmark = pytest.mark.needs("rabbitmq")

PASSWORD = "password-of-the-workers"
NAMES = ("one", "two", "three")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[Node]]:
    """Three nodes, the queue replicated on all of them."""
    devices = [{"site": "A", "code": f"d{number}", "secret": SECRET} for number in (1, 2, 3)]
    made = definitions(devices, user="smartsite", password=PASSWORD, queue="smartsite")
    epmd = Epmd()
    epmd.start()
    nodes = [Node(tmp_path, epmd, made, name=name, peers=NAMES) for name in NAMES]
    try:
        # One after another: started together, the MQTT plugins of 3.10 may not agree on who keeps client identifiers.
        for node in nodes:
            node.start()
            node.ready(120)
        nodes[0].import_definitions()
        yield nodes
    finally:
        with ThreadPoolExecutor() as pool:
            list(pool.map(Node.kill, nodes))
        epmd.stop()


async def test_a_node_and_a_worker_killed_in_mid_stream(database_url: str, cluster: list[Node], tmp_path: Path) -> None:
    await furnish(database_url)
    leader, online = cluster[0].control("list_queues", "--no-table-headers", "leader", "online").split("\t")
    assert all(node.name in online for node in cluster)
    async with AsyncExitStack() as stack:
        connection = await psycopg.AsyncConnection.connect(database_url, autocommit=True)
        plant = Plant(Settings(), await stack.enter_async_context(connection))
        workers = {}
        for name in ("east", "west"):
            (tmp_path / name).mkdir()
            worker = workers[name] = Worker(
                database_url,
                0,
                tmp_path / name,
                SMARTSITE_INGEST__WORKER=name,
                SMARTSITE_INGEST__SOURCES='["amqp"]',
                SMARTSITE_INGEST__AMQP_URLS=json.dumps([node.url for node in cluster]),
                SMARTSITE_INGEST__AMQP_PASSWORD=PASSWORD,
            )
            await worker.start()
            stack.push_async_callback(worker.end, signal.SIGTERM)
        publishers = [
            Publisher(f"A/d{number}", node.mqtt, every_s=0.004).start() for number, node in enumerate(cluster, 1)
        ]

        async def stored(worker: str, count: int) -> None:
            await eventually(
                lambda: plant.value("SELECT stored > %s FROM ingest_count WHERE worker = %s", count, worker),
                timeout=60,
            )

        listeners = [Listener(f"A/d{number}", node.mqtt).start() for number, node in enumerate(cluster, 1)]
        for listener in listeners:
            stack.push_async_callback(asyncio.to_thread, listener.leave)
            await eventually(listener.subscribed.is_set, timeout=60)

        async def ordered(device: int) -> int:
            return await order(plant.connection, device=device, within_s=300)

        await stored("east", 200)
        await stored("west", 200)
        for device in (1, 2, 3):
            await becomes(plant, await ordered(device), "done", timeout=60)
        victim = next(node for node in cluster if node.name == leader)
        place = cluster.index(victim)
        # Its device is away already, and a command waits for it.
        await asyncio.to_thread(listeners[place].leave)
        waiting = await ordered(place + 1)
        delivered = "SELECT delivered_at IS NOT NULL FROM command WHERE id = %s"
        await eventually(lambda: plant.value(delivered, waiting), timeout=60)
        await asyncio.to_thread(victim.kill)
        await workers["east"].end(signal.SIGKILL)
        count = await plant.value("SELECT stored FROM ingest_count WHERE worker = 'west'")
        # Two nodes and one worker go on ...
        await stored("west", count + 500)
        commands = [await ordered(device) for device in (1, 2, 3)]
        moved = Listener(f"A/d{place + 1}", cluster[place - 1].mqtt).start()
        stack.push_async_callback(asyncio.to_thread, moved.leave)
        for number in (waiting, *commands):
            await becomes(plant, number, "done", timeout=60)
        victim.start()
        await asyncio.to_thread(victim.ready, 120)
        # ... and what the third device had not acknowledged, it sends to its node again.
        for publisher in publishers:
            await asyncio.to_thread(publisher.finish, 60)
            assert len(publisher.acknowledged) == len(publisher.published)
        wanted = sum(len(publisher.published) for publisher in publishers)
        await eventually(lambda: plant.value("SELECT count(*) = %s FROM reading_dust", wanted), timeout=60)
        assert await plant.value("SELECT sum(stored) FROM ingest_count") == wanted
        assert await plant.value("SELECT count(*) FROM quarantine") == 0
