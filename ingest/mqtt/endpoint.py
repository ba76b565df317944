"""The listener: devices connect straight to ingest, no broker between."""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import ssl
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from core.clock import Clock, micros
from core.errors import ConfigurationError
from ingest import metrics
from ingest.credentials import Credentials, Refused
from ingest.intake import Intake
from ingest.message import CONNECTED, DISCONNECTED, Leaf, Message, Origin
from ingest.mqtt.buckets import Bucket, Buckets
from ingest.mqtt.connection import CONNECT_TIMEOUT_S, Connection
from ingest.mqtt.packets import Connect
from ingest.mqtt.reasons import ProtocolViolation, Reason
from ingest.quiet import Quiet
from sensors.codec_json import Reject
from sensors.commands import Command, payload_of, topic_of
from sensors.registry import Device, Registry, RegistryWatch

logger = logging.getLogger(__name__)

SWEEP_S = 1.0
"""Seconds between looks for connections that are overdue."""
BURST_S = 10.0
"""Seconds' worth of a rate that may come at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one connection, and all together, may take.

    Attributes:
        packet_bytes: largest packet, its header included.
        in_flight: QoS 1 messages that one connection may have unacknowledged (the receive maximum of MQTT 5).
        connections: connections at a time.
        connect_rate: CONNECTs a second of one device from one address; a burst is `BURST_S` seconds' worth.
        publish_rate: messages a second of one device, its connections together; the same burst.
    """

    packet_bytes: int
    in_flight: int
    connections: int
    connect_rate: float = math.inf
    publish_rate: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """An address to listen on, with TLS or without."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None


class Endpoint:
    """Listens, knows who is connected, and hands what they publish to the intake."""

    source = "mqtt"

    def __init__(
        self,
        *,
        listeners: Sequence[Listener],
        limits: Limits,
        registry: RegistryWatch,
        intake: Intake,
        clock: Clock,
    ) -> None:
        self._addresses = listeners
        self._registry = registry
        self._servers: list[asyncio.Server] = []
        self._connects = Buckets(limits.connect_rate, limits.connect_rate * BURST_S)
        self._publishes = Buckets(limits.publish_rate, limits.publish_rate * BURST_S)
        self._connections: set[Connection] = set()
        self._sessions: dict[tuple[int, str], Connection] = {}
        self._connected: dict[int, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._listeners: dict[int, Connection] = {}
        self._fresh: set[int] = set()
        self._arrived: list[int] = []
        self._stopping = False
        self._said = Quiet(clock, every_s=60)
        self.limits = limits
        self.intake = intake
        self.clock = clock
        self.credentials = Credentials(registry)
        registry.on_change(self._renew)
        intake.on_pressure(self._press)

    # -- life ---------------------------------------------------------------------------------------------------------

    @property
    def ports(self) -> list[int]:
        """The ports that are listened on, in the order of the listeners."""
        return [int(server.sockets[0].getsockname()[1]) for server in self._servers]

    @property
    def sessions(self) -> int:
        """Connections of devices that are in."""
        return len(self._sessions)

    async def start(self) -> None:
        """Listen. Raises ConfigurationError where the address cannot be had."""
        loop = asyncio.get_running_loop()
        for listener in self._addresses:
            try:
                server = await loop.create_server(
                    lambda: Connection(self),
                    listener.host,
                    listener.port,
                    ssl=listener.tls,
                    ssl_handshake_timeout=CONNECT_TIMEOUT_S if listener.tls is not None else None,
                    backlog=1024,
                )
            except OSError as error:
                raise ConfigurationError(
                    f"the mqtt endpoint cannot listen on {listener.host}:{listener.port}: {error.strerror}",
                    hint="stop what listens there, or set SMARTSITE_INGEST__MQTT_PORT or SMARTSITE_INGEST__TLS_PORT",
                ) from error
            self._servers.append(server)
            logger.info(
                "mqtt endpoint listens",
                extra={"host": listener.host, "port": self.ports[-1], "tls": listener.tls is not None},
            )
        self.spawn(self._sweep())

    async def quiesce(self) -> None:
        """Take no more connections and read no more packets; what was read may still be acknowledged."""
        self._stopping = True
        for server in self._servers:
            server.close()
        self._press(True)

    async def close(self) -> None:
        """End every connection with the reason that the server goes down."""
        for connection in list(self._connections):
            connection.fail(ProtocolViolation(Reason.SERVER_SHUTTING_DOWN, "the server goes down"))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.credentials.close()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run beside the listener, until done or until the endpoint closes."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a task of the endpoint failed", exc_info=error)

    async def _sweep(self) -> None:
        while True:
            await self.clock.sleep(SWEEP_S)
            now = self.clock.monotonic()
            for connection in list(self._connections):
                connection.check(now)

    # -- for connections ----------------------------------------------------------------------------------------------

    @property
    def pressure(self) -> bool:
        """Whether connections should not be read at the moment."""
        return self.intake.pressure or self._stopping

    def micros(self) -> int:
        """Wall time, microseconds since the epoch."""
        return micros(self.clock.now())

    def admit(self, connection: Connection) -> bool:
        """Whether there is room for a new connection."""
        if self._stopping or len(self._connections) >= self.limits.connections:
            if self._said.may(("full", "")):
                logger.warning("too many connections, a new one is refused", extra={"limit": self.limits.connections})
            metrics.VIOLATIONS.labels("too_many_connections").inc()
            return False
        self._connections.add(connection)
        return True

    def may_connect(self, peer: str, user: str | None) -> bool:
        """Whether the rate of CONNECTs of this user name from this address allows one more.

        By address too, so that a stranger who knows a device's name cannot keep the device itself out.
        """
        if math.isinf(self.limits.connect_rate):
            return True
        return self._connects.may((peer, user), self.clock.monotonic())

    def publish_bucket(self, device: Device) -> Bucket | None:
        """The device's publish rate, shared by its connections; None where there is no limit."""
        if math.isinf(self.limits.publish_rate):
            return None
        return self._publishes.of(device.id, self.clock.monotonic())

    def forget(self, connection: Connection) -> None:
        """The connection's socket is gone."""
        self._connections.discard(connection)

    def enter(self, connection: Connection) -> None:
        """A device is in; a connection of the same device and client identifier is ended in its favour.

        Client identifiers are looked at per device: two devices with the same factory-set one do not disturb each
        other, and no device can end another's connection.
        """
        device = connection.device
        assert device is not None
        key = (device.id, connection.client_id)
        old = self._sessions.get(key)
        if old is not None:
            old.fail(ProtocolViolation(Reason.SESSION_TAKEN_OVER, "the client connected again"))
        self._sessions[key] = connection
        self._connected[device.id] = self._connected.get(device.id, 0) + 1
        metrics.CONNECTIONS.inc()
        if self._connected[device.id] == 1:
            self._tell(connection, device, CONNECTED)

    def leave(self, connection: Connection) -> None:
        """A device that was in has gone."""
        device = connection.device
        assert device is not None
        if self._sessions.get((device.id, connection.client_id)) is connection:
            del self._sessions[device.id, connection.client_id]
        if self._listeners.get(device.id) is connection:
            del self._listeners[device.id]
        metrics.CONNECTIONS.dec()
        left = self._connected.pop(device.id) - 1
        if left:
            self._connected[device.id] = left
        elif not self._stopping:
            # A server that goes down says nothing about its devices.
            self._tell(connection, device, DISCONNECTED)

    # -- commands -----------------------------------------------------------------------------------------------------

    def listen(self, connection: Connection) -> None:
        """The connection's device has subscribed to its command topic; of several connections the newest counts."""
        assert connection.device is not None
        self._listeners[connection.device.id] = connection
        self._fresh.add(connection.device.id)

    def command_arrived(self, number: int) -> None:
        """A device has acknowledged a command."""
        self._arrived.append(number)

    def reaches(self, device: int) -> bool:
        """Whether the device hears commands here."""
        return device in self._listeners and not self._stopping

    def take_fresh(self) -> set[int]:
        """Devices that have subscribed since the last call."""
        fresh, self._fresh = self._fresh, set()
        return fresh

    def take_arrived(self) -> list[int]:
        """Commands that were acknowledged since the last call."""
        arrived, self._arrived = self._arrived, []
        return arrived

    def take_unsent(self) -> list[tuple[int, str]]:
        """Nothing: what a device did not acknowledge comes again by `take_fresh`."""
        return []

    def deliver(self, command: Command) -> bool:
        """Send a command to its device; False where that cannot be done at the moment."""
        connection = self._listeners.get(command.device_id)
        if connection is None:
            return False
        left = (command.expires_at - self.clock.now()).total_seconds()
        return connection.command(
            command.id, topic_of(command), payload_of(command), expiry_s=min(max(1, int(left)), 2**32 - 1)
        )

    def _tell(self, connection: Connection, device: Device, what: bytes) -> None:
        origin = Origin(source=self.source, client=connection.client_id, topic="", leaf=Leaf.PRESENCE, device=device)
        self.intake.put([Message(origin, what, self.micros())])

    def refused(self, connection: Connection, connect: Connect, reject: Reject) -> None:
        """A peer may not connect: counted each time, logged and set aside once a minute and peer."""
        metrics.REFUSED.labels(reject.reason).inc()
        user = (connect.user or "")[:140]
        if not self._said.may((connection.peer, user)):
            return
        logger.warning("connect refused", extra={"peer": connection.peer, "user": user, "reason": reject.reason})
        site, _, code = user.partition("/")
        origin = Origin(
            source=self.source,
            client=f"{connection.peer} {connect.client_id[:100]}",
            topic="",
            leaf=Leaf.PRESENCE,
            device=self._registry.current.by_topic.get((site, code)),
            refusal=reject,
        )
        self.intake.put([Message(origin, b"", self.micros())])

    def report(self, connection: Connection, violation: ProtocolViolation) -> None:
        """Count a connection that is ended, and log it once a minute and peer."""
        reason = violation.reason.name.lower()
        if violation.reason not in (Reason.SERVER_SHUTTING_DOWN, Reason.SESSION_TAKEN_OVER):
            metrics.VIOLATIONS.labels(reason).inc()
            if self._said.may((connection.peer, reason)):
                device = connection.device
                logger.warning(
                    "connection ended",
                    extra={
                        "peer": connection.peer,
                        "device": f"{device.site}/{device.code}" if device is not None else "",
                        "reason": reason,
                        "detail": violation.detail,
                    },
                )

    def new_client_id(self) -> str:
        """An identifier for a client that brought none."""
        return f"auto-{secrets.token_hex(8)}"

    # -- changes from outside -----------------------------------------------------------------------------------------

    def _press(self, pressure: bool) -> None:
        for connection in list(self._connections):
            connection.press(pressure=pressure or self._stopping)

    def _renew(self, _: Registry) -> None:
        """Follow the registry: connections of devices that are gone, switched off or have a new secret end."""
        for connection in list(self._sessions.values()):
            before = connection.device
            assert before is not None
            try:
                device = self.credentials.find(f"{before.site}/{before.code}")
            except Refused as refused:
                connection.fail(ProtocolViolation(Reason.ADMINISTRATIVE_ACTION, refused.reject.detail))
                continue
            if device.id != before.id or device.secret_hash != before.secret_hash:
                connection.fail(ProtocolViolation(Reason.ADMINISTRATIVE_ACTION, "the device's secret was changed"))
            elif device != before:
                connection.renew(device)
