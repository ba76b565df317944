"""A small RTSP server for simulated cameras: looped video over RTP interleaved in the RTSP connection.

Enough of RFC 2326 for every client that asks for TCP; digest log-in and UDP are left to real cameras. A stream can be
told to stall, to freeze, to drop its viewers, to send garbage or another clip, as real cameras do.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import math
import random
import struct
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from smartsite.demo.clip import CLOCK_HZ, Clip, framed_noise

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Stream:
    """A clip under a path, and how it behaves at the moment. Another clip may take its place at any time: whoever
    watches goes on with that one's first picture, as with a camera whose encoder was set anew."""

    clip: Clip
    login: tuple[str, str] | None = None
    """User and password; None: open to all."""
    stalled: bool = False
    """Connections stay, nothing is sent."""
    since: float | None = None
    """The event loop's time at which the clip began: viewers join where it is, at its next key frame. None: every
    viewer sees it from its start."""
    frozen: bool = False
    """The last key frame comes again and again in place of every picture."""
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
            return "200 OK", [], stream.clip.description()
        if method == "SETUP":
            if "interleaved" not in headers.get("transport", ""):
                return "461 Unsupported Transport", [], ""
            self._stream = stream
            return "200 OK", ["Transport: RTP/AVP/TCP;unicast;interleaved=0-1", "Session: 1;timeout=60"], ""
        if method in ("PLAY", "GET_PARAMETER", "TEARDOWN"):
            return "200 OK", ["Session: 1"], ""
        return "405 Method Not Allowed", [], ""

    async def _play(self, stream: Stream) -> None:
        """Send the clip for ever at its own pace, from a key frame with its parameter sets."""
        stream.viewers.add(self._writer)
        loop = asyncio.get_running_loop()
        clip, index, held, sequence, stamp = stream.clip, 0, 0, 0, 0
        due = loop.time()
        if stream.since is not None:
            shown = math.ceil((due - stream.since) * clip.fps)
            index = clip.key_after(shown % len(clip.pictures))
            due = stream.since + (shown + (index - shown) % len(clip.pictures)) / clip.fps
        while True:
            await asyncio.sleep(max(0.0, due - loop.time()))
            if stream.clip is not clip:
                clip, index, held = stream.clip, 0, 0
            due += 1 / clip.fps
            stamp += round(CLOCK_HZ / clip.fps)
            if not stream.frozen:
                held = clip.key_before(index)
            framed = clip.framed(held if stream.frozen else index)
            index = (index + 1) % len(clip.pictures)
            if stream.stalled:
                continue
            if stream.garbage:
                framed = framed_noise(framed, random.randbytes(len(framed.data)))
            # One write a picture: a system call for each packet would be most of what serving costs.
            self._writer.write(framed.at(sequence, stamp))
            sequence += len(framed.offsets)
            await self._writer.drain()


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
