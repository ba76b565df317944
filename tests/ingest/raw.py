"""A bare MQTT client of a few lines: says what no library would say, and shows every byte of the answer."""

from __future__ import annotations

import asyncio
import contextlib
from typing import ClassVar, NamedTuple

from tests.ingest.plant import SECRET


class Packet(NamedTuple):
    """A packet as it came: the upper four bits of its first byte, and its body."""

    kind: int
    body: bytes


def length(count: int) -> bytes:
    """A variable byte integer."""
    out = bytearray()
    while True:
        count, low = divmod(count, 128)
        out.append(low | (0x80 if count else 0))
        if not count:
            return bytes(out)


def text(value: str | bytes) -> bytes:
    """A length-prefixed string."""
    data = value.encode() if isinstance(value, str) else value
    return len(data).to_bytes(2, "big") + data


def packet(first: int, body: bytes) -> bytes:
    """A packet with its header."""
    return bytes((first,)) + length(len(body)) + body


def connect(
    version: int = 5,
    *,
    user: str | None = "A/d1",
    password: str | None = SECRET,
    client_id: str = "raw",
    keep_alive: int = 60,
    clean: bool = True,
    will: tuple[str, bytes] | None = None,
    properties: bytes = b"",
) -> bytes:
    """A CONNECT; the will has QoS 1."""
    flags = (0x02 if clean else 0) | (0x80 if user is not None else 0) | (0x40 if password is not None else 0)
    flags |= 0x0C if will else 0
    body = text("MQTT") + bytes((version, flags)) + keep_alive.to_bytes(2, "big")
    if version == 5:
        body += length(len(properties)) + properties
    body += text(client_id)
    if will:
        body += (b"\0" if version == 5 else b"") + text(will[0]) + text(will[1])
    if user is not None:
        body += text(user)
    if password is not None:
        body += text(password)
    return packet(0x10, body)


def publish(
    topic: str, payload: bytes, *, packet_id: int = 1, qos: int = 1, version: int = 5, properties: bytes = b""
) -> bytes:
    """A PUBLISH."""
    body = text(topic) + (packet_id.to_bytes(2, "big") if qos else b"")
    if version == 5:
        body += length(len(properties)) + properties
    return packet(0x30 | qos << 1, body + payload)


def subscribe(*filters: str, version: int = 5, packet_id: int = 7) -> bytes:
    """A SUBSCRIBE of QoS 1."""
    body = packet_id.to_bytes(2, "big") + (b"\0" if version == 5 else b"")
    return packet(0x82, body + b"".join(text(name) + b"\x01" for name in filters))


class RawClient:
    """A socket that reads packets. Clients are left as they are; a fixture closes what a test has opened."""

    opened: ClassVar[list[RawClient]] = []

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.opened.append(self)

    @classmethod
    async def close_all(cls) -> None:
        """Close every client opened so far."""
        while cls.opened:
            writer = cls.opened.pop().writer
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    @classmethod
    async def open(cls, port: int) -> RawClient:
        """Connect the socket only."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    @classmethod
    async def enter(cls, port: int, **options: object) -> RawClient:
        """Connect, and see that the endpoint accepts."""
        client = await cls.open(port)
        client.send(connect(**options))  # type: ignore[arg-type]
        answer = await client.packet()
        assert answer is not None
        assert answer.kind == 2
        assert answer.body[1] == 0, answer
        return client

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)

    async def packet(self, timeout: float = 10) -> Packet | None:
        """The next packet; None when the endpoint has closed the connection."""
        async with asyncio.timeout(timeout):
            try:
                first = (await self.reader.readexactly(1))[0]
                count, shift = 0, 0
                while True:
                    byte = (await self.reader.readexactly(1))[0]
                    count |= (byte & 0x7F) << shift
                    shift += 7
                    if byte < 0x80:
                        break
                return Packet(first >> 4, await self.reader.readexactly(count))
            except (asyncio.IncompleteReadError, ConnectionError):
                return None

    async def closed(self) -> bool:
        """Wait for the end of the connection, whatever comes before."""
        while await self.packet() is not None:
            pass
        return True

    async def close(self) -> None:
        """Cut the connection without a word."""
        self.writer.transport.abort()
        await asyncio.sleep(0)
