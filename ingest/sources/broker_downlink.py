"""Commands through a broker: published with QoS 1, kept by the broker for devices that have a session there."""

from __future__ import annotations

from paho.mqtt.client import Client
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from core.clock import Clock
from ingest.message import Leaf, Message
from ingest.status import online
from sensors.commands import Command, payload_of, topic_of


class BrokerDownlink:
    """The outlet of a broker's client. `sole`: there is no other way to the devices than this broker."""

    def __init__(self, client: Client, *, clock: Clock, sole: bool) -> None:
        self._client = client
        self._clock = clock
        self._sole = sole
        self._heard: set[int] = set()
        self._away: set[int] = set()
        self._sent: dict[int, int] = {}
        self._arrived: list[int] = []
        client.on_publish = self._on_publish

    def note(self, message: Message) -> None:
        """Learn from a message that its device is at this broker, or has gone."""
        device = message.origin.device
        if device is None:
            return
        self._heard.add(device.id)
        if message.origin.leaf is Leaf.STATUS and online(message.payload) is False:
            self._away.add(device.id)
        else:
            self._away.discard(device.id)

    def reaches(self, device: int) -> bool:
        """Whether the device is at this broker and has not said that it is away."""
        return self._client.is_connected() and (self._sole or device in self._heard) and device not in self._away

    def take_unsent(self) -> list[tuple[int, str]]:
        """Nothing: a broker of this kind takes every command."""
        return []

    def take_fresh(self) -> set[int]:
        """Nothing: paho itself sends what the broker has not acknowledged again."""
        return set()

    def take_arrived(self) -> list[int]:
        """Commands that the broker has taken since the last call."""
        arrived, self._arrived = self._arrived, []
        return arrived

    def deliver(self, command: Command) -> bool:
        """Publish a command; the broker drops it when it has expired."""
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        left = (command.expires_at - self._clock.now()).total_seconds()
        properties.MessageExpiryInterval = min(max(1, int(left)), 2**32 - 1)
        sent = self._client.publish(topic_of(command), payload_of(command), qos=1, properties=properties)
        self._sent[sent.mid] = command.id
        return True

    def _on_publish(self, _client: Client, _data: object, mid: int, _reason: ReasonCode, _props: Properties) -> None:
        command = self._sent.pop(mid, None)
        if command is not None:
            self._arrived.append(command)
