"""paho in the event loop: connects, reads, writes and keeps alive one session at a broker.

With its own thread paho would compete with the event loop for the interpreter at every message; here both take turns.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from paho.mqtt.client import Client

from core.clock import Clock
from ingest.message import Message
from ingest.mqtt.packets import VERSION_5, PacketType, Publish, puback
from ingest.sources.broker_stream import Stream, StreamClient

logger = logging.getLogger(__name__)

KEEP_ALIVE_S = 30
_FIRST_DELAY_S, _LAST_DELAY_S = 1.0, 30.0
_LOOK_S = 1.0
_PINGREQ = bytes((PacketType.PINGREQ << 4, 0))


class Link:
    """One connection to the broker. Messages are acknowledged on the connection they came by, or not at all: the
    broker sends what is unacknowledged again, and its packet identifiers may mean something else by then."""

    def __init__(self, session: Session, stream: Stream) -> None:
        self._session = session
        self._stream = stream

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Send PUBACKs."""
        if self._session.current is self._stream:
            self._stream.send(b"".join([puback(VERSION_5, message.packet_id, 0) for message in messages]))
            self._session.flush()


class Session:
    """Keeps `client`, which has been given its address by `connect_async`, connected. Belongs to one event loop.

    `take` gets the packets of each read with the link that acknowledges them.
    """

    def __init__(self, client: StreamClient, *, take: Callable[[Link, list[Publish]], None], clock: Clock) -> None:
        self._client = client
        self._take = take
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._closed = asyncio.Event()
        self._reading = False
        self._paused = False
        self._accepted = False
        self._pinged = clock.monotonic()
        self._link: Link | None = None
        self.current: Stream | None = None
        # Called in the thread that connects, too.
        client.on_socket_register_write = self._on_outgoing
        client.on_socket_close = self._on_close

    async def run(self) -> None:
        """Connect, and again whenever the connection is lost, until cancelled."""
        delay = _FIRST_DELAY_S
        while True:
            self._closed.clear()
            try:
                await self._loop.run_in_executor(None, self._client.reconnect)
            except (OSError, ValueError) as error:
                logger.warning("the broker is away, trying again", extra={"error": str(error)})
            else:
                self.current = self._client.stream
                if self.current is not None:
                    self._link = Link(self, self.current)
                self._resume()
                self.flush()
                await self._attend()
                if self._accepted:
                    self._accepted, delay = False, _FIRST_DELAY_S
            await self._clock.sleep(delay)
            delay = min(delay * 2, _LAST_DELAY_S)

    async def _attend(self) -> None:
        """Look after keep-alive until the connection is closed."""
        while self.current is not None:
            try:
                async with asyncio.timeout(_LOOK_S):
                    await self._closed.wait()
            except TimeoutError:
                self._keep_alive()

    def accepted(self) -> None:
        """The broker has taken the connection: when it is lost, the next attempt comes soon."""
        self._accepted = True

    def pause(self) -> None:
        """Read no more; the connection is kept alive all the same."""
        self._paused = True
        self._stop_reading()

    def resume(self) -> None:
        """Read again."""
        self._paused = False
        self._resume()

    def disconnect(self) -> None:
        """Say good-bye and close; the session stays at the broker."""
        self._client.disconnect()
        self.flush()

    def flush(self) -> None:
        """Send what paho and the links have to send; the rest when the broker reads again."""
        stream = self.current
        if stream is None:
            return
        self._client.loop_write()
        if self.current is not stream:
            return  # it was a DISCONNECT
        self._loop.remove_writer(stream.fileno())
        if not stream.flush():
            self._loop.add_writer(stream.fileno(), self.flush)
        if stream.for_paho and not self._paused:
            self._loop.call_soon(self._on_readable)

    def _resume(self) -> None:
        if self.current is not None and not self._reading and not self._paused:
            self._reading = True
            self._loop.add_reader(self.current.fileno(), self._on_readable)
            # What TLS has decrypted already wakes nobody.
            self._loop.call_soon(self._on_readable)

    def _stop_reading(self) -> None:
        if self.current is not None and self._reading:
            self._loop.remove_reader(self.current.fileno())
        self._reading = False

    def _on_readable(self) -> None:
        stream = self.current
        if stream is None or self._paused:
            return
        published, link = stream.read(), self._link
        while self.current is stream and stream.for_paho:
            self._client.loop_read()
        if published and link is not None:
            self._take(link, published)

    def _keep_alive(self) -> None:
        if not self._paused:
            self._client.loop_misc()
        elif self.current is not None and self._clock.monotonic() - self._pinged >= KEEP_ALIVE_S / 2:
            # paho would miss the answers, which nobody reads now.
            self._pinged = self._clock.monotonic()
            self.current.send(_PINGREQ)
            self.flush()

    def _on_outgoing(self, _client: Client, _data: object, _stream: object) -> None:
        self._loop.call_soon_threadsafe(self.flush)

    def _on_close(self, _client: Client, _data: object, _stream: object) -> None:
        stream, self.current = self.current, None
        if stream is not None:
            self._loop.remove_reader(stream.fileno())
            self._loop.remove_writer(stream.fileno())
        self._reading = False
        self._closed.set()
