"""What a source hands to the writer: a payload, where it came from, and who is told once it is stored."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Protocol

import msgspec

from sensors.codec_json import Decoded, Reject
from sensors.hj212.decode import Statistic
from sensors.registry import Device

ROOT = "smartsite/v1"
"""First two levels of every topic: `smartsite/v1/{site}/{device}/{leaf}`."""

# Reasons of rejects that arise before a payload is looked at; stable, they stand in the quarantine table.
UNKNOWN_DEVICE = "unknown_device"  # no such device in the registry
DISABLED = "disabled"  # the device or its site is switched off
BAD_CREDENTIALS = "bad_credentials"  # wrong or missing password
FORBIDDEN_TOPIC = "forbidden_topic"  # a topic that is not the device's own
UNKNOWN_KIND = "unknown_kind"  # the device's kind has no profile in this process


class Leaf(IntEnum):
    """The last level of a topic that devices publish to; PRESENCE is the endpoint's own word on a connection."""

    TELEMETRY = 0
    STATUS = 1
    EVENT = 2
    REPLY = 3
    PRESENCE = 4


PUBLISHED = {"telemetry": Leaf.TELEMETRY, "status": Leaf.STATUS, "event": Leaf.EVENT, "reply": Leaf.REPLY}
"""Topic level -> leaf, for the topics that devices publish to."""

CONNECTED, DISCONNECTED = b"connected", b"disconnected"
"""Payloads of PRESENCE messages."""


class Origin(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Where messages come from; made once a topic and connection, shared by its messages.

    `refusal` is set where every message of this origin goes to quarantine whatever it holds.
    """

    source: str
    client: str
    topic: str
    leaf: Leaf
    device: Device | None
    refusal: Reject | None = None


class Holder(Protocol):
    """Whoever waits for the acknowledgement of messages: a connection of the endpoint, a session at a broker."""

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Acknowledge messages that are committed, in the order in which they arrived. Must not raise."""
        ...


class Message(msgspec.Struct, eq=False):
    """One message on its way to the database.

    `arrived` is microseconds since the epoch, UTC. `holder` is None where nobody waits (QoS 0). The writer sets
    `reject` when nothing of the payload could be taken; a source that can, tells the device so. A source whose payload
    is not telemetry as JSON brings what it holds as `decoded` readings and `statistics`; the payload is kept as it came
    for the quarantine.
    """

    origin: Origin
    payload: bytes
    arrived: int
    holder: Holder | None = None
    packet_id: int = 0
    reject: Reject | None = None
    decoded: Decoded | None = None
    statistics: Sequence[Statistic] = ()


def origins_of(device: Device, *, source: str, client: str) -> dict[str, Origin]:
    """The topics that a device may publish to."""
    return {
        topic: Origin(source=source, client=client, topic=topic, leaf=leaf, device=device)
        for level, leaf in PUBLISHED.items()
        for topic in (f"{ROOT}/{device.site}/{device.code}/{level}",)
    }
