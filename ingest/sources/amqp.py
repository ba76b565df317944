"""A RabbitMQ queue as a source: every ingest worker reads from the one quorum queue, acknowledged after commit.

Devices speak MQTT to the RabbitMQ cluster, which vouches for who they are (`ingest.rabbitmq`). RabbitMQ hands out each
message to one worker, and again to another one when that worker or its connection ends before the acknowledgement;
what was committed in between is recognised by its key.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import zlib
from typing import Any

from pika.exceptions import AMQPChannelError, AMQPError, AuthenticationError, ProbableAccessDeniedError

from core.clock import Clock, micros
from core.settings import IngestSettings
from ingest import metrics
from ingest.intake import Intake
from ingest.message import Message
from ingest.rabbitmq import BINDINGS, EXCHANGE, QUEUE_ARGUMENTS, topic_of
from ingest.sources.amqp_link import Link, parameters_of
from ingest.sources.origins import Origins
from sensors.registry import RegistryWatch

logger = logging.getLogger(__name__)

_FIRST_DELAY_S, _LAST_DELAY_S = 0.2, 5.0


class AmqpSource:
    """Reads the queue from any node of the cluster that answers."""

    source = "amqp"

    def __init__(self, settings: IngestSettings, *, registry: RegistryWatch, intake: Intake, clock: Clock) -> None:
        self._settings = settings
        self._intake = intake
        self._clock = clock
        self._origins = Origins(self.source, registry)
        self._nodes = [
            parameters_of(
                url,
                user=settings.amqp_user,
                password=settings.amqp_password.get_secret_value(),
                name=f"smartsite ingest-{settings.worker}",
            )
            for url in settings.amqp_urls
        ]
        # Workers spread over the nodes.
        self._node = zlib.crc32(settings.worker.encode()) % len(self._nodes)
        self._came: list[Message] = []
        self._arrived = 0
        self._room = asyncio.Event()
        self._room.set()
        self._connected = False
        self._stopping = False
        self._link: Link | None = None
        self._task: asyncio.Task[None] | None = None
        intake.on_pressure(self._press)

    async def start(self) -> None:
        """Begin to connect; a cluster that is away is tried again for ever."""
        self._task = asyncio.create_task(self._run(), name="amqp")

    async def quiesce(self) -> None:
        """Drop what comes from now on: it is not acknowledged, and RabbitMQ gives it to another worker."""
        self._stopping = True

    async def close(self) -> None:
        """Disconnect."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def detail(self) -> dict[str, Any]:
        """Whether the queue is being read."""
        return {"amqp_connected": self._connected}

    async def _run(self) -> None:
        delay = _FIRST_DELAY_S
        while True:
            try:
                await self._read()
            except (AMQPError, OSError) as error:
                if self._connected:
                    delay = _FIRST_DELAY_S
                self._tell(error)
            finally:
                self._connected = False
                metrics.AMQP_CONNECTED.set(0)
            self._node = (self._node + 1) % len(self._nodes)
            await self._clock.sleep(delay)
            delay = min(delay * 2, _LAST_DELAY_S)

    async def _read(self) -> None:
        """Read from one node until the link to it is lost."""
        # What came by lost links still waits in the intake, and comes again: without room it must not pile up.
        await self._room.wait()
        settings, node = self._settings, self._nodes[self._node]
        link = Link()
        async with contextlib.AsyncExitStack() as ending:
            ending.push_async_callback(link.close)
            await link.open(node)
            if settings.amqp_declare:
                await link.declare(settings.amqp_queue, arguments=QUEUE_ARGUMENTS, exchange=EXCHANGE, keys=BINDINGS)
            await link.consume(
                settings.amqp_queue,
                self._deliver,
                prefetch=settings.amqp_prefetch,
                tag=f"smartsite-ingest-{settings.worker}",
            )
            self._connected = True
            metrics.AMQP_CONNECTED.set(1)
            logger.info("reading from rabbitmq", extra={"node": node.host, "queue": settings.amqp_queue})
            await link.lost()

    def _tell(self, error: Exception) -> None:
        node = self._nodes[self._node]
        facts = {"node": f"{node.host}:{node.port}", "error": repr(error)}
        if isinstance(error, AMQPChannelError | AuthenticationError | ProbableAccessDeniedError):
            # Something of the set-up: it is tried again all the same, for it may be mended there.
            logger.error("rabbitmq refuses the worker", extra=facts)
        else:
            logger.warning("no connection to rabbitmq, trying the next node", extra=facts)

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
        self._came.append(Message(self._origins.of(topic_of(routing_key)), body, self._arrived, link, tag))

    def _pass_on(self) -> None:
        came, self._came = self._came, []
        self._intake.put(came)

    def _press(self, pressure: bool) -> None:
        if pressure:
            self._room.clear()
        else:
            self._room.set()
