"""The clips that were asked of a camera's stream: noted, cut when their time has passed, handed out."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, Protocol

import av
import av.error

from vision import wire
from vision.ring import PacketRing


class Outlet(Protocol):
    """Where clips go."""

    def clip(self, clip: wire.Clip, mp4: bytes) -> None:
        """Hand over one."""
        ...


class Clips:
    """Cuts clips from the ring of one camera. `want` may be called from any thread, all else from the reading one."""

    def __init__(self, ring: PacketRing, outlet: Outlet) -> None:
        self._ring = ring
        self._outlet = outlet
        self._lock = threading.Lock()
        self._wanted: list[wire.Cut] = []

    def want(self, cut: wire.Cut) -> None:
        """Note a clip; what it needs of the stream is kept until then."""
        with self._lock:
            self._wanted.append(cut)

    @contextlib.contextmanager
    def of(self, stream: av.VideoStream) -> Iterator[None]:
        """Keep this stream; at its end clips that are still waited for are cut as they are."""
        self._ring.begin(stream)
        try:
            yield
        finally:
            self._cut(None)
            self._ring.end()

    def take(self, packet: av.Packet[Any], now: int) -> None:
        """The next packet of the stream, arrived at `now` (microseconds since the epoch)."""
        with self._lock:
            needed = min((cut.since for cut in self._wanted), default=None)
        self._ring.add(packet, now, needed_from=needed)
        if needed is not None:
            self._cut(now)

    def give_up(self) -> None:
        """There is no stream now: answer what was asked for meanwhile with nothing."""
        self._cut(None)

    def _cut(self, now: int | None) -> None:
        """Answer what is over at `now`, or everything."""
        with self._lock:
            due = [cut for cut in self._wanted if now is None or cut.until <= now]
            self._wanted = [cut for cut in self._wanted if cut not in due]
        for cut in due:
            try:
                cutting = self._ring.cut(cut.since, cut.until)
            except av.error.FFmpegError as error:
                self._outlet.clip(wire.Clip(id=cut.id, reason=f"the video does not fit into an MP4: {error}"), b"")
                continue
            if cutting is None:
                self._outlet.clip(wire.Clip(id=cut.id, reason="nothing of that time was kept"), b"")
            else:
                self._outlet.clip(wire.Clip(id=cut.id, first=cutting.first, last=cutting.last), cutting.mp4)
