"""A single RabbitMQ node with the quorum queue: what the tests start, as deploy/rabbitmq sets it up."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from ingest.rabbitmq import definitions
from tests.support.rabbitmq import Epmd, Node

USER, PASSWORD, QUEUE = "smartsite", "password-of-the-workers", "smartsite"


@contextlib.asynccontextmanager
async def rabbitmq(folder: Path, names: list[str], secret: str) -> AsyncIterator[tuple[int, Node]]:
    """A fresh node whose users are the devices `names`: the process id of Erlang, and the node."""
    devices = [dict(zip(("site", "code", "secret"), (*name.split("/"), secret), strict=True)) for name in names]
    epmd = Epmd()
    epmd.start()
    node = Node(folder / "rabbitmq", epmd, definitions(devices, user=USER, password=PASSWORD, queue=QUEUE))
    try:
        node.start()
        await asyncio.to_thread(node.ready, 120)
        yield int((node.folder / "pid").read_text()), node
    finally:
        await asyncio.to_thread(node.kill)
        epmd.stop()
        shutil.rmtree(folder / "rabbitmq", ignore_errors=True)


def reader(node: Node) -> dict[str, str]:
    """Settings of an ingest worker that reads the queue."""
    return {"sources": '["amqp"]', "amqp_urls": json.dumps([node.url]), "amqp_user": USER, "amqp_password": PASSWORD}
