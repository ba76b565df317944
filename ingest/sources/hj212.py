"""The gateway for HJ 212 stations as a source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.clock import Clock
from core.settings import IngestSettings
from ingest.hj212.gateway import Gateway, Limits
from ingest.intake import Intake
from sensors.profiles import Profile
from sensors.registry import RegistryWatch


class Hj212Source:
    """Stations connect by TCP and push frames of HJ 212."""

    def __init__(
        self,
        settings: IngestSettings,
        *,
        profiles: Mapping[str, Profile],
        registry: RegistryWatch,
        intake: Intake,
        clock: Clock,
    ) -> None:
        self._gateway = Gateway(
            host=settings.hj212_host,
            port=settings.hj212_port,
            limits=Limits(
                frame_bytes=settings.hj212_max_frame_kb * 1024,
                connections=settings.hj212_max_connections,
                per_address=settings.address_connections,
                idle_s=settings.hj212_idle_s,
            ),
            profiles=profiles,
            registry=registry,
            intake=intake,
            clock=clock,
        )

    async def start(self) -> None:
        """Listen."""
        await self._gateway.start()

    async def quiesce(self) -> None:
        """Read no more."""
        await self._gateway.quiesce()

    async def close(self) -> None:
        """End all connections."""
        await self._gateway.close()

    def detail(self) -> dict[str, Any]:
        """The port (settings may say 0) and how many stations are connected."""
        return {"hj212_port": self._gateway.ports[0], "hj212_connected": self._gateway.connected}
