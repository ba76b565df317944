"""One TCP connection of a device, whatever it speaks: not read while something blocks it, ended when it is overdue."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from enum import IntFlag
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from ingest.tcp import Server

CLOSE_TIMEOUT_S = 5.0
"""Seconds that a peer has to take the last bytes before the connection is cut."""
UNREAD_TIMEOUT_S = 60.0
"""Seconds that a peer may leave our answers unread once the socket takes no more of them."""


class Block(IntFlag):
    """Why nothing is read from a connection at the moment."""

    CHECKING = 1
    WINDOW = 2
    PRESSURE = 4
    WRITING = 8
    RATE = 16


class Link(asyncio.Protocol, ABC):
    """One connection: reads only while nothing blocks it, and is ended when it makes others wait."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._blocks = Block(0)
        self._closing = False
        self._since = self._heard = self._blocked_at = server.clock.monotonic()
        self._partial: float | None = None  # since when something has begun that is not complete
        self._unread: float | None = None  # since when the peer takes no more of what is written
        self.peer = ""

    # -- asyncio.Protocol ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the interface of asyncio.Transport without being one.
        self._transport = cast("asyncio.Transport", transport)
        name = transport.get_extra_info("peername")
        if name:  # a peer that is gone already has none
            self.peer = str(name[0])
        if self._closing or not self._server.admit(self):
            self._abort()
        elif self._server.pressure:
            self._block(Block.PRESSURE)

    def data_received(self, data: bytes) -> None:
        self._heard = self._server.clock.monotonic()
        if self._blocks and self._transport is not None:
            # uvloop reads after connection_made whatever that has paused.
            self._transport.pause_reading()
        self._take_in(data)

    def pause_writing(self) -> None:
        # A peer that does not read its acknowledgements gets no more of them to cause.
        self._unread = self._server.clock.monotonic()
        self._block(Block.WRITING)

    def resume_writing(self) -> None:
        self._unread = None
        self._unblock(Block.WRITING)

    # -- for the server -----------------------------------------------------------------------------------------------

    @property
    def is_closing(self) -> bool:
        """Whether the connection has ended or is about to."""
        return self._closing

    def press(self, *, pressure: bool) -> None:
        """Stop reading while the writer is behind, go on when it has caught up."""
        (self._block if pressure else self._unblock)(Block.PRESSURE)

    def check(self, now: float) -> None:
        """End what is overdue at the monotonic time `now`."""
        if self._closing:
            if now - self._since > CLOSE_TIMEOUT_S:
                self._abort()
        elif self._unread is not None and now - self._unread > UNREAD_TIMEOUT_S:
            self._server.tell(self, "answers_unread", f"answers were not read for {UNREAD_TIMEOUT_S:.0f} s")
            self._abort()
        elif not self._blocks:
            self.overdue(now)  # while nothing is read, silence is ours and not the peer's

    @abstractmethod
    def overdue(self, now: float) -> None:
        """End the connection where it was read all along and owes us something."""

    @abstractmethod
    def stop(self) -> None:
        """End the connection since the server goes down."""

    @abstractmethod
    def describe(self) -> str:
        """The devices behind the connection, for the log."""

    # -- for the protocols --------------------------------------------------------------------------------------------

    @abstractmethod
    def _take_in(self, data: bytes) -> None:
        """Bytes have come; deal with them unless something blocks."""

    @abstractmethod
    def _work_on(self) -> None:
        """Deal with what was read and has waited."""

    def _note_partial(self, *, pending: bool, progress: bool) -> None:
        """Something incomplete is held, and whether anything became complete since the last call."""
        if not pending:
            self._partial = None
        elif progress or self._partial is None:
            self._partial = self._heard

    def _write(self, data: bytes) -> None:
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _shut(self) -> None:
        """Send what is written, then end."""
        self._closing = True
        self._since = self._server.clock.monotonic()
        if self._transport is not None:
            self._transport.close()

    def _abort(self) -> None:
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    def _block(self, block: Block) -> None:
        if not self._blocks:
            self._blocked_at = self._server.clock.monotonic()
            if self._transport is not None and not self._transport.is_closing():
                self._transport.pause_reading()
        self._blocks |= block

    def _unblock(self, block: Block) -> None:
        had, self._blocks = self._blocks, self._blocks & ~block
        if not had or self._blocks or self._closing:
            return
        self._heard = self._server.clock.monotonic()
        self._since += self._heard - self._blocked_at
        if self._partial is not None:
            self._partial = self._heard
        self._work_on()
        if not self._blocks and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
