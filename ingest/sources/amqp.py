"""A RabbitMQ queue as a source: every ingest worker reads from the one quorum queue, acknowledged after commit.

Devices speak MQTT to the RabbitMQ cluster, which vouches for who they are (`ingest.rabbitmq`). RabbitMQ hands out each
message to one worker, and again to another one when that worker or its connection ends before the acknowledgement;
what was committed in between is recognised by its key.
"""

from __future__ import annotations

import asyncio
from typing import Any

from core.clock import Clock, micros
from core.settings import IngestSettings
from ingest import metrics
from ingest.intake import Intake
from ingest.message import Leaf, Message
from ingest.rabbitmq import BINDINGS, EXCHANGE, QUEUE_ARGUMENTS, topic_of
from ingest.sources.amqp_cluster import Cluster
from ingest.sources.amqp_downlink import AmqpDownlink
from ingest.sources.amqp_link import Link
from ingest.sources.origins import Origins
from sensors.registry import RegistryWatch


class AmqpSource:
    """Reads the queue from any node of the cluster that answers."""

    source = "amqp"

    def __init__(self, settings: IngestSettings, *, registry: RegistryWatch, intake: Intake, clock: Clock) -> None:
        self._settings = settings
        self._intake = intake
        self._clock = clock
        self._origins = Origins(self.source, registry, topic_of=topic_of)
        self._cluster = Cluster(settings, purpose="readings", clock=clock)
        self.outlet = AmqpDownlink(settings, clock=clock, sole=len(settings.sources) == 1)
        self._came: list[Message] = []
        self._arrived = 0
        self._room = asyncio.Event()
        self._room.set()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        intake.on_pressure(self._press)

    async def start(self) -> None:
        """Begin to connect; a cluster that is away is tried again for ever."""
        # What came by lost links still waits in the intake, and comes again: without room it must not pile up.
        keep = self._cluster.keep(self._begin, ended=lambda: metrics.AMQP_CONNECTED.set(0), may=self._room.wait)
        self._task = asyncio.create_task(keep, name="amqp")
        self.outlet.start()

    async def quiesce(self) -> None:
        """Drop what comes from now on: it is not acknowledged, and RabbitMQ gives it to another worker."""
        self._stopping = True

    async def close(self) -> None:
        """Disconnect."""
        await self.outlet.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def detail(self) -> dict[str, Any]:
        """Whether the queue is being read."""
        return {"amqp_connected": self._cluster.link is not None}

    async def _begin(self, link: Link) -> None:
        settings = self._settings
        if settings.amqp_declare:
            await link.declare(settings.amqp_queue, arguments=QUEUE_ARGUMENTS, exchange=EXCHANGE, keys=BINDINGS)
        await link.consume(
            settings.amqp_queue,
            self._deliver,
            prefetch=settings.amqp_prefetch,
            tag=f"smartsite-ingest-{settings.worker}",
        )
        metrics.AMQP_CONNECTED.set(1)

    def _deliver(self, link: Link, routing_key: str, tag: int, redelivered: bool, body: bytes) -> None:
        if self._stopping:
            return
        if redelivered:
            metrics.REDELIVERED.inc()
        if not self._came:
            # One look at the clock, and one turn of the writer, for all that this read of the socket brings.
            self._arrived = max(self._arrived, micros(self._clock.now()))
            asyncio.get_running_loop().call_soon(self._pass_on)
        self._arrived += 1
        message = Message(self._origins.of(routing_key), body, self._arrived, link, tag)
        if not self.outlet.sole or message.origin.leaf is Leaf.STATUS:
            self.outlet.note(message)
        self._came.append(message)

    def _pass_on(self) -> None:
        came, self._came = self._came, []
        self._intake.put(came)

    def _press(self, pressure: bool) -> None:
        if pressure:
            self._room.clear()
        else:
            self._room.set()
