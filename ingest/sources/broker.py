"""An existing MQTT broker as a source: paho with a persistent session, acknowledged after commit.

The broker keeps what it has for this session until PUBACK; so whatever happens to this process, the broker sends it
again. Several workers can share the messages of one broker as a group (`$share`); what was given to a member that died
waits in its session until that member comes back. paho runs its network loop in a thread of its own. Its callbacks only
queue: an exception in them would end that thread without a word.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage, MQTTv5
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
from ingest.sources.broker_downlink import BrokerDownlink
from ingest.sources.origins import Origins
from sensors.registry import RegistryWatch

logger = logging.getLogger(__name__)

FILTERS = tuple(f"{ROOT}/+/+/{level}" for level in PUBLISHED)
"""Topic filters. Those of a session never change, so that a kept session holds no other: a group has its own name."""

_FIRST_DELAY_S, _LAST_DELAY_S = 1, 30
_KEEP_ALIVE_S = 30
_SESSION_S = 7 * 86_400


class Link:
    """One connection to the broker. Messages are acknowledged on the connection they came by, or not at all: the
    broker sends what is unacknowledged again, and its packet identifiers may mean something else by then."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.alive = True

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Send PUBACKs."""
        if self.alive:
            for message in messages:
                self._client.ack(message.packet_id, 1)


class BrokerSource:
    """Subscribes to the topics of all devices."""

    source = "broker"

    def __init__(self, settings: IngestSettings, *, registry: RegistryWatch, intake: Intake, clock: Clock) -> None:
        self._settings = settings
        self._registry = registry
        self._intake = intake
        self._clock = clock
        self._origins = Origins(self.source, registry)
        self._queue: list[tuple[Link, MQTTMessage]] = []
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._link: Link | None = None
        self._arrived = 0
        self._room = threading.Event()
        self._room.set()
        self._connected = False
        self._stopping = False
        self._group = (settings.broker_group,) if settings.broker_group else ()
        self._filters = ["/".join(("$share", *self._group, name)) if self._group else name for name in FILTERS]
        self._client = self._make_client()
        self.outlet = BrokerDownlink(self._client, clock=clock, sole=len(settings.sources) == 1)
        intake.on_pressure(self._press)

    def _make_client(self) -> Client:
        settings = self._settings
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.broker_client_id or "-".join(("smartsite-ingest", settings.worker, *self._group)),
            protocol=MQTTv5,
            manual_ack=True,
        )
        if settings.broker_user:
            client.username_pw_set(settings.broker_user, settings.broker_password.get_secret_value())
        if settings.broker_url.startswith("mqtts:"):
            client.tls_set()
        client.reconnect_delay_set(_FIRST_DELAY_S, _LAST_DELAY_S)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        return client

    # -- life, in the event loop --------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to connect; a broker that is away is tried again for ever."""
        self._loop = asyncio.get_running_loop()
        parts = urlsplit(self._settings.broker_url)
        assert parts.hostname is not None
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = _SESSION_S
        properties.ReceiveMaximum = self._settings.in_flight
        self._client.connect_async(
            parts.hostname,
            parts.port or (8883 if parts.scheme == "mqtts" else 1883),
            keepalive=_KEEP_ALIVE_S,
            clean_start=False,
            properties=properties,
        )
        self._client.loop_start()

    async def quiesce(self) -> None:
        """Drop what comes from now on: it is not acknowledged, and the broker keeps it."""
        self._stopping = True
        self._room.set()

    async def close(self) -> None:
        """Disconnect; the session stays at the broker."""
        self._client.disconnect()
        await asyncio.get_running_loop().run_in_executor(None, self._client.loop_stop)

    def detail(self) -> dict[str, Any]:
        """Whether the broker is connected and subscribed."""
        return {"broker_connected": self._connected}

    # -- paho's thread ------------------------------------------------------------------------------------------------

    def _on_connect(
        self, client: Client, _data: object, _flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if reason.is_failure:
            logger.error("the broker refuses the connection", extra={"reason": str(reason)})
            return
        self._link = Link(client)
        # A broker that lost the session says so by its flag; one that kept it takes the same filters once more.
        client.subscribe([(name, SubscribeOptions(qos=1)) for name in self._filters])

    def _on_connect_fail(self, _client: Client, _data: object) -> None:
        logger.warning("the broker is away, trying again", extra={"url": self._settings.broker_url})

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
        if self._link is not None:
            self._link.alive = False
        self._connected = False
        metrics.BROKER_CONNECTED.set(0)
        if not self._stopping:
            logger.warning("disconnected from the broker", extra={"reason": str(reason)})

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        link = self._link
        if link is None or self._stopping:
            return
        with self._lock:
            self._queue.append((link, message))
            first = len(self._queue) == 1
        if first and self._loop is not None:
            self._loop.call_soon_threadsafe(self._drain)
        # The receive maximum bounds QoS 1 already; this holds QoS 0 back through TCP.
        self._room.wait()

    # -- the event loop -----------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        with self._lock:
            came, self._queue = self._queue, []
        self._arrived = max(self._arrived + 1, micros(self._clock.now()))
        messages = []
        for link, message in came:
            self._arrived += 1
            origin = self._origins.of(message.topic)
            holder = link if message.qos else None
            messages.append(Message(origin, bytes(message.payload), self._arrived, holder, message.mid))
            self.outlet.note(messages[-1])
        self._intake.put(messages)

    def _press(self, pressure: bool) -> None:
        if pressure and not self._stopping:
            self._room.clear()
        else:
            self._room.set()
