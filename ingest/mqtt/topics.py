"""The topics of one connection: which are the device's own, what its aliases stand for."""

from __future__ import annotations

from ingest.message import FORBIDDEN_TOPIC, ROOT, Leaf, Origin, origins_of
from ingest.mqtt.reasons import ProtocolViolation, Reason
from sensors.codec_json import Reject
from sensors.registry import Device

TOPIC_ALIASES = 16
"""Aliases that a device may set (MQTT 5, section 3.3.2.3.4); it has four topics."""


class Topics:
    """Maps what stands in a PUBLISH to its origin."""

    def __init__(self, device: Device, *, source: str, client: str) -> None:
        self._device = device
        self._source = source
        self._client = client
        self._aliases: dict[int, bytes] = {}
        self._forbidden: dict[bytes, Origin] = {}
        self._own: dict[bytes, Origin] = {}
        self.renew(device)

    @property
    def command(self) -> str:
        """The one topic that the device may hear."""
        return f"{ROOT}/{self._device.site}/{self._device.code}/command"

    def renew(self, device: Device) -> None:
        """Take over a changed row of the registry; aliases stay."""
        self._device = device
        own = origins_of(device, source=self._source, client=self._client)
        self._own = {topic.encode(): origin for topic, origin in own.items()}
        self._forbidden.clear()

    def own(self, topic: str) -> Origin | None:
        """The origin of a topic of the device's own, else None."""
        return self._own.get(topic.encode())

    def origin(self, topic: bytes, alias: int) -> Origin:
        """The origin of a PUBLISH. Raises ProtocolViolation for an alias that stands for nothing."""
        if alias:
            topic = self._resolve(topic, alias)
        return self._own.get(topic) or self._forbid(topic)

    def _resolve(self, topic: bytes, alias: int) -> bytes:
        if alias > TOPIC_ALIASES:
            raise ProtocolViolation(Reason.TOPIC_ALIAS_INVALID, f"topic alias {alias}, at most {TOPIC_ALIASES}")
        if topic:
            self._aliases[alias] = topic
            return topic
        known = self._aliases.get(alias)
        if known is None:
            raise ProtocolViolation(Reason.PROTOCOL_ERROR, f"topic alias {alias} was never set")
        return known

    def _forbid(self, topic: bytes) -> Origin:
        """A topic that is not the device's: set aside and acknowledged, so that the device is not stuck with it."""
        origin = self._forbidden.get(topic)
        if origin is None:
            self._forbidden.clear()  # remembers one: enough for a device that errs in a loop, no room for an attack
            origin = self._forbidden[topic] = Origin(
                source=self._source,
                client=self._client,
                topic=topic.decode(errors="replace"),
                leaf=Leaf.TELEMETRY,
                device=self._device,
                refusal=Reject(FORBIDDEN_TOPIC, "not a topic of this device"),
            )
        return origin
