"""Three RabbitMQ nodes and two workers: a node and a worker are killed in mid-stream, and nothing is lost."""

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
from tests.ingest.load import Publisher
from tests.ingest.plant import SECRET, Plant, furnish
from tests.ingest.process import Worker
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

        await stored("east", 200)
        await stored("west", 200)
        victim = next(node for node in cluster if node.name == leader)
        await asyncio.to_thread(victim.kill)
        await workers["east"].end(signal.SIGKILL)
        count = await plant.value("SELECT stored FROM ingest_count WHERE worker = 'west'")
        # Two nodes and one worker go on ...
        await stored("west", count + 500)
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
