"""The MQTT endpoint alone: no writer, no database, a clock that the test moves; sockets are real."""

from __future__ import annotations

import ssl
from types import SimpleNamespace
from typing import cast

from ingest.intake import Intake
from ingest.message import Message
from ingest.mqtt.endpoint import Endpoint, Limits, Listener
from sensors.registry import RegistryWatch
from tests.ingest.messages import device
from tests.ingest.plant import HASH
from tests.support.clock import FakeClock
from tests.support.wait import eventually

USER = "A/d1"
TOPIC = f"smartsite/v1/{USER}/telemetry"
GOOD = b'{"values": {"pm10": 1}}'
LIMITS = Limits(packet_bytes=262_144, in_flight=1000, connections=40, per_address=30, per_device=3)


class Bench:
    """An endpoint without a writer."""

    def __init__(self, clock: FakeClock, tls: ssl.SSLContext | None = None) -> None:
        one = device(1, secret_hash=HASH)
        assert f"{one.site}/{one.code}" == USER
        current = SimpleNamespace(
            devices={1: one}, by_topic={(one.site, one.code): one}, sites={one.site_id: SimpleNamespace(enabled=True)}
        )
        self.clock = clock
        self.intake = Intake(high=1000, high_bytes=1 << 20)
        self.endpoint = Endpoint(
            listeners=[Listener(host="127.0.0.1", port=0, tls=tls)],
            limits=LIMITS,
            registry=cast("RegistryWatch", SimpleNamespace(current=current, on_change=lambda _: None)),
            intake=self.intake,
            clock=clock,
        )

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.endpoint.ports[0]

    async def known(self, count: int) -> None:
        """Wait until it holds that many connections."""
        await eventually(lambda: len(self.endpoint._links) == count)

    async def arrived(self, count: int) -> list[Message]:
        """Take messages once there are that many."""
        await eventually(lambda: len(self.intake) >= count)
        return self.intake.take(10_000, 1 << 30)
