"""Messages as records of the spool, and back."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ingest.message import UNKNOWN_DEVICE, Leaf, Message, Origin
from sensors.codec_json import Decoded, Reject
from sensors.hj212.decode import Statistic
from sensors.registry import RegistryWatch


class Record(msgspec.Struct, array_like=True, omit_defaults=True, gc=False):
    """What is kept of a message; who waits for it has been told when it comes back."""

    source: str
    client: str
    topic: str
    leaf: int
    device: int | None
    arrived: int
    payload: bytes
    refusal: Reject | None = None
    decoded: Decoded | None = None
    statistics: Sequence[Statistic] = ()


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)


def records(messages: Sequence[Message]) -> list[bytes]:
    """A record for each message."""
    return [
        _encoder.encode(
            Record(
                source=message.origin.source,
                client=message.origin.client,
                topic=message.origin.topic,
                leaf=int(message.origin.leaf),
                device=None if message.origin.device is None else message.origin.device.id,
                arrived=message.arrived,
                payload=message.payload,
                refusal=message.origin.refusal,
                decoded=message.decoded,
                statistics=message.statistics,
            )
        )
        for message in messages
    ]


def messages(bodies: Sequence[bytes], registry: RegistryWatch) -> list[Message]:
    """The messages of records; a device that is no longer registered refuses its own."""
    found: list[Message] = []
    devices = registry.current.devices
    for body in bodies:
        if not body:
            continue  # a damaged piece of the spool, told when it was read
        record = _decoder.decode(body)
        device = None if record.device is None else devices.get(record.device)
        refusal = record.refusal
        if device is None and refusal is None:
            refusal = Reject(UNKNOWN_DEVICE, f"device {record.device} was removed while its message waited")
        origin = Origin(
            source=record.source,
            client=record.client,
            topic=record.topic,
            leaf=Leaf(record.leaf),
            device=device,
            refusal=refusal,
        )
        found.append(
            Message(origin, record.payload, record.arrived, decoded=record.decoded, statistics=record.statistics)
        )
    return found
