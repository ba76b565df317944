"""Video on its way to those who watch: messages, and where a new viewer begins.

A message is a uint32 (little-endian), the length of a header, the header as JSON, and a payload. The header's `kind`:

* `init`: the payload begins an MP4. `codec` as browsers name it, `width`, `height`.
* `fragment`: the payload goes on with it. `key`: a player may begin here; `time`: when its first picture arrived,
  milliseconds since the epoch; `at`: seconds of that picture in the MP4.
* `boxes`: what the detector saw in the picture of `time`; `boxes` as in vision.live.
* `none`: no video will come, as `codec` does not play in browsers.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec

from vision import wire
from vision.waiting import MOST_BYTES, Waiting

_encoder = msgspec.json.Encoder()


def message(header: dict[str, Any], payload: bytes) -> bytes:
    """Header and payload in one."""
    text = _encoder.encode(header)
    return struct.pack("<I", len(text)) + text + payload


def segment_message(segment: wire.Segment, mp4: bytes) -> bytes:
    """The message of a piece of video."""
    header: dict[str, Any] = {"kind": segment.kind}
    match segment.kind:
        case "init":
            header |= {"codec": segment.codec, "width": segment.width, "height": segment.height}
        case "fragment":
            header |= {"key": segment.key, "time": segment.time // 1000, "at": segment.at}
        case "none":
            header |= {"codec": segment.codec}
    return message(header, mp4)


class Watcher:
    """One who watches a feed; `ready` is set whenever something waits."""

    def __init__(self, ready: asyncio.Event) -> None:
        self.waiting: Waiting[bytes] = Waiting()
        self.ready = ready


class VideoFeed:
    """Hands messages to whoever watches; who comes later begins with the newest key frame."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        """`on_change` is called when somebody comes or leaves."""
        self._on_change = on_change
        self._watchers: set[Watcher] = set()
        self._begin: list[tuple[str, bool, bytes]] = []

    @property
    def watched(self) -> bool:
        """Whether anybody watches."""
        return bool(self._watchers)

    def join(self, ready: asyncio.Event) -> Watcher:
        """A new watcher; it must `leave`."""
        watcher = Watcher(ready)
        for kind, key, data in self._begin:
            watcher.waiting.put(data, kind=kind, key=key, size=len(data))
        if watcher.waiting:
            ready.set()
        self._watchers.add(watcher)
        self._on_change()
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """The watcher has gone."""
        self._watchers.discard(watcher)
        if not self._watchers:
            self._begin = []
        self._on_change()

    @contextlib.contextmanager
    def watch(self) -> Iterator[Callable[[], Awaitable[bytes]]]:
        """Join for the time of the block; gives a function that waits for the next message."""
        watcher, taken = self.join(asyncio.Event()), deque[bytes]()

        async def following() -> bytes:
            while not taken:
                await watcher.ready.wait()
                watcher.ready.clear()
                taken.extend(watcher.waiting.take())
            return taken.popleft()

        try:
            yield following
        finally:
            self.leave(watcher)

    def publish(self, data: bytes, *, kind: str, key: bool = False) -> None:
        """Give a message to every watcher."""
        self._remember(data, kind, key)
        for watcher in self._watchers:
            watcher.waiting.put(data, kind=kind, key=key, size=len(data))
            watcher.ready.set()

    def _remember(self, data: bytes, kind: str, key: bool) -> None:
        """Keep what a new watcher needs: the MP4's beginning and the pictures since the newest key frame."""
        if not self._watchers:
            return
        if kind in ("init", "none", "away"):
            self._begin = []
        elif kind == "picture":
            self._begin = [one for one in self._begin if one[0] == "init"]
        elif kind != "fragment":
            return
        elif key:
            self._begin = self._begin[:1]
        elif len(self._begin) < 2:  # no key frame yet, or more since than is kept
            return
        self._begin.append((kind, key, data))
        if sum(len(one) for _, _, one in self._begin) > MOST_BYTES:
            self._begin = self._begin[:1]
