"""The own MQTT endpoint as a source."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from core.clock import Clock
from core.settings import IngestSettings
from ingest.intake import Intake
from ingest.mqtt.endpoint import Endpoint, Limits, Listener
from ingest.mqtt.tls import server_context
from sensors.registry import RegistryWatch


class EndpointSource:
    """Devices connect straight to this process."""

    def __init__(
        self,
        settings: IngestSettings,
        *,
        registry: RegistryWatch,
        intake: Intake,
        clock: Clock,
        remembered: Path | None,
    ) -> None:
        listeners = [Listener(host=settings.mqtt_host, port=settings.mqtt_port)]
        self._ports = ["mqtt_port"]
        if settings.tls_port is not None:
            assert settings.tls_certificate is not None
            assert settings.tls_key is not None
            context = server_context(
                certificate=settings.tls_certificate,
                key=settings.tls_key,
                client_ca=settings.tls_client_ca,
                require=settings.tls_require_certificate,
            )
            listeners.append(Listener(host=settings.tls_host, port=settings.tls_port, tls=context))
            self._ports.append("tls_port")
        self._endpoint = Endpoint(
            listeners=listeners,
            limits=Limits(
                packet_bytes=settings.max_packet_kb * 1024,
                in_flight=settings.in_flight,
                connections=settings.max_connections,
                per_address=settings.address_connections,
                per_device=settings.device_connections,
                connect_rate=settings.connect_rate or math.inf,
                publish_rate=settings.publish_rate or math.inf,
            ),
            registry=registry,
            intake=intake,
            clock=clock,
            remembered=remembered,
        )
        self.outlet = self._endpoint

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
        """The ports (settings may say 0) and how many devices are connected."""
        ports = dict(zip(self._ports, self._endpoint.ports, strict=True))
        return {**ports, "connected": self._endpoint.sessions}
