"""A platform that takes HJ 212, written from the standard and without any part of our codec."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from tests.support.ports import free_port

_FRAME = re.compile(r"##(\d{4})(.*)([0-9A-F]{4})", re.DOTALL)


def crc(data: bytes) -> str:
    """Annex A of HJ 212-2017."""
    register = 0xFFFF
    for byte in data:
        register = (register >> 8) ^ byte
        for _ in range(8):
            low = register & 1
            register >>= 1
            if low:
                register ^= 0xA001
    return f"{register:04X}"


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame whose header, length, checksum and tail were right; `items` are those of its CP section."""

    head: dict[str, str]
    items: dict[str, str]


def read(line: bytes) -> Frame:
    """Take a frame apart; an assertion tells what is wrong with it."""
    match = _FRAME.fullmatch(line.decode("ascii"))
    assert match is not None, line
    length, data, checksum = match.groups()
    assert int(length) == len(data), line
    assert len(data) <= 1024, len(data)
    assert crc(data.encode()) == checksum, line
    head, section = re.fullmatch(r"(.*?);CP=&&(.*)&&", data, re.DOTALL).groups()  # type: ignore[union-attr]
    assert len(section) <= 950
    pairs = [part.split("=", 1) for part in re.split("[;,]", section) if part]
    return Frame(dict(part.split("=", 1) for part in head.split(";")), dict(pairs))


def frame(data: str) -> bytes:
    """A frame around a data segment."""
    return f"##{len(data):04d}{data}{crc(data.encode())}\r\n".encode()


@dataclass
class Platform:
    """Keeps what it acknowledged. `mute` swallows so many frames; `refuse` is the QnRtn that it answers instead."""

    frames: list[Frame] = field(default_factory=list)
    heard: list[Frame] = field(default_factory=list)
    answers: list[Frame] = field(default_factory=list)
    mute: int = 0
    refuse: dict[str, int] = field(default_factory=dict)
    connections: int = 0
    ask: str = ""
    port: int = 0
    _server: asyncio.Server | None = None
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def start(self) -> None:
        self.port = self.port or free_port()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            if self.ask:
                writer.write(frame(self.ask))
            while True:
                line = (await reader.readuntil(b"\r\n")).removesuffix(b"\r\n")
                got = read(line)
                if got.head["ST"] == "91":
                    self.answers.append(got)
                    continue
                self.heard.append(got)
                if self.mute:
                    self.mute -= 1
                    continue
                head = got.head
                common = f"QN={head['QN']};ST=91;CN={{}};PW={head['PW']};MN={head['MN']};Flag=4;CP=&&{{}}&&"
                if head["MN"] in self.refuse:
                    writer.write(frame(common.format("9011", f"QnRtn={self.refuse[head['MN']]}")))
                else:
                    self.frames.append(got)
                    writer.write(frame(common.format("9014", "")))
        writer.close()

    def of(self, command: str, mn: str = "") -> list[Frame]:
        """Acknowledged frames of a command."""
        return [one for one in self.frames if one.head["CN"] == command and mn in ("", one.head["MN"])]


@contextlib.asynccontextmanager
async def platform() -> AsyncIterator[Platform]:
    """A platform on a free port."""
    made = Platform()
    await made.start()
    try:
        yield made
    finally:
        await made.stop()
