"""A small MQTT 3.1.1 listener that does as it is told: the other side of the simulator's tests."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from tests.support.ports import free_port

_CONNECT, _CONNACK, _PUBLISH, _PUBACK, _PINGREQ, _PINGRESP, _DISCONNECT = 1, 2, 3, 4, 12, 13, 14


@dataclass
class Listener:
    """Accepts who brings the right password; `acknowledge` False keeps PUBACKs back."""

    passwords: dict[str, str]
    acknowledge: bool = True
    welcome: asyncio.Event = field(default_factory=asyncio.Event)
    """CONNECT is answered while this is set, as it is at first."""
    knocks: int = 0
    port: int = 0
    messages: list[tuple[str, bytes]] = field(default_factory=list)
    wills: list[str] = field(default_factory=list)
    connected: set[str] = field(default_factory=set)
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.welcome.set()

    async def start(self) -> None:
        self.port = self.port or free_port()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def kill(self) -> None:
        """Go down as a killed process does."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()

    def payloads(self, leaf: str) -> list[bytes]:
        return [payload for topic, payload in self.messages if topic.endswith(f"/{leaf}")]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        user = ""
        polite = False
        try:
            while True:
                kind, body = await _packet(reader)
                if kind >> 4 == _CONNECT:
                    self.knocks += 1
                    await self.welcome.wait()
                    user, password = _credentials(body)
                    good = self.passwords.get(user) == password
                    writer.write(bytes((_CONNACK << 4, 2, 0, 0 if good else 5)))
                    if not good:
                        user = ""
                        return
                    self.connected.add(user)
                elif kind >> 4 == _PUBLISH:
                    size = int.from_bytes(body[:2])
                    self.messages.append((body[2 : 2 + size].decode(), body[4 + size :]))
                    if self.acknowledge:
                        writer.write(bytes((_PUBACK << 4, 2)) + body[2 + size : 4 + size])
                elif kind >> 4 == _PINGREQ:
                    writer.write(bytes((_PINGRESP << 4, 0)))
                elif kind >> 4 == _DISCONNECT:
                    polite = True
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self.connected.discard(user)
            if user and not polite:
                self.wills.append(user)
            self._writers.discard(writer)
            writer.close()


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    kind = (await reader.readexactly(1))[0]
    size = shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        size |= (byte & 0x7F) << shift
        if byte < 0x80:
            return kind, await reader.readexactly(size)
        shift += 7


def _credentials(body: bytes) -> tuple[str, str]:
    fields = []
    place = 10  # protocol name, level, flags, keep-alive
    while place < len(body):
        size = int.from_bytes(body[place : place + 2])
        fields.append(body[place + 2 : place + 2 + size].decode())
        place += 2 + size
    return fields[-2], fields[-1]
