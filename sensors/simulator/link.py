"""A device's MQTT connection: paho driven by the event loop, so that one thread serves any number of devices.

paho keeps what was published until its PUBACK and sends it again after a reconnection; this class decides when to
connect, notices when the connection is gone, and can cut it as a power failure does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

logger = logging.getLogger(__name__)

_KEEPALIVE_S = 15
_CONNECT_S = 2.0  # connecting blocks the loop this long at most, where the other side does not even refuse
_CONNACK_S = 5.0
_FIRST_DELAY_S, _LAST_DELAY_S, _REFUSED_DELAY_S = 0.1, 2.0, 5.0
_IN_FLIGHT = 200
_ONLINE, _OFFLINE = b'{"online":true}', b'{"online":false}'


class Link:
    """One client. `run()` keeps it connected; `acknowledged(token)` is called for each PUBACK, in the event loop.

    With `hears` it listens to its command topic, on a session that the other side keeps while it is away.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        user: str,
        password: str,
        topic: str,
        acknowledged: Callable[[Any], None],
        hears: Callable[[bytes], None] | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._user = user
        self._topic = topic
        self._acknowledged = acknowledged
        self._hears = hears
        self._tokens: dict[int, Any] = {}  # by packet number, until the PUBACK
        self._connecting = False
        self._held: deque[tuple[bytes, Any, str]] = deque()
        self._powered = asyncio.Event()
        self._powered.set()
        self._answered = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()
        self._refused = False
        self._client = self._make_client(password)

    def _make_client(self, password: str) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._user,
            clean_session=self._hears is None,
            reconnect_on_failure=False,
        )
        client.username_pw_set(self._user, password)
        client.will_set(f"{self._topic}/status", _OFFLINE, qos=1, retain=True)
        client.max_inflight_messages_set(_IN_FLIGHT)
        client.connect_timeout = _CONNECT_S
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._on_register_write
        client.on_socket_unregister_write = self._on_unregister_write
        return client

    @property
    def connected(self) -> bool:
        """Whether the other side has accepted us and is still there."""
        return self._answered.is_set() and not self._ended.is_set()

    def publish(self, payload: bytes, token: Any, leaf: str = "telemetry") -> None:
        """Send something, now or as soon as there is a connection; its PUBACK is told with `token`.

        MQTT has 65,535 packet numbers: the caller keeps well below so many unacknowledged messages.
        """
        if self._connecting:
            # On a socket that has no CONNACK yet paho would send it ahead of what it has to send again.
            self._held.append((payload, token, leaf))
        else:
            self._send(payload, token, leaf)

    def _send(self, payload: bytes, token: Any, leaf: str) -> None:
        self._tokens[self._client.publish(f"{self._topic}/{leaf}", payload, qos=1).mid] = token

    def cut(self) -> None:
        """Lose power: the connection breaks without a word, and none is made until `restore`."""
        self._powered.clear()
        self._sever()

    def restore(self) -> None:
        """Have power again."""
        self._powered.set()

    async def run(self) -> None:
        """Connect, and again whenever the connection is lost; ends when it is cancelled."""
        delay = _FIRST_DELAY_S
        while True:
            await self._powered.wait()
            if await self._connect():
                delay = _FIRST_DELAY_S
                await self._until_ended()
            await asyncio.sleep(_REFUSED_DELAY_S if self._refused else delay)
            delay = min(2 * delay, _LAST_DELAY_S)

    async def close(self, timeout_s: float) -> None:
        """Say good-bye: status, DISCONNECT. To be called when `run` has ended."""
        if self.connected:
            self._client.publish(f"{self._topic}/status", _OFFLINE, qos=1, retain=True)
            self._client.disconnect()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._ended.wait()
        self._sever()

    async def _connect(self) -> bool:
        self._connecting = True
        try:
            return await self._until_answered()
        finally:
            self._connecting = False
            while self._held:
                self._send(*self._held.popleft())

    async def _until_answered(self) -> bool:
        self._answered.clear()
        self._ended.clear()
        self._refused = False
        try:
            self._client.connect(self._host, self._port, keepalive=_KEEPALIVE_S)
        except OSError as error:
            logger.debug("cannot connect", extra={"device": self._user, "error": str(error)})
            self._ended.set()
            return False
        try:
            # Python 3.11's wait_for loses a cancellation that comes in the moment of the answer; timeout does not.
            async with asyncio.timeout(_CONNACK_S):
                await self._answered.wait()
        except TimeoutError:
            self._sever()
            return False
        return not self._refused

    async def _until_ended(self) -> None:
        while not self._ended.is_set():
            # paho's own housekeeping: keep-alive pings and their time-outs.
            self._client.loop_misc()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._ended.wait()

    def _sever(self) -> None:
        sock = self._client.socket()
        if isinstance(sock, socket.socket):
            # The other side may have closed it already.
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _on_connect(self, _c: mqtt.Client, _u: Any, _f: Any, reason: ReasonCode, _p: Properties | None) -> None:
        self._refused = reason.is_failure
        self._answered.set()
        if reason.is_failure:
            logger.error("the server refuses this device", extra={"device": self._user, "reason": str(reason)})
        else:
            self._client.publish(f"{self._topic}/status", _ONLINE, qos=1, retain=True)
            if self._hears is not None:
                self._client.subscribe(f"{self._topic}/command", qos=1)

    def _on_disconnect(self, _c: mqtt.Client, _u: Any, _f: Any, _r: ReasonCode, _p: Properties | None) -> None:
        self._ended.set()
        # Whoever waits for an answer need not wait on.
        if not self._answered.is_set():
            self._refused = True
            self._answered.set()

    def _on_publish(self, _c: mqtt.Client, _u: Any, mid: int, _r: ReasonCode, _p: Properties) -> None:
        token = self._tokens.pop(mid, None)
        if token is not None:  # a status message is nobody's
            self._acknowledged(token)

    def _on_message(self, _c: mqtt.Client, _u: Any, message: mqtt.MQTTMessage) -> None:
        if self._hears is not None:
            self._hears(bytes(message.payload))

    def _on_socket_open(self, client: mqtt.Client, _u: Any, sock: Any) -> None:
        asyncio.get_running_loop().add_reader(sock, client.loop_read)

    def _on_socket_close(self, _c: mqtt.Client, _u: Any, sock: Any) -> None:
        asyncio.get_running_loop().remove_reader(sock)

    def _on_register_write(self, client: mqtt.Client, _u: Any, sock: Any) -> None:
        asyncio.get_running_loop().add_writer(sock, client.loop_write)

    def _on_unregister_write(self, _c: mqtt.Client, _u: Any, sock: Any) -> None:
        asyncio.get_running_loop().remove_writer(sock)
