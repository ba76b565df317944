"""One device's connection: an asyncio protocol, from CONNECT to the acknowledgement of what it published."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from enum import Enum, IntFlag
from typing import TYPE_CHECKING, cast

from ingest.credentials import Refused
from ingest.message import Message
from ingest.mqtt import packets
from ingest.mqtt.buckets import Bucket
from ingest.mqtt.downlink import Downlink
from ingest.mqtt.framing import Frame, Framer
from ingest.mqtt.packets import VERSION_3, VERSION_5, Connect, PacketType
from ingest.mqtt.reasons import ProtocolViolation, Reason
from ingest.mqtt.tls import identity
from ingest.mqtt.topics import TOPIC_ALIASES, Topics
from ingest.mqtt.wire import Property
from sensors.registry import Device

if TYPE_CHECKING:
    from ingest.mqtt.endpoint import Endpoint

CONNECT_LIMIT = 65_536
"""Bytes that a CONNECT may have, before the peer is known."""
CONNECT_TIMEOUT_S = 10.0
"""Seconds in which a new connection sends its CONNECT."""
CLOSE_TIMEOUT_S = 5.0
"""Seconds that a peer has to take the last bytes before the connection is cut."""
_REASON_LENGTH = 200


class State(Enum):
    """Where a connection stands."""

    NEW = "new"
    CHECKING = "checking"
    OPEN = "open"
    CLOSING = "closing"


class Block(IntFlag):
    """Why nothing is read from a connection at the moment."""

    CHECKING = 1
    WINDOW = 2
    PRESSURE = 4
    WRITING = 8
    RATE = 16


class Connection(asyncio.Protocol):
    """Takes packets apart and answers; what the device publishes goes to the endpoint's intake."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._framer = Framer(CONNECT_LIMIT, endpoint.limits.packet_bytes)
        self._transport: asyncio.Transport | None = None
        self._state = State.NEW
        self._blocks = Block(0)
        self._waiting: list[Frame] = []
        self._since = self._heard = endpoint.clock.monotonic()
        self._connect: Connect | None = None
        self._topics: Topics | None = None
        self._in_flight = 0
        self._arrived = 0
        self._version = VERSION_3
        self._closed_by_device = False
        self._certified: str | None = None
        self._bucket: Bucket | None = None
        self._downlink: Downlink | None = None
        self.peer = ""
        self.client_id = ""
        self.device: Device | None = None

    # -- asyncio.Protocol ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the interface of asyncio.Transport without being one.
        self._transport = cast("asyncio.Transport", transport)
        name = transport.get_extra_info("peername")
        self.peer = str(name[0]) if name else ""
        self._certified = identity(transport.get_extra_info("peercert"))
        if not self._endpoint.admit(self):
            self._transport.abort()
            return
        if self._endpoint.pressure:
            self._block(Block.PRESSURE)

    def data_received(self, data: bytes) -> None:
        self._heard = self._endpoint.clock.monotonic()
        frames = self._framer.feed(data)
        if self._waiting:
            self._waiting += frames
        else:
            self._work(frames)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why it broke changes nothing
        was_open, self._state = self._state is State.OPEN, State.CLOSING
        if was_open:
            self._leave()
        self._endpoint.forget(self)

    def pause_writing(self) -> None:
        # A peer that does not read its acknowledgements gets no more of them to cause.
        self._block(Block.WRITING)

    def resume_writing(self) -> None:
        self._unblock(Block.WRITING)

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

    def press(self, *, pressure: bool) -> None:
        """Stop reading while the writer is behind, go on when it has caught up."""
        (self._block if pressure else self._unblock)(Block.PRESSURE)

    def check(self, now: float) -> None:
        """End what is overdue: a CONNECT that does not come, a keep-alive missed, a close that hangs."""
        if self._state is State.CLOSING:
            if now - self._since > CLOSE_TIMEOUT_S and self._transport is not None:
                self._transport.abort()
        elif self._state is State.NEW:
            if now - self._since > CONNECT_TIMEOUT_S and not self._blocks:
                self.fail(ProtocolViolation(Reason.KEEP_ALIVE_TIMEOUT, "no CONNECT in time"))
        elif self._connect is not None and not self._blocks:
            # While nothing is read, silence is ours and not the device's.
            keep_alive = self._connect.keep_alive
            if keep_alive and now - self._heard > 1.5 * keep_alive:
                self.fail(ProtocolViolation(Reason.KEEP_ALIVE_TIMEOUT, "nothing heard within 1.5 x keep-alive"))

    def renew(self, device: Device) -> None:
        """Take over a changed row of the registry for what is published from now on."""
        assert self._topics is not None
        self.device = device
        self._topics.renew(device)

    def fail(self, violation: ProtocolViolation) -> None:
        """End the connection for a reason that MQTT 5 tells the device; the last will is published."""
        if self._state is State.CLOSING:
            return
        self._endpoint.report(self, violation)
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
                if self._blocks or self._state is State.CLOSING:
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
            if self._version == VERSION_3:
                # MQTT 3.1.1 knows no receive maximum: the window is kept by not reading on.
                self._block(Block.WINDOW)
            elif self._in_flight > self._endpoint.limits.in_flight:
                raise ProtocolViolation(
                    Reason.RECEIVE_MAXIMUM_EXCEEDED, "more messages in flight than the receive maximum"
                )
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
            reason = packets.decode_disconnect(body, self._version)
            self._closed_by_device = reason != Reason.DISCONNECT_WITH_WILL
            self._close()

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
            device = await self._endpoint.credentials.check(connect.user, connect.password, self._certified)
        except Refused as refused:
            self._endpoint.refused(self, connect, refused.reject)
            self._refuse(Reason.BAD_CREDENTIALS, refused.reject.detail)
            self._close()
            return
        if self._state is not State.CHECKING:
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
        options: dict[int, int | str] = {
            Property.SESSION_EXPIRY: 0,
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
        self._write(packets.connack(self._version, Reason.SUCCESS, options))
        self._endpoint.enter(self)
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
        """Publish the last will where the device did not say good-bye, and tell the endpoint."""
        self._state = State.CLOSING
        will = self._connect.will if self._connect is not None else None
        if will is not None and self._topics is not None and not self._closed_by_device:
            origin = self._topics.own(will.topic)
            if origin is not None:
                self._endpoint.intake.put([Message(origin, will.payload, self._endpoint.micros())])
        self._endpoint.leave(self)

    def _close(self) -> None:
        if self._state is State.OPEN:
            self._leave()
        self._state = State.CLOSING
        self._since = self._endpoint.clock.monotonic()
        self._waiting = []
        if self._transport is not None:
            self._transport.close()

    def _send_last(self, build: Callable[[str], bytes], detail: str) -> None:
        """Send the packet with its reason in words where the device takes that, without where it does not."""
        connect = self._connect
        assert connect is not None
        packet = build(detail[:_REASON_LENGTH] if connect.wants_reasons else "")
        if len(packet) > connect.maximum_packet_size:
            packet = build("")
        self._write(packet)

    def _write(self, packet: bytes) -> None:
        if self._transport is not None and packet:
            self._transport.write(packet)

    # -- waiting ------------------------------------------------------------------------------------------------------

    def _block(self, block: Block) -> None:
        if not self._blocks and self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
        self._blocks |= block

    def _unblock(self, block: Block) -> None:
        had, self._blocks = self._blocks, self._blocks & ~block
        if not had or self._blocks or self._state is State.CLOSING:
            return
        self._heard = self._endpoint.clock.monotonic()
        frames, self._waiting = self._waiting, []
        self._work(frames)
        if not self._blocks and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
