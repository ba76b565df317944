"""The listener for HJ 212 stations: knows them by their MN and hands what they send to the intake."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from core.clock import Clock, micros
from core.errors import ConfigurationError
from ingest import metrics
from ingest.hj212.connection import Connection
from ingest.intake import Intake
from ingest.message import CONNECTED, DISABLED, DISCONNECTED, UNKNOWN_DEVICE, Leaf, Message, Origin
from ingest.quiet import Quiet
from sensors.codec_json import Reject
from sensors.hj212.decode import PacketDecoder
from sensors.hj212.faults import BAD_OPTIONS, Refused
from sensors.hj212.policy import Policy, policy_of
from sensors.profiles import Profile
from sensors.registry import Device, Registry, RegistryWatch

logger = logging.getLogger(__name__)

SWEEP_S = 1.0
"""Seconds between looks for connections that are overdue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one connection, and all together, may take.

    Attributes:
        frame_bytes: longest frame.
        connections: connections at a time.
        idle_s: seconds of silence after which a connection is ended.
    """

    frame_bytes: int
    connections: int
    idle_s: float


@dataclass(frozen=True, slots=True)
class Station:
    """A device that speaks HJ 212. `decoder` is None where its kind has no profile."""

    device: Device
    policy: Policy
    decoder: PacketDecoder | None


class Gateway:
    """Listens, knows which stations are connected, and has one intake for all of them."""

    source = "hj212"

    def __init__(
        self,
        *,
        host: str,
        port: int,
        limits: Limits,
        profiles: Mapping[str, Profile],
        registry: RegistryWatch,
        intake: Intake,
        clock: Clock,
    ) -> None:
        self._host = host
        self._port = port
        self._profiles = profiles
        self._registry = registry
        self._server: asyncio.Server | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self._connections: set[Connection] = set()
        self._connected: dict[int, int] = {}
        self._stations: dict[str, Station] = {}
        self._stopping = False
        self._said = Quiet(clock, every_s=60)
        self.limits = limits
        self.intake = intake
        self.clock = clock
        registry.on_change(self._forget_stations)
        intake.on_pressure(self._press)

    # -- life ---------------------------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The port that is listened on."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def connected(self) -> int:
        """Stations that are connected."""
        return len(self._connected)

    async def start(self) -> None:
        """Listen. Raises ConfigurationError where the address cannot be had."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: Connection(self), self._host, self._port, backlog=1024)
        except OSError as error:
            raise ConfigurationError(
                f"the hj212 gateway cannot listen on {self._host}:{self._port}: {error.strerror}",
                hint="stop what listens there, or set SMARTSITE_INGEST__HJ212_PORT",
            ) from error
        self._sweeping = loop.create_task(self._sweep(), name="hj212 sweep")
        logger.info("hj212 gateway listens", extra={"host": self._host, "port": self.port})

    async def quiesce(self) -> None:
        """Take no more connections and read no more frames; what was read may still be acknowledged."""
        self._stopping = True
        if self._server is not None:
            self._server.close()
        self._press(True)

    async def close(self) -> None:
        """End every connection."""
        for connection in list(self._connections):
            connection.close()
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)

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

    def device_of(self, mn: str) -> Device | None:
        """The device of that MN, whether it may send or not."""
        return self._registry.current.by_mn.get(mn)

    def find(self, mn: str) -> Station:
        """The station of that MN. Raises Refused where there is none that may send."""
        known = self._stations.get(mn)
        if known is not None:
            return known
        device = self.device_of(mn)
        if device is None:
            raise Refused(UNKNOWN_DEVICE, f"no device has MN={mn}")
        if not device.enabled or not self._registry.current.sites[device.site_id].enabled:
            raise Refused(DISABLED, f"device {device.site}/{device.code} or its site is switched off")
        try:
            policy = policy_of(device.protocol_options.get("hj212", {}))
        except ValueError as error:
            raise Refused(BAD_OPTIONS, f"options of {device.site}/{device.code}: {error}") from None
        profile = self._profiles.get(device.kind)
        decoder = PacketDecoder(profile, policy) if profile is not None else None
        known = self._stations[mn] = Station(device, policy, decoder)
        return known

    def admit(self, connection: Connection) -> bool:
        """Whether there is room for a new connection."""
        if self._stopping or len(self._connections) >= self.limits.connections:
            self.report(connection, "too_many_connections", f"at most {self.limits.connections}")
            return False
        self._connections.add(connection)
        return True

    def forget(self, connection: Connection) -> None:
        """The connection's socket is gone, and with it the stations that spoke over it."""
        self._connections.discard(connection)
        for device in connection.devices.values():
            left = self._connected[device.id] - 1
            if left:
                self._connected[device.id] = left
                continue
            del self._connected[device.id]
            metrics.STATIONS.dec()
            # A server that goes down says nothing about its stations.
            if not self._stopping:
                self._tell(connection, device, DISCONNECTED)

    def enter(self, connection: Connection, device: Device) -> None:
        """A station sent its first good frame over this connection."""
        self._connected[device.id] = self._connected.get(device.id, 0) + 1
        if self._connected[device.id] == 1:
            metrics.STATIONS.inc()
            self._tell(connection, device, CONNECTED)

    def _tell(self, connection: Connection, device: Device, what: bytes) -> None:
        origin = Origin(source=self.source, client=connection.peer, topic="", leaf=Leaf.PRESENCE, device=device)
        self.intake.put([Message(origin, what, self.micros())])

    def refused(self, connection: Connection, reject: Reject) -> None:
        """Count a frame that is not taken, and log it once a minute and peer."""
        metrics.VIOLATIONS.labels(reject.reason).inc()
        if self._said.may((connection.peer, reject.reason, "log")):
            logger.warning(
                "hj212 frame refused",
                extra={"peer": connection.peer, "reason": reject.reason, "detail": reject.detail},
            )

    def may_keep(self, connection: Connection, reject: Reject) -> bool:
        """Whether a stranger's frame is set aside: once a minute, peer and cause, since anybody may send them."""
        return self._said.may((connection.peer, reject.reason, reject.detail))

    def report(self, connection: Connection, reason: str, detail: str) -> None:
        """Count what is wrong with a connection, and log it once a minute and peer."""
        metrics.VIOLATIONS.labels(reason).inc()
        if self._said.may((connection.peer, reason)):
            logger.warning(
                "trouble with an hj212 connection",
                extra={
                    "peer": connection.peer,
                    "devices": " ".join(f"{device.site}/{device.code}" for device in connection.devices.values())[:200],
                    "reason": reason,
                    "detail": detail,
                },
            )

    # -- changes from outside -----------------------------------------------------------------------------------------

    def _press(self, pressure: bool) -> None:
        for connection in list(self._connections):
            connection.press(pressure=pressure or self._stopping)

    def _forget_stations(self, _: Registry) -> None:
        self._stations.clear()
