"""What a capture process has to say, on its way to the owner."""

from __future__ import annotations

import os
import threading

from vision import wire
from vision.heap import give_back
from vision.waiting import Waiting


class Outbox:
    """Hands messages to the owner from a thread of its own; of pictures only the newest waits.

    A slow owner costs pictures, never the reading of the stream.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._ready = threading.Condition()
        self._messages: list[tuple[wire.Message, bytes]] = []
        self._picture: tuple[wire.Picture, bytes] | None = None
        self._figures: wire.Figures | None = None
        self._segments: Waiting[tuple[wire.Message, bytes]] = Waiting()
        self.skipped = 0
        threading.Thread(target=self._run, daemon=True, name="outbox").start()

    def status(self, status: wire.Status) -> None:
        """Tell a change of state; none is ever left out."""
        with self._ready:
            self._messages.append((status, b""))
            self._ready.notify()

    def full(self, full: wire.Full, planes: bytes) -> None:
        """Hand over a picture in full size that was asked for."""
        with self._ready:
            self._messages.append((full, planes))
            self._ready.notify()

    def clip(self, clip: wire.Clip, mp4: bytes) -> None:
        """Hand over a clip that was asked for."""
        with self._ready:
            self._messages.append((clip, mp4))
            self._ready.notify()

    def segment(self, segment: wire.Segment, mp4: bytes) -> None:
        """Hand over a piece of the video; where too much waits, some are left out up to the next key frame."""
        with self._ready:
            self._segments.put((segment, mp4), kind=segment.kind, key=segment.key, size=len(mp4))
            self._ready.notify()

    def picture(self, picture: wire.Picture, planes: bytes) -> None:
        """Tell a picture; one that still waits is replaced."""
        with self._ready:
            self.skipped += self._picture is not None
            self._picture = (picture, planes)
            self._ready.notify()

    def figures(self, figures: wire.Figures) -> None:
        """Tell the counts; older ones that still wait are replaced."""
        with self._ready:
            self._figures = figures
            self._ready.notify()

    def _waits(self) -> bool:
        return bool(self._messages or self._picture or self._figures or self._segments)

    def _run(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(self._waits)
                batch = self._messages + self._segments.take()
                if self._picture is not None:
                    batch.append(self._picture)
                if self._figures is not None:
                    batch.append((self._figures, b""))
                self._messages, self._picture, self._figures = [], None, None
            cut = any(isinstance(message, wire.Clip) for message, _ in batch)
            while batch:
                message, payload = batch.pop(0)
                self._write(wire.head(message, len(payload)))
                self._write(payload)
            if cut:
                del payload
                give_back()

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._descriptor, view) :]
            except BrokenPipeError:
                os._exit(0)  # the owner is gone
