"""The listener: devices connect straight to ingest, no broker between."""

from __future__ import annotations

import logging
import math
import secrets
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.clock import Clock
from ingest import metrics
from ingest.credentials import Credentials, Refused
from ingest.intake import Intake
from ingest.message import CONNECTED, DISCONNECTED, Leaf, Message, Origin
from ingest.mqtt.buckets import Bucket, Buckets
from ingest.mqtt.connection import CONNECT_TIMEOUT_S, Connection
from ingest.mqtt.packets import Connect
from ingest.mqtt.reasons import ProtocolViolation, Reason
from ingest.mqtt.sessions import Kept, Sessions
from ingest.tcp import Server
from sensors.codec_json import Reject
from sensors.commands import Command, payload_of, topic_of
from sensors.registry import Device, Registry, RegistryWatch

logger = logging.getLogger(__name__)

BURST_S = 10.0
"""Seconds' worth of a rate that may come at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one connection, and all together, may take.

    Attributes:
        packet_bytes: largest packet, its header included.
        in_flight: QoS 1 messages that one connection may have unacknowledged (the receive maximum of MQTT 5).
        connections: connections at a time.
        per_address: those of one address.
        per_device: those of one device; beyond it the oldest is ended.
        connect_rate: CONNECTs a second of one device from one address; a burst is `BURST_S` seconds' worth.
        publish_rate: messages a second of one device, its connections together; the same burst.
    """

    packet_bytes: int
    in_flight: int
    connections: int
    per_address: int
    per_device: int
    connect_rate: float = math.inf
    publish_rate: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """An address to listen on, with TLS or without."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None


class Endpoint(Server):
    """Listens, knows who is connected, and hands what they publish to the intake.

    `remembered` is the file of secrets that were found right, None: none.
    """

    source = "mqtt"

    def __init__(
        self,
        *,
        listeners: Sequence[Listener],
        limits: Limits,
        registry: RegistryWatch,
        intake: Intake,
        clock: Clock,
        remembered: Path | None = None,
    ) -> None:
        super().__init__(connections=limits.connections, per_address=limits.per_address, intake=intake, clock=clock)
        self._listen_on = listeners
        self._registry = registry
        self._connects = Buckets(limits.connect_rate, limits.connect_rate * BURST_S)
        self._publishes = Buckets(limits.publish_rate, limits.publish_rate * BURST_S)
        self._sessions: dict[int, dict[str, Connection]] = {}  # by device and client identifier, the oldest first
        self._kept = Sessions(limits.per_device)
        self._listeners: dict[int, Connection] = {}
        self._fresh: set[int] = set()
        self._arrived: list[int] = []
        self.limits = limits
        self.credentials = Credentials(registry, remembered=remembered)
        registry.on_change(self._renew)

    # -- life ---------------------------------------------------------------------------------------------------------

    @property
    def sessions(self) -> int:
        """Connections of devices that are in."""
        return sum(map(len, self._sessions.values()))

    async def start(self) -> None:
        """Listen. Raises ConfigurationError where the address cannot be had."""
        self.credentials.open()
        hint = "SMARTSITE_INGEST__MQTT_PORT or SMARTSITE_INGEST__TLS_PORT"
        for listener in self._listen_on:
            await self._open_port(
                lambda: Connection(self),
                listener.host,
                listener.port,
                name="mqtt endpoint",
                hint=hint,
                tls=listener.tls,
                handshake_s=CONNECT_TIMEOUT_S,
            )

    async def close(self) -> None:
        """End every connection with the reason that the server goes down."""
        await super().close()
        self.credentials.close()

    # -- for connections ----------------------------------------------------------------------------------------------

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

    def enter(self, connection: Connection, *, clean: bool) -> Kept | None:
        """A device is in; a connection of the same device and client identifier is ended in its favour.

        Answers the session that goes on, None where there is none or a `clean` start is wanted.

        Client identifiers are looked at per device: two devices with the same factory-set one do not disturb each
        other, and no device can end another's connection.
        """
        device = connection.device
        assert device is not None
        sessions = self._sessions.get(device.id, {})
        old = sessions.get(connection.client_id)
        if old is not None:
            old.fail(ProtocolViolation(Reason.SESSION_TAKEN_OVER, "the client connected again"))
        elif len(sessions) >= self.limits.per_device:
            oldest = next(iter(sessions.values()))
            oldest.fail(
                ProtocolViolation(Reason.QUOTA_EXCEEDED, f"over {self.limits.per_device} connections of the device")
            )
        # Whoever was ended has left, and may have taken the map with it.
        sessions = self._sessions.setdefault(device.id, {})
        sessions[connection.client_id] = connection
        metrics.CONNECTIONS.inc()
        if len(sessions) == 1:
            self._tell(connection, device, CONNECTED)
        kept = self._kept.take(device.id, connection.client_id)
        if kept is None or (not clean and kept.secret_hash == device.secret_hash):
            return kept
        if kept.will is not None:
            self.publish_wills([kept.will])
        return None

    def leave(self, connection: Connection, kept: Kept | None) -> None:
        """A device that was in has gone; its session may be kept."""
        device = connection.device
        assert device is not None
        if self._listeners.get(device.id) is connection:
            del self._listeners[device.id]
        metrics.CONNECTIONS.dec()
        if kept is not None:
            self.publish_wills(self._kept.keep(device.id, connection.client_id, kept))
        sessions = self._sessions[device.id]
        del sessions[connection.client_id]
        if sessions:
            return
        del self._sessions[device.id]
        # A server that goes down says nothing about its devices.
        if not self._stopping:
            self._tell(connection, device, DISCONNECTED)

    def publish_wills(self, wills: Sequence[tuple[Origin, bytes]]) -> None:
        """Last wills become messages of their devices."""
        self.intake.put([Message(origin, payload, self.micros()) for origin, payload in wills])

    def sweep(self, now: float) -> None:
        """Look for what is overdue, wills among it."""
        super().sweep(now)
        self.publish_wills(self._kept.due(now))

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
        if violation.reason not in (Reason.SERVER_SHUTTING_DOWN, Reason.SESSION_TAKEN_OVER):
            self.tell(connection, violation.reason.name.lower(), violation.detail)

    def new_client_id(self) -> str:
        """An identifier for a client that brought none."""
        return f"auto-{secrets.token_hex(8)}"

    # -- changes from outside -----------------------------------------------------------------------------------------

    def _renew(self, registry: Registry) -> None:
        """Follow the registry: connections of devices that are gone, switched off or have a new secret end."""
        self.credentials.renew(registry)
        for connection in [one for sessions in self._sessions.values() for one in sessions.values()]:
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
