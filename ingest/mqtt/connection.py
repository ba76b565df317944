"""One device's connection: an asyncio protocol, from CONNECT to the acknowledgement of what it published."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from enum import Enum
from typing import TYPE_CHECKING

from ingest.credentials import Refused
from ingest.link import Block, Link
from ingest.message import Message
from ingest.mqtt import packets
from ingest.mqtt.buckets import Bucket
from ingest.mqtt.downlink import Downlink
from ingest.mqtt.framing import Frame, Framer
from ingest.mqtt.packets import VERSION_3, VERSION_5, Connect, PacketType
from ingest.mqtt.reasons import ProtocolViolation, Reason
from ingest.mqtt.sessions import LONGEST_S, Kept
from ingest.mqtt.tls import identity
from ingest.mqtt.topics import TOPIC_ALIASES, Topics
from ingest.mqtt.wire import Property
from ingest.turns import Busy
from sensors.registry import Device

if TYPE_CHECKING:
    from ingest.mqtt.endpoint import Endpoint

CONNECT_LIMIT = 65_536
"""Bytes that a CONNECT may have, before the peer is known."""
CONNECT_TIMEOUT_S = 10.0
"""Seconds in which a new connection sends its CONNECT."""
PACKET_TIMEOUT_S = 60.0
"""Seconds in which a packet that has begun is complete, and one more for each KiB of it."""
_REASON_LENGTH = 200


class State(Enum):
    """Where a connection stands."""

    NEW = "new"
    CHECKING = "checking"
    OPEN = "open"
    GONE = "gone"


class Connection(Link):
    """Takes packets apart and answers; what the device publishes goes to the endpoint's intake."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self._endpoint = endpoint
        self._framer = Framer(CONNECT_LIMIT, endpoint.limits.packet_bytes)
        self._state = State.NEW
        self._waiting: list[Frame] = []
        self._connect: Connect | None = None
        self._topics: Topics | None = None
        self._in_flight = 0
        self._arrived = 0
        self._version = VERSION_3
        self._closed_by_device = False
        self._session_s = 0
        self._certified: str | None = None
        self._bucket: Bucket | None = None
        self._downlink: Downlink | None = None
        self.client_id = ""
        self.device: Device | None = None

    # -- asyncio.Protocol ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._certified = identity(transport.get_extra_info("peercert"))
        super().connection_made(transport)

    def _take_in(self, data: bytes) -> None:
        frames = self._framer.feed(data)
        self._note_partial(pending=self._framer.needed > 0, progress=bool(frames))
        if self._waiting:
            self._waiting += frames
        else:
            self._work(frames)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why it broke changes nothing
        self._closing = True
        if self._state is State.OPEN:
            self._leave()
        self._endpoint.forget(self)

    # -- for the endpoint and the writer ------------------------------------------------------------------------------

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Send the PUBACKs of committed messages in one write."""
        self._in_flight -= len(messages)
        if self._state is State.OPEN and self._transport is not None:
            self._transport.write(b"".join([self._puback(message) for message in messages]))
            if Block.WINDOW in self._blocks and self._in_flight <= self._endpoint.limits.in_flight // 2:
                self._unblock(Block.WINDOW)

    def command(self, number: int, topic: str, payload: bytes, *, expiry_s: int) -> bool:
        """Send a command; False where the connection cannot take it at the moment."""
        if self._downlink is None or self._state is not State.OPEN or Block.WRITING in self._blocks:
            return False
        packet = self._downlink.packet(number, topic, payload, expiry_s=expiry_s)
        if packet is None:
            return False
        self._write(packet)
        if not self._downlink.confirms:
            self._endpoint.command_arrived(number)
        return True

    def overdue(self, now: float) -> None:
        """End what is overdue: a CONNECT that does not come, a packet that has no end, a keep-alive missed."""
        if self._state is State.NEW:
            if now - self._since > CONNECT_TIMEOUT_S:
                self.fail(ProtocolViolation(Reason.KEEP_ALIVE_TIMEOUT, "no CONNECT in time"))
        elif self._partial is not None and now - self._partial > PACKET_TIMEOUT_S + self._framer.needed / 1024:
            self.fail(ProtocolViolation(Reason.KEEP_ALIVE_TIMEOUT, "a packet was not complete in time"))
        elif self._connect is not None:
            keep_alive = self._connect.keep_alive
            if keep_alive and now - self._heard > 1.5 * keep_alive:
                self.fail(ProtocolViolation(Reason.KEEP_ALIVE_TIMEOUT, "nothing heard within 1.5 x keep-alive"))

    def stop(self) -> None:
        """The server goes down."""
        self.fail(ProtocolViolation(Reason.SERVER_SHUTTING_DOWN, "the server goes down"))

    def describe(self) -> str:
        """`site/code` of the device, empty before it is known."""
        return f"{self.device.site}/{self.device.code}" if self.device is not None else ""

    def renew(self, device: Device) -> None:
        """Take over a changed row of the registry for what is published from now on."""
        assert self._topics is not None
        self.device = device
        self._topics.renew(device)

    def fail(self, violation: ProtocolViolation) -> None:
        """End the connection for a reason that MQTT 5 tells the device; the last will is published."""
        if self._closing:
            return
        self._endpoint.report(self, violation)
        if violation.reason is Reason.ADMINISTRATIVE_ACTION:
            self._session_s = 0
        if self._state is State.OPEN:
            if self._version == VERSION_5:
                self._send_last(lambda detail: packets.disconnect(violation.reason, detail), violation.detail)
        elif self._connect is not None:
            self._refuse(violation.reason, violation.detail)
        self._close()

    # -- packets ------------------------------------------------------------------------------------------------------

    def _work(self, frames: list[Frame]) -> None:
        """Deal with packets in order, until none is left or one of them makes the connection wait."""
        published: list[Message] = []
        # Every message has its own arrival: it is the key of a reading without ts.
        self._arrived = max(self._arrived + 1, self._endpoint.micros())
        try:
            for place, frame in enumerate(frames):
                if self._blocks or self._closing:
                    self._waiting = frames[place:]
                    return
                if frame.first >> 4 == PacketType.PUBLISH:
                    self._publish(frame, published)
                else:
                    # A DISCONNECT behind it may say more: what was published comes first.
                    self._endpoint.intake.put(published)
                    published = []
                    self._control(frame)
            if self._framer.violation is not None and not self._blocks:
                raise self._framer.violation
        except ProtocolViolation as violation:
            # What came before the violation counts; its acknowledgement may find the connection gone.
            self._endpoint.intake.put(published)
            published = []
            self.fail(violation)
        finally:
            if published:
                self._endpoint.intake.put(published)
                self._spend(len(published))

    def _spend(self, messages: int) -> None:
        """Count messages against the device's publish rate; above it, nothing is read until it has caught up."""
        if self._bucket is None or self._state is not State.OPEN:
            return
        wait = self._bucket.take(messages, self._endpoint.clock.monotonic())
        if wait and Block.RATE not in self._blocks:
            self._block(Block.RATE)
            asyncio.get_running_loop().call_later(wait, self._unblock, Block.RATE)

    def _publish(self, frame: Frame, published: list[Message]) -> None:
        topic, packet_id, alias, payload = packets.decode_publish(*frame, self._version)
        assert self._topics is not None
        origin = self._topics.origin(topic, alias)
        self._arrived += 1
        if not packet_id:
            published.append(Message(origin, payload, self._arrived))
            return
        self._in_flight += 1
        if self._in_flight >= self._endpoint.limits.in_flight:
            # MQTT 3.1.1 knows no receive maximum, and clients of MQTT 5 forget it when they send again all that they
            # hold after a reconnect: ended for it, they would come back with the same for ever.
            self._block(Block.WINDOW)
        published.append(Message(origin, payload, self._arrived, self, packet_id))

    def _control(self, frame: Frame) -> None:
        kind = frame.first >> 4
        body = frame.data[frame.start : frame.stop]
        if kind == PacketType.CONNECT:
            self._on_connect(body)
        elif kind == PacketType.PINGREQ:
            if body:
                raise ProtocolViolation(Reason.MALFORMED, "PINGREQ has a body")
            self._write(packets.PINGRESP)
        elif kind == PacketType.PUBACK:
            self._on_puback(packets.decode_puback(body))
        elif kind == PacketType.SUBSCRIBE:
            self._on_subscribe(packets.decode_subscribe(body, self._version))
        elif kind == PacketType.UNSUBSCRIBE:
            self._on_unsubscribe(packets.decode_unsubscribe(body, self._version))
        else:
            self._on_disconnect(*packets.decode_disconnect(body, self._version))

    def _on_connect(self, body: bytes) -> None:
        try:
            self._connect = connect = packets.decode_connect(body)
        except ProtocolViolation as violation:
            # The version is not known yet: the old form of the refusal is the one that every client reads.
            if violation.reason is Reason.UNSUPPORTED_VERSION:
                self._write(packets.connack(VERSION_3, violation.reason, {}))
            elif body[6:7] == bytes((VERSION_5,)):
                self._write(packets.connack(VERSION_5, violation.reason, {}))
            raise
        self._version = connect.version
        self._state = State.CHECKING
        self._block(Block.CHECKING)
        self._endpoint.spawn(self._enter(connect))

    async def _enter(self, connect: Connect) -> None:
        """Check who it is; the connection reads nothing meanwhile."""
        user = connect.user if self._certified is None else self._certified
        if not self._endpoint.may_connect(self.peer, user):
            self.fail(ProtocolViolation(Reason.CONNECTION_RATE_EXCEEDED, "connects too often"))
            return
        try:
            device = await self._endpoint.credentials.check(
                connect.user, connect.password, self._certified, peer=self.peer
            )
        except Busy:
            self.fail(ProtocolViolation(Reason.SERVER_BUSY, "too many devices connect for the first time, try again"))
            return
        except Refused as refused:
            if self._closing:
                return
            self._endpoint.refused(self, connect, refused.reject)
            self._refuse(Reason.BAD_CREDENTIALS, refused.reject.detail)
            self._close()
            return
        if self._closing:
            return
        self.client_id = connect.client_id or self._endpoint.new_client_id()
        self.device = device
        self._bucket = self._endpoint.publish_bucket(device)
        self._topics = Topics(device, source=self._endpoint.source, client=self.client_id)
        will = connect.will
        if will is not None and self._topics.own(will.topic) is None:
            self.fail(ProtocolViolation(Reason.NOT_AUTHORISED, "the last will's topic is not one of this device"))
        elif will is not None and will.qos > 1:
            self.fail(ProtocolViolation(Reason.QOS_NOT_SUPPORTED, "QoS 2 is not supported; use QoS 1 for the will"))
        elif not connect.client_id and not connect.clean_start and connect.version == VERSION_3:
            self.fail(ProtocolViolation(Reason.CLIENT_IDENTIFIER_NOT_VALID, "a kept session needs a client identifier"))
        else:
            self._open(connect)

    def _open(self, connect: Connect) -> None:
        limits = self._endpoint.limits
        self._state = State.OPEN
        self._session_s = min(connect.session_s, LONGEST_S) if connect.client_id else 0
        kept = self._endpoint.enter(self, clean=connect.clean_start)
        options: dict[int, int | str] = {
            Property.SESSION_EXPIRY: self._session_s,
            Property.RECEIVE_MAXIMUM: limits.in_flight,
            Property.MAXIMUM_QOS: 1,
            Property.MAXIMUM_PACKET_SIZE: limits.packet_bytes,
            Property.TOPIC_ALIAS_MAXIMUM: TOPIC_ALIASES,
            Property.WILDCARD_AVAILABLE: 0,
            Property.SUBSCRIPTION_IDENTIFIERS_AVAILABLE: 0,
            Property.SHARED_AVAILABLE: 0,
        }
        if not connect.client_id:
            options[Property.ASSIGNED_CLIENT_IDENTIFIER] = self.client_id
        self._write(packets.connack(self._version, Reason.SUCCESS, options, session=kept is not None))
        if kept is not None and kept.qos is not None:
            self._downlink = Downlink(connect, kept.qos)
            self._endpoint.listen(self)
        self._unblock(Block.CHECKING)

    def _on_subscribe(self, asked: packets.Subscribe) -> None:
        """A device hears its own command topic and nothing else."""
        assert self._topics is not None
        command = self._topics.command
        codes = [min(qos, 1) if name == command else Reason.NOT_AUTHORISED for name, qos in asked.filters]
        self._write(packets.suback(self._version, asked.packet_id, codes))
        for (name, _), granted in zip(asked.filters, codes, strict=True):
            if name == command:
                assert self._connect is not None
                self._downlink = Downlink(self._connect, granted)
                self._endpoint.listen(self)

    def _on_unsubscribe(self, asked: packets.Subscribe) -> None:
        assert self._topics is not None
        command = self._topics.command
        codes = [Reason.SUCCESS if name == command else Reason.NO_SUBSCRIPTION_EXISTED for name, _ in asked.filters]
        self._write(packets.unsuback(self._version, asked.packet_id, codes))
        if Reason.SUCCESS in codes:
            self._downlink = None

    def _on_disconnect(self, reason: int, session_s: int | None) -> None:
        if session_s is not None:
            if session_s and self._connect is not None and not self._connect.session_s:
                raise ProtocolViolation(Reason.PROTOCOL_ERROR, "a session that was not to be kept cannot be any more")
            self._session_s = min(session_s, self._session_s or LONGEST_S, LONGEST_S)
        self._closed_by_device = reason != Reason.DISCONNECT_WITH_WILL
        self._close()

    def _on_puback(self, packet_id: int) -> None:
        number = self._downlink.acknowledged(packet_id) if self._downlink is not None else None
        if number is not None:
            self._endpoint.command_arrived(number)

    def _puback(self, message: Message) -> bytes:
        reason = Reason.SUCCESS
        if message.reject is not None:
            reason = Reason.PAYLOAD_FORMAT_INVALID if message.origin.refusal is None else Reason.NOT_AUTHORISED
        return packets.puback(self._version, message.packet_id, reason)

    # -- ending -------------------------------------------------------------------------------------------------------

    def _refuse(self, reason: Reason, detail: str) -> None:
        def build(text: str) -> bytes:
            return packets.connack(self._version, reason, {Property.REASON_STRING: text} if text else {})

        self._send_last(build, detail)

    def _leave(self) -> None:
        """Publish the last will where the device did not say good-bye, at once or later, and tell the endpoint."""
        self._state = State.GONE
        assert self._connect is not None
        assert self._topics is not None
        assert self.device is not None
        now = self._endpoint.clock.monotonic()
        asked = self._connect.will if not self._closed_by_device else None
        origin = self._topics.own(asked.topic) if asked is not None else None
        will = (origin, asked.payload) if asked is not None and origin is not None else None
        delay = min(asked.delay_s, self._session_s) if asked is not None else 0
        if will is not None and not delay:
            self._endpoint.publish_wills([will])
            will = None
        kept = None
        if self._session_s:
            kept = Kept(
                secret_hash=self.device.secret_hash,
                qos=self._downlink.qos if self._downlink is not None else None,
                expires_at=now + self._session_s,
                will=will,
                will_at=now + delay,
            )
        self._endpoint.leave(self, kept)

    def _close(self) -> None:
        if self._state is State.OPEN:
            self._leave()
        self._waiting = []
        self._shut()

    def _send_last(self, build: Callable[[str], bytes], detail: str) -> None:
        """Send the packet with its reason in words where the device takes that, without where it does not."""
        connect = self._connect
        assert connect is not None
        packet = build(detail[:_REASON_LENGTH] if connect.wants_reasons else "")
        if len(packet) > connect.maximum_packet_size:
            packet = build("")
        self._write(packet)

    # -- waiting ------------------------------------------------------------------------------------------------------

    def _work_on(self) -> None:
        frames, self._waiting = self._waiting, []
        self._work(frames)
