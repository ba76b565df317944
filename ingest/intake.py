"""The queue between sources and writer: bounded by telling the sources to stop reading, never by dropping."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from ingest.message import Message


class Intake:
    """Messages that wait for the writer while it commits the batch before them.

    `put` never blocks and never refuses. Above `high` messages or `high_bytes` of payload the pressure callbacks are
    told to stop reading; below half of both they are told to go on.
    """

    def __init__(self, *, high: int, high_bytes: int) -> None:
        self._high = high
        self._high_bytes = high_bytes
        self._queue: deque[Message] = deque()
        self._bytes = 0
        self._arrival = asyncio.Event()
        self._pressure = False
        self._callbacks: list[Callable[[bool], None]] = []

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def oldest(self) -> int | None:
        """When the message arrived that waits longest; microseconds since the epoch, None where none waits."""
        return self._queue[0].arrived if self._queue else None

    @property
    def pressure(self) -> bool:
        """True while sources should not read."""
        return self._pressure

    def on_pressure(self, callback: Callable[[bool], None]) -> None:
        """Call with True when sources should stop reading, with False when they may go on."""
        self._callbacks.append(callback)

    def put(self, messages: Iterable[Message]) -> None:
        """Queue messages in order."""
        for message in messages:
            self._queue.append(message)
            self._bytes += len(message.payload)
        if self._queue:
            self._arrival.set()
        if not self._pressure and (len(self._queue) > self._high or self._bytes > self._high_bytes):
            self._tell(pressure=True)

    async def wait(self, timeout: float | None) -> bool:
        """Wait until something is queued or `timeout` seconds have gone; True when something is."""
        if self._queue:
            return True
        self._arrival.clear()
        try:
            async with asyncio.timeout(timeout):
                await self._arrival.wait()
        except TimeoutError:
            return False
        return bool(self._queue)

    def wake(self) -> None:
        """Let a waiting writer look around although nothing came."""
        self._arrival.set()

    def take(self, limit: int, limit_bytes: int) -> list[Message]:
        """The oldest messages: at most `limit` of them and, beyond the first, `limit_bytes` of payload."""
        taken: list[Message] = []
        size = 0
        queue = self._queue
        while queue and len(taken) < limit:
            size += len(queue[0].payload)
            if taken and size > limit_bytes:
                break
            taken.append(queue.popleft())
            self._bytes -= len(taken[-1].payload)
        if self._pressure and len(queue) <= self._high // 2 and self._bytes <= self._high_bytes // 2:
            self._tell(pressure=False)
        return taken

    def _tell(self, *, pressure: bool) -> None:
        self._pressure = pressure
        for callback in self._callbacks:
            callback(pressure)
