"""Cutting a byte stream into control packets, with a limit that holds before a packet is buffered."""

from __future__ import annotations

from typing import NamedTuple

from ingest.mqtt.packets import PacketType
from ingest.mqtt.reasons import ProtocolViolation, Reason

FIRST_OF_CONNECT = frozenset({PacketType.CONNECT << 4})
"""The only first byte that a new connection may send."""

FIRST_OF_CLIENT = frozenset(
    {
        *range(0x30, 0x40),  # PUBLISH with its DUP, QoS and RETAIN bits
        PacketType.PUBACK << 4,
        PacketType.SUBSCRIBE << 4 | 2,
        PacketType.UNSUBSCRIBE << 4 | 2,
        PacketType.PINGREQ << 4,
        PacketType.DISCONNECT << 4,
    }
)
"""First bytes that a connected client may send here: no server-side packets, no flows of QoS 2, no AUTH."""

FIRST_OF_SERVER = frozenset(
    {
        PacketType.CONNACK << 4,
        *range(0x30, 0x40),
        PacketType.PUBACK << 4,
        PacketType.SUBACK << 4,
        PacketType.UNSUBACK << 4,
        PacketType.PINGRESP << 4,
        PacketType.DISCONNECT << 4,
    }
)
"""First bytes that a broker sends to a client that publishes and subscribes with QoS 1."""


class Frame(NamedTuple):
    """One packet: its first byte, and its body as data[start:stop]."""

    first: int
    data: bytes
    start: int
    stop: int


class Framer:
    """Feeds on chunks, yields whole packets: first a CONNECT of at most `connect_limit` bytes, then others of `limit`.

    With another set of first bytes in `allowed` there is no CONNECT to come first.

    A wrong first byte or a length beyond the limit is a violation as soon as it is seen. It is kept in `violation` so
    that the packets before it are dealt with first; after it nothing is cut any more.
    """

    __slots__ = ("_after", "_allowed", "_held", "_limit", "_needed", "violation")

    def __init__(self, connect_limit: int, limit: int, allowed: frozenset[int] = FIRST_OF_CONNECT) -> None:
        self.violation: ProtocolViolation | None = None
        self._limit = connect_limit
        self._after = limit
        self._allowed = allowed
        self._held = bytearray()
        self._needed = 2

    @property
    def needed(self) -> int:
        """Bytes that the packet which has begun will have, as far as is known; 0 where none has begun."""
        return self._needed if self._held else 0

    def feed(self, data: bytes) -> list[Frame]:
        """The packets that are whole now."""
        if self._held:
            # A packet in pieces is joined once it is whole, so that small pieces cost no repeated copying.
            self._held += data
            if len(self._held) < self._needed:
                return []
            data = bytes(self._held)
            self._held.clear()
        frames: list[Frame] = []
        at, end = 0, len(data)
        self._needed = 2
        while at < end and self.violation is None:
            first = data[at]
            if first not in self._allowed:
                self.violation = ProtocolViolation(Reason.MALFORMED, f"unexpected first byte 0x{first:02x}")
                break
            if end - at < 2:
                break
            length, start = data[at + 1], at + 2
            if length > 0x7F:
                cut = self._length(data, at, end)
                if cut is None:
                    break
                length, start = cut
            stop = start + length
            if stop - at > self._limit:
                self.violation = ProtocolViolation(
                    Reason.PACKET_TOO_LARGE, f"packet of {stop - at} bytes, at most {self._limit} are taken"
                )
                break
            if stop > end:
                self._needed = stop - at
                break
            frames.append(Frame(first, data, start, stop))
            at = stop
            if self._allowed is FIRST_OF_CONNECT:
                self._allowed, self._limit = FIRST_OF_CLIENT, self._after
        if at < end and self.violation is None:
            self._held += data[at:]
        return frames

    def _length(self, data: bytes, at: int, end: int) -> tuple[int, int] | None:
        """Remaining length of more than one byte and the body's start; None while the length itself is cut off."""
        length = 0
        for place in range(4):
            here = at + 1 + place
            if here >= end:
                self._needed = end - at + 1
                return None
            length |= (data[here] & 0x7F) << 7 * place
            if data[here] < 0x80:
                return length, here + 1
        self.violation = ProtocolViolation(Reason.MALFORMED, "remaining length is longer than four bytes")
        return None
