"""What paho takes for its socket: reads in large pieces, and keeps the readings that stream in to itself.

paho fetches a packet in four reads and makes some dozens of objects of it. For the PUBLISH packets of all devices that
is most of the cost of a message, so they are cut out of the stream here, by the code of the own endpoint, and
acknowledged here. All the rest of the session is paho's: connecting, subscribing, keep-alive, commands to devices.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import cast

from paho.mqtt.client import Client

from ingest.mqtt.framing import FIRST_OF_SERVER, Frame, Framer
from ingest.mqtt.packets import VERSION_5, PacketType, Publish, decode_publish
from ingest.mqtt.reasons import ProtocolViolation
from ingest.mqtt.wire import MAX_VARIABLE, variable

_CHUNK = 256 * 1024
_LARGEST = MAX_VARIABLE + 5  # what the broker lets pass is taken


class Stream:
    """A connected socket, plain or TLS. Never blocks."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._framer = Framer(_LARGEST, _LARGEST, FIRST_OF_SERVER)
        self._control = bytearray()
        self._out = bytearray()
        self._ended = False
        self._failure: OSError | None = None

    # -- for paho -----------------------------------------------------------------------------------------------------

    def recv(self, buffer_size: int) -> bytes:
        """Bytes of packets that are not PUBLISH."""
        if self._control:
            piece = bytes(self._control[:buffer_size])
            del self._control[:buffer_size]
            return piece
        if self._failure is not None:
            raise self._failure
        if self._ended:
            return b""
        raise BlockingIOError

    def send(self, buffer: bytes | bytearray) -> int:
        """Take bytes for the next `flush`, all of them."""
        self._out += buffer
        return len(buffer)

    def close(self) -> None:
        """Close, after a last attempt to send what is left."""
        with contextlib.suppress(OSError):
            self.flush()
        self._socket.close()

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._socket.fileno()

    def setblocking(self, flag: bool) -> None:
        """As of a socket."""
        self._socket.setblocking(flag)

    # -- for the event loop -------------------------------------------------------------------------------------------

    @property
    def for_paho(self) -> bool:
        """Whether paho has something to read: a packet, the end of the stream, or its failure."""
        return bool(self._control) or self._ended or self._failure is not None

    def read(self) -> list[Publish]:
        """Take what has arrived; returns the PUBLISH packets of it, keeps the others for paho."""
        published: list[Publish] = []
        while self._failure is None and not self._ended:
            try:
                data = self._socket.recv(_CHUNK)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            except OSError as error:
                self._failure = error
                break
            self._ended = not data
            try:
                for frame in self._framer.feed(data):
                    self._sort(frame, published)
                if self._framer.violation is not None:
                    raise self._framer.violation
            except ProtocolViolation as violation:
                self._failure = ConnectionAbortedError(f"the broker sent no MQTT: {violation.detail}")
            if not (isinstance(self._socket, ssl.SSLSocket) and self._socket.pending()):
                break
        return published

    def _sort(self, frame: Frame, published: list[Publish]) -> None:
        if frame.first >> 4 == PacketType.PUBLISH:
            published.append(decode_publish(*frame, VERSION_5))
            return
        self._control.append(frame.first)
        self._control += variable(frame.stop - frame.start)
        self._control += frame.data[frame.start : frame.stop]

    def flush(self) -> bool:
        """Send what was taken; True when all of it is gone, False when the peer does not read fast enough."""
        while self._out and self._failure is None:
            try:
                sent = self._socket.send(self._out)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return False
            except OSError as error:
                self._failure = error
            else:
                del self._out[:sent]
        return True


class StreamClient(Client):
    """paho's client on a Stream."""

    def _create_socket(self) -> Stream:
        # Where paho puts its own wrapper for WebSockets, too.
        return Stream(cast("socket.socket", super()._create_socket()))

    @property
    def stream(self) -> Stream | None:
        """The connection that is open, if one is."""
        return cast("Stream | None", self.socket())
