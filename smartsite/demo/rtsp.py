"""A small RTSP server for simulated cameras: looped H.264 over RTP interleaved in the RTSP connection.

Enough of RFC 2326 and RFC 6184 for every client that asks for TCP; digest log-in and UDP are left to real cameras.
A stream can be told to stall, to drop its viewers or to send garbage, as real cameras do.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import logging
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

logger = logging.getLogger(__name__)

_CLOCK_HZ = 90_000  # of video over RTP
_PAYLOAD_TYPE = 96
_MTU = 1400
_START_CODE = b"\x00\x00\x01"
_KEY, _SPS, _PPS = 5, 7, 8


@dataclass(frozen=True, slots=True)
class Clip:
    """Encoded pictures, to be shown again and again: each a list of NAL units without start codes."""

    fps: float
    pictures: tuple[tuple[bytes, ...], ...]

    @classmethod
    def from_annex_b(cls, fps: float, pictures: list[bytes]) -> Clip:
        """From pictures in Annex B form, as encoders give them."""
        return cls(fps, tuple(tuple(_units(picture)) for picture in pictures))

    @property
    def duration_s(self) -> float:
        """Seconds of one showing."""
        return len(self.pictures) / self.fps

    def turned(self, seconds: float) -> Clip:
        """The same round begun elsewhere: at the first key frame at or behind `seconds`."""
        start = round(seconds * self.fps) % len(self.pictures)
        keys = [n for n, units in enumerate(self.pictures) if any(unit[0] & 31 == _KEY for unit in units)]
        start = next((key for key in keys if key >= start), 0)
        return Clip(self.fps, self.pictures[start:] + self.pictures[:start])

    def parameter_sets(self) -> tuple[bytes, bytes]:
        """The first sequence and picture parameter set."""
        units = {unit[0] & 31: unit for unit in reversed(list(itertools.chain.from_iterable(self.pictures)))}
        return units[_SPS], units[_PPS]


@dataclass(slots=True)
class Stream:
    """A clip under a path, and how it behaves at the moment."""

    clip: Clip
    login: tuple[str, str] | None = None
    """User and password; None: open to all."""
    stalled: bool = False
    """Connections stay, nothing is sent."""
    garbage: bool = False
    """Packets carry noise in place of video."""
    refused: bool = False
    """New viewers are told that there is no such stream."""
    viewers: set[asyncio.StreamWriter] = field(default_factory=set)

    def drop(self) -> None:
        """Cut every viewer's connection."""
        for viewer in self.viewers:
            viewer.transport.abort()


