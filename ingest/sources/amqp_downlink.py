"""Commands through RabbitMQ: published to the exchange from which its MQTT plugin serves the devices.

RabbitMQ confirms a command when a device's queue has it, and says so where there is none: a device has a queue from
its first subscription on, kept while it is away if its session is kept. This goes by a connection of its own: RabbitMQ
stops reading from connections that publish when it is short of memory or disk, and acknowledgements must still come
through.
"""

from __future__ import annotations

import asyncio

from core.clock import Clock
from core.settings import IngestSettings
from ingest.message import Leaf, Message
from ingest.rabbitmq import EXCHANGE, routing_key_of
from ingest.sources.amqp_cluster import Cluster
from ingest.sources.amqp_link import Link, Outcome
from ingest.status import online
from sensors.commands import Command, payload_of, topic_of

_REASONS = {
    Outcome.UNROUTED: "the device has not subscribed to its commands at RabbitMQ",
    Outcome.REFUSED: "RabbitMQ did not take it",
    Outcome.LOST: "the connection to RabbitMQ was lost before it had confirmed",
}
_FIRST_PAUSE_S, _LAST_PAUSE_S = 1.0, 30.0
_LONGEST_MS = 2**32 - 1


class AmqpDownlink:
    """The outlet of a worker. `sole`: there is no other way to the devices than RabbitMQ.

    A command that did not come through goes back, for any worker to send, and its device is left alone for a while:
    1 s, twice as long each time up to 30 s, and until it says that it is on line.
    """

    def __init__(self, settings: IngestSettings, *, clock: Clock, sole: bool) -> None:
        self._clock = clock
        self.sole = sole
        self._cluster = Cluster(settings, purpose="commands", clock=clock)
        self._heard: set[int] = set()
        self._pauses: dict[int, tuple[float, float]] = {}
        self._arrived: list[int] = []
        self._unsent: list[tuple[int, str]] = []
        self._under_way: dict[int, Command] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to connect."""
        self._task = asyncio.create_task(self._cluster.keep(self._begin, ended=self._ended), name="amqp commands")

    async def close(self) -> None:
        """Disconnect."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def note(self, message: Message) -> None:
        """Learn from a message that its device is at RabbitMQ, or has just come there."""
        device = message.origin.device
        if device is None:
            return
        self._heard.add(device.id)
        if message.origin.leaf is Leaf.STATUS and online(message.payload):
            self._pauses.pop(device.id, None)

    def reaches(self, device: int) -> bool:
        """Whether RabbitMQ is there and takes commands, and the device is not left alone at the moment."""
        link = self._cluster.link
        if link is None or link.blocked or not (self.sole or device in self._heard):
            return False
        pause = self._pauses.get(device)
        return pause is None or self._clock.monotonic() >= pause[0]

    def take_fresh(self) -> set[int]:
        """Nothing: what did not come through goes back by `take_unsent`."""
        return set()

    def take_arrived(self) -> list[int]:
        """Commands that RabbitMQ has for their devices since the last call."""
        arrived, self._arrived = self._arrived, []
        return arrived

    def take_unsent(self) -> list[tuple[int, str]]:
        """Commands that no queue took, or of which nobody knows since the link is lost."""
        unsent, self._unsent = self._unsent, []
        return unsent

    def deliver(self, command: Command) -> bool:
        """Publish a command; RabbitMQ drops it when it has expired."""
        link = self._cluster.link
        if link is None:
            return False
        left_ms = int((command.expires_at - self._clock.now()).total_seconds() * 1000)
        sent = link.publish(
            EXCHANGE,
            routing_key_of(topic_of(command)),
            payload_of(command),
            number=command.id,
            expires_ms=min(max(1, left_ms), _LONGEST_MS),
        )
        if sent:
            self._under_way[command.id] = command
        return sent

    async def _begin(self, link: Link) -> None:
        await link.confirm(self._outcome)

    def _outcome(self, number: int, outcome: Outcome) -> None:
        command = self._under_way.pop(number, None)
        if command is None:
            return  # sent twice, as this worker was taken for gone; the first outcome counts
        if outcome is Outcome.TAKEN:
            self._pauses.pop(command.device_id, None)
            self._arrived.append(number)
            return
        self._unsent.append((number, _REASONS[outcome]))
        _, last = self._pauses.get(command.device_id, (0.0, _FIRST_PAUSE_S / 2))
        pause = min(2 * last, _LAST_PAUSE_S)
        self._pauses[command.device_id] = (self._clock.monotonic() + pause, pause)

    def _ended(self) -> None:
        for number in list(self._under_way):
            self._outcome(number, Outcome.LOST)
