"""The own MQTT endpoint as a source."""

from __future__ import annotations

from typing import Any

from core.clock import Clock
from core.settings import IngestSettings
from ingest.intake import Intake
from ingest.mqtt.endpoint import Endpoint, Limits
from sensors.registry import RegistryWatch


class EndpointSource:
    """Devices connect straight to this process."""

    def __init__(self, settings: IngestSettings, *, registry: RegistryWatch, intake: Intake, clock: Clock) -> None:
        self._endpoint = Endpoint(
            host=settings.mqtt_host,
            port=settings.mqtt_port,
            limits=Limits(
                packet_bytes=settings.max_packet_kb * 1024,
                in_flight=settings.in_flight,
                connections=settings.max_connections,
            ),
            registry=registry,
            intake=intake,
            clock=clock,
        )

    async def start(self) -> None:
        """Listen."""
        await self._endpoint.start()

    async def quiesce(self) -> None:
        """Read no more."""
        await self._endpoint.quiesce()

    async def close(self) -> None:
        """End all connections."""
        await self._endpoint.close()

    def detail(self) -> dict[str, Any]:
        """The port (settings may say 0) and how many devices are connected."""
        return {"mqtt_port": self._endpoint.port, "connected": self._endpoint.sessions}
