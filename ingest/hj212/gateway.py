"""The listener for HJ 212 stations: knows them by their MN and hands what they send to the intake."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from core.clock import Clock
from ingest import metrics
from ingest.hj212.connection import Connection
from ingest.intake import Intake
from ingest.link import Link
from ingest.message import CONNECTED, DISABLED, DISCONNECTED, UNKNOWN_DEVICE, Leaf, Message, Origin
from ingest.tcp import Server
from sensors.codec_json import Reject
from sensors.hj212.decode import PacketDecoder
from sensors.hj212.faults import BAD_OPTIONS, Refused
from sensors.hj212.policy import Policy, policy_of
from sensors.profiles import Profile
from sensors.registry import Device, Registry, RegistryWatch

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one connection, and all together, may take.

    Attributes:
        frame_bytes: longest frame.
        connections: connections at a time.
        per_address: those of one address.
        idle_s: seconds of silence after which a connection is ended.
    """

    frame_bytes: int
    connections: int
    per_address: int
    idle_s: float


@dataclass(frozen=True, slots=True)
class Station:
    """A device that speaks HJ 212. `decoder` is None where its kind has no profile."""

    device: Device
    policy: Policy
    decoder: PacketDecoder | None


class Gateway(Server):
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
        super().__init__(connections=limits.connections, per_address=limits.per_address, intake=intake, clock=clock)
        self._host = host
        self._port = port
        self._profiles = profiles
        self._registry = registry
        self._connected: dict[int, int] = {}
        self._stations: dict[str, Station] = {}
        self.limits = limits
        registry.on_change(self._forget_stations)

    # -- life ---------------------------------------------------------------------------------------------------------

    @property
    def connected(self) -> int:
        """Stations that are connected."""
        return len(self._connected)

    async def start(self) -> None:
        """Listen. Raises ConfigurationError where the address cannot be had."""
        hint = "SMARTSITE_INGEST__HJ212_PORT"
        await self._open_port(lambda: Connection(self), self._host, self._port, name="hj212 gateway", hint=hint)

    # -- for connections ----------------------------------------------------------------------------------------------

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

    def forget(self, link: Link) -> None:
        """The connection's socket is gone, and with it the stations that spoke over it."""
        super().forget(link)
        assert isinstance(link, Connection)
        for device in link.devices.values():
            left = self._connected[device.id] - 1
            if left:
                self._connected[device.id] = left
                continue
            del self._connected[device.id]
            metrics.STATIONS.dec()
            # A server that goes down says nothing about its stations.
            if not self._stopping:
                self._tell(link, device, DISCONNECTED)

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

    def _forget_stations(self, _: Registry) -> None:
        self._stations.clear()
