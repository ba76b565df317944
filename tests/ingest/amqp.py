"""A RabbitMQ node with its devices' users, and ingest workers that read its queue."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pika
import psycopg

from core.settings import Settings
from ingest.rabbitmq import definitions
from ingest.sources.amqp_link import parameters_of
from tests.ingest.plant import SECRET, Plant, with_ingest
from tests.ingest.process import Worker
from tests.support.rabbitmq import Epmd, Node
from tests.support.wait import eventually

PASSWORD = "password-of-the-workers"
DEVICES = [
    {"site": site, "code": code, "secret": SECRET}
    for site, code in [*(("A", f"d{number}") for number in range(1, 10)), ("B", "b1"), ("A", "nobody")]
]


@contextlib.contextmanager
def one_node(folder: Path) -> Iterator[Node]:
    """A node that runs until the end of the block."""
    epmd = Epmd()
    epmd.start()
    node = Node(
        folder,
        epmd,
        definitions(DEVICES, user="smartsite", password=PASSWORD, queue="smartsite"),
    )
    try:
        node.start()
        node.ready()
        yield node
    finally:
        node.kill()
        epmd.stop()


@contextlib.contextmanager
def channel(node: Node) -> Iterator[Any]:
    """A channel of the workers' user."""
    parameters = parameters_of(node.url, user="smartsite", password=PASSWORD, name="test")
    with pika.BlockingConnection(parameters) as connection:
        yield connection.channel()


def through(settings: Settings, node: Node, **fields: object) -> Settings:
    """Settings of an ingest that reads the queue."""
    return with_ingest(settings, sources=["amqp"], amqp_urls=[node.url], amqp_password=PASSWORD, **fields)


async def reading_from(plant: Plant, worker: str = "1") -> None:
    """Wait until a worker reads the queue."""
    await eventually(
        lambda: plant.value(
            "SELECT (detail->>'amqp_connected')::boolean FROM worker WHERE name = %s", f"ingest-{worker}"
        ),
        timeout=60,
    )


@contextlib.asynccontextmanager
async def workers(url: str, node: Node, folder: Path, *names: str) -> AsyncIterator[tuple[Plant, dict[str, Worker]]]:
    """Workers as processes of their own, reading."""
    started = {}
    for name in names:
        (folder / name).mkdir()
        started[name] = Worker(
            url,
            0,
            folder / name,
            SMARTSITE_INGEST__WORKER=name,
            SMARTSITE_INGEST__SOURCES='["amqp"]',
            SMARTSITE_INGEST__AMQP_URLS=json.dumps([node.url]),
            SMARTSITE_INGEST__AMQP_PASSWORD=PASSWORD,
            SMARTSITE_INGEST__AMQP_PREFETCH="200",
        )
        await started[name].start()
    try:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            plant = Plant(Settings(), connection)
            for name in names:
                await reading_from(plant, name)
            yield plant, started
    finally:
        for worker in started.values():
            await worker.end(signal.SIGTERM)