class RtspServer:
    """Serves streams by path; `async with` or `start` and `close`."""

    def __init__(self, streams: dict[str, Stream]) -> None:
        """`streams` by path without its slash."""
        self.streams = streams
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> None:
        """Listen; `port` 0 takes a free one, `self.port` tells which."""
        self._server = await asyncio.start_server(self._connected, host, port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and let go of every viewer."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await _Session(self.streams, reader, writer).run()
        except (ConnectionError, asyncio.IncompleteReadError, ValueError) as error:
            logger.debug("viewer left", extra={"error": str(error)})
        finally:
            self._tasks.discard(task)
            writer.transport.abort()


class _Session:
    """One RTSP connection."""

    def __init__(self, streams: dict[str, Stream], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._streams = streams
        self._reader = reader
        self._writer = writer
        self._stream: Stream | None = None
        self._player: asyncio.Task[None] | None = None

    async def run(self) -> None:
        try:
            while await self._answer():
                pass
        finally:
            if self._stream is not None:
                self._stream.viewers.discard(self._writer)
            if self._player is not None:
                self._player.cancel()
                await asyncio.gather(self._player, return_exceptions=True)

    async def _answer(self) -> bool:
        """Deal with one request; False at the end of the connection."""
        first = await self._reader.readexactly(1)
        if first == b"$":  # a receiver report on the interleaved channel
            _, size = struct.unpack(">BH", await self._reader.readexactly(3))
            await self._reader.readexactly(size)
            return True
        text = (first + await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request, *lines = text.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        method, url, _ = request.split(" ", 2)
        path = unquote(urlsplit(url).path).strip("/").removesuffix("/track")
        status, extra, body = self._respond(method, path, headers)
        lines = [f"RTSP/1.0 {status}", f"CSeq: {headers.get('cseq', '0')}", *extra]
        if body:
            lines += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
        await self._writer.drain()
        if method == "PLAY" and status.startswith("200") and self._stream is not None and self._player is None:
            self._player = asyncio.create_task(self._play(self._stream))
        return method != "TEARDOWN"

    def _respond(self, method: str, path: str, headers: dict[str, str]) -> tuple[str, list[str], str]:
        """Status line, extra headers and body."""
        if method == "OPTIONS":
            return "200 OK", ["Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER"], ""
        stream = self._streams.get(path)
        if stream is None or stream.refused:
            return "404 Not Found", [], ""
        if stream.login is not None and headers.get("authorization") != _basic(*stream.login):
            return "401 Unauthorized", ['WWW-Authenticate: Basic realm="camera"'], ""
        if method == "DESCRIBE":
            return "200 OK", [], _sdp(stream.clip)
        if method == "SETUP":
            if "interleaved" not in headers.get("transport", ""):
                return "461 Unsupported Transport", [], ""
            self._stream = stream
            return "200 OK", ["Transport: RTP/AVP/TCP;unicast;interleaved=0-1", "Session: 1;timeout=60"], ""
        if method in ("PLAY", "GET_PARAMETER", "TEARDOWN"):
            return "200 OK", ["Session: 1"], ""
        return "405 Method Not Allowed", [], ""

    async def _play(self, stream: Stream) -> None:
        """Send the clip for ever at its own pace."""
        stream.viewers.add(self._writer)
        loop = asyncio.get_running_loop()
        started, sequence = loop.time(), 0
        # Every viewer begins at the clip's start, with its key frame and parameter sets.
        for index, units in enumerate(itertools.cycle(stream.clip.pictures)):
            await asyncio.sleep(max(0.0, started + index / stream.clip.fps - loop.time()))
            if stream.stalled:
                continue
            stamp = int(index * _CLOCK_HZ / stream.clip.fps) & 0xFFFFFFFF
            sent = [random.randbytes(len(unit)) for unit in units] if stream.garbage else units
            packets = [packet for unit in sent for packet in _fragments(unit)]
            for number, packet in enumerate(packets, 1):
                marker = 0x80 if number == len(packets) else 0
                header = struct.pack(">BBHII", 0x80, marker | _PAYLOAD_TYPE, sequence, stamp, 0x5175)
                self._writer.write(struct.pack(">cBH", b"$", 0, len(header) + len(packet)) + header + packet)
                sequence = (sequence + 1) & 0xFFFF
            await self._writer.drain()


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _sdp(clip: Clip) -> str:
    sps, pps = clip.parameter_sets()
    sets = ",".join(base64.b64encode(unit).decode() for unit in (sps, pps))
    lines = [
        "v=0",
        "o=- 0 0 IN IP4 127.0.0.1",
        "s=camera",
        "t=0 0",
        "a=control:*",
        f"m=video 0 RTP/AVP {_PAYLOAD_TYPE}",
        f"a=rtpmap:{_PAYLOAD_TYPE} H264/{_CLOCK_HZ}",
        f"a=fmtp:{_PAYLOAD_TYPE} packetization-mode=1;profile-level-id={sps[1:4].hex()};sprop-parameter-sets={sets}",
        f"a=framerate:{clip.fps:g}",
        "a=control:track",
    ]
    return "\r\n".join(lines) + "\r\n"


def _units(picture: bytes) -> Iterator[bytes]:
    """NAL units of a picture in Annex B form."""
    for part in picture.split(_START_CODE):
        # A start code of four bytes leaves its first zero at the end of the unit before.
        unit = part.rstrip(b"\x00")
        if unit:
            yield unit


def _fragments(unit: bytes) -> Iterator[bytes]:
    """RTP payloads of a NAL unit: itself, or FU-A fragments (RFC 6184, 5.8)."""
    if len(unit) <= _MTU:
        yield unit
        return
    indicator, kind = (unit[0] & 0xE0) | 28, unit[0] & 0x1F
    body = unit[1:]
    size = _MTU - 2
    for start in range(0, len(body), size):
        first, last = start == 0, start + size >= len(body)
        yield bytes((indicator, (first << 7) | (last << 6) | kind)) + body[start : start + size]
