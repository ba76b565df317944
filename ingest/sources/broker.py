"""An existing MQTT broker as a source: paho with a persistent session, acknowledged after commit.

The broker keeps what it has for this session until PUBACK; so whatever happens to this process, the broker sends it
again. Several workers can share the messages of one broker as a group (`$share`); what was given to a member that died
waits in its session until that member comes back.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from urllib.parse import urlsplit

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from core.clock import Clock, micros
from core.settings import IngestSettings
from ingest import metrics
from ingest.intake import Intake
from ingest.message import PUBLISHED, ROOT, Message
from ingest.mqtt.packets import Publish
from ingest.sources.broker_downlink import BrokerDownlink
from ingest.sources.broker_session import KEEP_ALIVE_S, Link, Session
from ingest.sources.broker_stream import StreamClient
from ingest.sources.origins import Origins
from sensors.registry import RegistryWatch

logger = logging.getLogger(__name__)

FILTERS = tuple(f"{ROOT}/+/+/{level}" for level in PUBLISHED)
"""Topic filters. Those of a session never change, so that a kept session holds no other: a group has its own name."""

_SESSION_S = 7 * 86_400


class BrokerSource:
    """Subscribes to the topics of all devices."""

    source = "broker"

    def __init__(self, settings: IngestSettings, *, registry: RegistryWatch, intake: Intake, clock: Clock) -> None:
        self._settings = settings
        self._registry = registry
        self._intake = intake
        self._clock = clock
        self._origins = Origins(self.source, registry)
        self._arrived = 0
        self._connected = False
        self._stopping = False
        self._group = (settings.broker_group,) if settings.broker_group else ()
        self._filters = ["/".join(("$share", *self._group, name)) if self._group else name for name in FILTERS]
        self._client = self._make_client()
        self._session: Session | None = None
        self._task: asyncio.Task[None] | None = None
        self.outlet = BrokerDownlink(self._client, clock=clock, sole=len(settings.sources) == 1)
        intake.on_pressure(self._press)

    def _make_client(self) -> StreamClient:
        settings = self._settings
        client = StreamClient(
            CallbackAPIVersion.VERSION2,
            client_id=settings.broker_client_id or "-".join(("smartsite-ingest", settings.worker, *self._group)),
            protocol=MQTTv5,
        )
        if settings.broker_user:
            client.username_pw_set(settings.broker_user, settings.broker_password.get_secret_value())
        if settings.broker_url.startswith("mqtts:"):
            client.tls_set()
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        return client

    # -- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to connect; a broker that is away is tried again for ever."""
        parts = urlsplit(self._settings.broker_url)
        assert parts.hostname is not None
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = _SESSION_S
        properties.ReceiveMaximum = self._settings.in_flight
        self._client.connect_async(
            parts.hostname,
            parts.port or (8883 if parts.scheme == "mqtts" else 1883),
            keepalive=KEEP_ALIVE_S,
            clean_start=False,
            properties=properties,
        )
        self._session = Session(self._client, take=self._take, clock=self._clock)
        self._task = asyncio.create_task(self._session.run(), name="broker")

    async def quiesce(self) -> None:
        """Drop what comes from now on: it is not acknowledged, and the broker keeps it."""
        self._stopping = True

    async def close(self) -> None:
        """Disconnect; the session stays at the broker."""
        if self._task is not None and self._session is not None:
            self._task.cancel()
            self._session.disconnect()
            await asyncio.gather(self._task, return_exceptions=True)

    def detail(self) -> dict[str, Any]:
        """Whether the broker is connected and subscribed."""
        return {"broker_connected": self._connected}

    # -- what paho tells, in the event loop --------------------------------------------------------------------------

    def _on_connect(
        self, client: Client, _data: object, _flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if reason.is_failure:
            logger.error("the broker refuses the connection", extra={"reason": str(reason)})
            return
        assert self._session is not None
        self._session.accepted()
        # A broker that lost the session says so by its flag; one that kept it takes the same filters once more.
        client.subscribe([(name, SubscribeOptions(qos=1)) for name in self._filters])

    def _on_subscribe(
        self, _client: Client, _data: object, _mid: int, reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        refused = [name for name, reason in zip(self._filters, reasons, strict=False) if reason.is_failure]
        if refused:
            logger.error("the broker refuses subscriptions", extra={"topics": " ".join(refused)})
            return
        self._connected = True
        metrics.BROKER_CONNECTED.set(1)
        logger.info("subscribed at the broker", extra={"url": self._settings.broker_url})

    def _on_disconnect(
        self, _client: Client, _data: object, _flags: DisconnectFlags, reason: ReasonCode, _props: Properties | None
    ) -> None:
        self._connected = False
        metrics.BROKER_CONNECTED.set(0)
        if not self._stopping:
            logger.warning("disconnected from the broker", extra={"reason": str(reason)})

    # -- messages -----------------------------------------------------------------------------------------------------

    def _take(self, link: Link, published: list[Publish]) -> None:
        if self._stopping:
            return
        self._arrived = max(self._arrived, micros(self._clock.now()))
        messages = []
        for topic, packet_id, _, payload in published:
            self._arrived += 1
            origin = self._origins.of(topic.decode(errors="replace"))
            message = Message(origin, payload, self._arrived, link if packet_id else None, packet_id)
            self.outlet.note(message)
            messages.append(message)
        self._intake.put(messages)

    def _press(self, pressure: bool) -> None:
        """The receive maximum bounds QoS 1 already; this holds QoS 0 back through TCP."""
        if self._session is not None:
            (self._session.pause if pressure else self._session.resume)()
