"""The owner's end of a capture process: starts it, listens, and starts it again when it dies or hangs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from core.child import Child, child
from core.clock import Clock
from vision import wire

logger = logging.getLogger(__name__)

_BUFFER = 512 << 10  # small, so that pictures wait in the process, where newer ones replace them
_PATIENCE_S = 10.0  # beyond the time-outs that the process keeps by itself
_FIRST_DELAY, _LAST_DELAY = 1.0, 15.0
_HEALTHY_S = 60.0

Handler = Callable[[wire.Message, bytes], Awaitable[None]]


class CaptureClient:
    """One camera's capture process."""

    def __init__(self, name: str, order: wire.Order, *, clock: Clock) -> None:
        """`name` for logs, e.g. `site/camera`."""
        self._name = name
        self._order = order
        self._clock = clock
        self._pace = order.pace
        self._streams = False
        self._quiet_until = 0.0
        self._process: Child | None = None

    @property
    def pid(self) -> int | None:
        """Of the running process."""
        return self._process.pid if self._process is not None else None

    def ask(self, pace: wire.Pace) -> None:
        """Want pictures at another pace from now on."""
        if pace != self._pace:
            self._pace = pace
            self._send(wire.line(pace))

    def stream(self, *, on: bool) -> None:
        """Want the encoded video from now on, or no more."""
        if on != self._streams:
            self._streams = on
            self._send(wire.line(wire.Stream(on)))

    def moved(self, quiet_s: float) -> None:
        """Somebody moves the camera: another view is no fault for so long."""
        self._quiet_until = self._clock.monotonic() + quiet_s
        self._send(wire.line(wire.Moved(quiet_s)))

    def cut(self, cut: wire.Cut) -> None:
        """Want a clip. A process that dies before it is cut never answers."""
        self._send(wire.line(cut))

    def want(self, want: wire.Want) -> None:
        """Ask for a picture in full size; its answer is a `wire.Full`, unless the process ends before."""
        self._send(wire.line(want))

    async def run(self, handle: Handler) -> None:
        """Give every message to `handle`, in order, until cancelled. The process waits while `handle` works."""
        delay = _FIRST_DELAY
        while True:
            began = self._clock.monotonic()
            fault: wire.Reason = ""
            async with self._started() as output:
                while not fault:
                    try:
                        async with asyncio.timeout(self._patience_s):
                            message, payload = await _receive(output)
                    except asyncio.IncompleteReadError:
                        fault = "capture_died"
                    except TimeoutError:
                        fault = "capture_hung"
                    else:
                        await handle(message, payload)
            logger.error("capture process failed, starting it again", extra={"camera": self._name, "fault": fault})
            text = "the process that reads the camera ended" if fault == "capture_died" else "it no longer answers"
            await handle(wire.Status(state="broken", reason=fault, message=text), b"")
            if self._clock.monotonic() - began > _HEALTHY_S:
                delay = _FIRST_DELAY
            await self._clock.sleep(delay)
            delay = min(delay * 2, _LAST_DELAY)

    @property
    def _patience_s(self) -> float:
        return self._order.open_timeout_s + self._order.read_timeout_s + _PATIENCE_S

    @contextlib.asynccontextmanager
    async def _started(self) -> AsyncIterator[asyncio.StreamReader]:
        """A fresh process with its order given; it is gone when the block ends, whatever it hangs in."""
        async with child("vision.capture", limit=_BUFFER) as process:
            self._process = process
            try:
                self._send(wire.line(self._order))
                self._send(wire.line(self._pace))
                self._send(wire.line(wire.Stream(self._streams)))
                if (left := self._quiet_until - self._clock.monotonic()) > 0:
                    self._send(wire.line(wire.Moved(left)))
                yield process.answers
            finally:
                self._process = None

    def _send(self, line: bytes) -> None:
        if self._process is not None:
            self._process.orders.write(line)


async def _receive(output: asyncio.StreamReader) -> tuple[wire.Message, bytes]:
    """The next message; IncompleteReadError where the process has ended."""
    head_bytes, payload_bytes = wire.lengths(await output.readexactly(wire.LENGTHS_BYTES))
    text = await output.readexactly(head_bytes)
    return wire.message(text), await output.readexactly(payload_bytes)
