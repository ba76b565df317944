"""Control packets: what a client sends is decoded, what a server sends is encoded, for MQTT 3.1.1 and 5."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

import msgspec

from ingest.mqtt.reasons import ProtocolViolation, Reason, connack_code_3
from ingest.mqtt.wire import Property, Reader, properties, string, variable

VERSION_3 = 4
"""Protocol level of MQTT 3.1.1."""
VERSION_5 = 5
"""Protocol level of MQTT 5."""


NEVER = 0xFFFFFFFF
"""Session expiry interval of a session that does not expire (MQTT 5, section 3.1.2.11.2)."""


class PacketType(IntEnum):
    """The upper four bits of a packet's first byte (section 2.1.2)."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14


class Will(msgspec.Struct, frozen=True):
    """The message that the server publishes when the connection breaks."""

    topic: str
    payload: bytes
    qos: int
    delay_s: int = 0
    """Seconds that the server waits with it for the client to come back."""


class Connect(msgspec.Struct, frozen=True, kw_only=True):
    """A decoded CONNECT."""

    version: int
    client_id: str
    clean_start: bool
    keep_alive: int
    """Seconds between packets that the client promises; 0: none promised."""
    user: str | None
    password: bytes | None
    will: Will | None
    session_s: int
    """Seconds that the client wants its session kept after the connection; NEVER: as long as there is one."""
    maximum_packet_size: int
    """The largest packet the client takes."""
    receive_maximum: int
    """QoS 1 messages that the client takes before it has acknowledged the first."""
    wants_reasons: bool
    """Whether reason strings may be sent (MQTT 5, section 3.1.2.11.7)."""


class Publish(NamedTuple):
    """A decoded PUBLISH of QoS 0 (packet_id 0) or 1. `topic` is empty when an alias stands for it."""

    topic: bytes
    packet_id: int
    alias: int
    payload: bytes


class Subscribe(msgspec.Struct, frozen=True):
    """A decoded SUBSCRIBE or UNSUBSCRIBE: packet identifier and (topic filter, requested QoS)."""

    packet_id: int
    filters: list[tuple[str, int]]


_CONNECT_PROPERTIES = frozenset(
    {
        Property.SESSION_EXPIRY,
        Property.RECEIVE_MAXIMUM,
        Property.MAXIMUM_PACKET_SIZE,
        Property.TOPIC_ALIAS_MAXIMUM,
        Property.REQUEST_RESPONSE_INFORMATION,
        Property.REQUEST_PROBLEM_INFORMATION,
        Property.USER_PROPERTY,
        Property.AUTHENTICATION_METHOD,
        Property.AUTHENTICATION_DATA,
    }
)
_FLAGS = (Property.REQUEST_RESPONSE_INFORMATION, Property.REQUEST_PROBLEM_INFORMATION)
_MESSAGE_PROPERTIES = frozenset(
    {
        Property.PAYLOAD_FORMAT,
        Property.MESSAGE_EXPIRY,
        Property.CONTENT_TYPE,
        Property.RESPONSE_TOPIC,
        Property.CORRELATION_DATA,
        Property.USER_PROPERTY,
    }
)
_WILL_PROPERTIES = _MESSAGE_PROPERTIES | {Property.WILL_DELAY}
_PUBLISH_PROPERTIES = _MESSAGE_PROPERTIES | {Property.TOPIC_ALIAS}
_SUBSCRIBE_PROPERTIES = frozenset({Property.SUBSCRIPTION_IDENTIFIER, Property.USER_PROPERTY})
_UNSUBSCRIBE_PROPERTIES = frozenset({Property.USER_PROPERTY})
_DISCONNECT_PROPERTIES = frozenset({Property.SESSION_EXPIRY, Property.REASON_STRING, Property.USER_PROPERTY})


def decode_connect(body: bytes) -> Connect:
    """Decode a CONNECT's variable header and payload (section 3.1). Raises ProtocolViolation."""
    reader = Reader(body)
    if reader.binary() != b"MQTT":
        raise ProtocolViolation(Reason.UNSUPPORTED_VERSION, "protocol name is not MQTT")
    version = reader.byte()
    if version not in (VERSION_3, VERSION_5):
        raise ProtocolViolation(Reason.UNSUPPORTED_VERSION, f"protocol level {version} is neither 3.1.1 nor 5")
    flags = reader.byte()
    has_will, will_qos = flags & 0x04, flags >> 3 & 3
    if flags & 0x01 or will_qos == 3 or (not has_will and flags & 0x38):
        raise ProtocolViolation(Reason.MALFORMED, f"connect flags 0x{flags:02x} contradict each other")
    if version == VERSION_3 and flags & 0xC0 == 0x40:
        raise ProtocolViolation(Reason.MALFORMED, "password without user name")
    keep_alive = reader.two()
    options = reader.properties(_CONNECT_PROPERTIES) if version == VERSION_5 else {}
    if Property.AUTHENTICATION_METHOD in options:
        raise ProtocolViolation(Reason.BAD_AUTHENTICATION_METHOD, "enhanced authentication is not offered")
    if options.get(Property.RECEIVE_MAXIMUM) == 0 or options.get(Property.MAXIMUM_PACKET_SIZE) == 0:
        raise ProtocolViolation(Reason.PROTOCOL_ERROR, "a maximum of 0 is not allowed")
    if not {options.get(name, 0) for name in _FLAGS} <= {0, 1}:
        raise ProtocolViolation(Reason.PROTOCOL_ERROR, "a flag is neither 0 nor 1")
    client_id = reader.string()
    will = None
    if has_will:
        about = reader.properties(_WILL_PROPERTIES) if version == VERSION_5 else {}
        delay = about.get(Property.WILL_DELAY, 0)
        assert isinstance(delay, int)
        will = Will(reader.string(), reader.binary(), will_qos, delay)
    user = reader.string() if flags & 0x80 else None
    password = reader.binary() if flags & 0x40 else None
    if reader.left:
        raise ProtocolViolation(Reason.MALFORMED, "bytes after the end of CONNECT")
    largest = options.get(Property.MAXIMUM_PACKET_SIZE, 0xFFFFFFFF)
    in_flight = options.get(Property.RECEIVE_MAXIMUM, 0xFFFF)
    assert isinstance(largest, int)
    assert isinstance(in_flight, int)
    clean = bool(flags & 0x02)
    session = options.get(Property.SESSION_EXPIRY, 0) if version == VERSION_5 else (0 if clean else NEVER)
    assert isinstance(session, int)
    return Connect(
        version=version,
        client_id=client_id,
        clean_start=clean,
        keep_alive=keep_alive,
        user=user,
        password=password,
        will=will,
        session_s=session,
        maximum_packet_size=largest,
        receive_maximum=in_flight,
        wants_reasons=options.get(Property.REQUEST_PROBLEM_INFORMATION, 1) != 0,
    )


def decode_publish(first: int, data: bytes, start: int, stop: int, version: int) -> Publish:
    """Decode the PUBLISH whose body is data[start:stop] (section 3.3); the hot path, mostly without a Reader."""
    qos = first >> 1 & 3
    if qos > 1:
        if qos == 2:
            raise ProtocolViolation(Reason.QOS_NOT_SUPPORTED, "QoS 2 is not supported; publish with QoS 1")
        raise ProtocolViolation(Reason.MALFORMED, "QoS 3 does not exist")
    at = start + 2
    topic_end = at + (data[start] << 8 | data[start + 1]) if at <= stop else stop + 1
    after = topic_end + 2 * qos
    if after > stop:
        raise ProtocolViolation(Reason.MALFORMED, "packet ends inside a field")
    topic = data[at:topic_end]
    packet_id = 0
    if qos:
        packet_id = data[topic_end] << 8 | data[topic_end + 1]
        if not packet_id:
            raise ProtocolViolation(Reason.MALFORMED, "packet identifier is 0")
    alias = 0
    if version == VERSION_5:
        if after < stop and data[after] == 0:
            after += 1
        else:
            reader = Reader(data, after, stop)
            options = reader.properties(_PUBLISH_PROPERTIES)
            after = reader.at
            found = options.get(Property.TOPIC_ALIAS)
            if found is not None:
                assert isinstance(found, int)
                alias = found
                if not alias:
                    raise ProtocolViolation(Reason.TOPIC_ALIAS_INVALID, "topic alias is 0")
    if not topic and not alias:
        raise ProtocolViolation(Reason.MALFORMED if version == VERSION_3 else Reason.PROTOCOL_ERROR, "empty topic")
    return Publish(topic, packet_id, alias, data[after:stop])


def decode_subscribe(body: bytes, version: int) -> Subscribe:
    """Decode a SUBSCRIBE (section 3.8)."""
    reader = Reader(body)
    packet_id = _packet_id(reader)
    if version == VERSION_5:
        reader.properties(_SUBSCRIBE_PROPERTIES)
    filters = []
    while reader.left:
        topic = reader.string()
        options = reader.byte()
        reserved = 0xC0 if version == VERSION_5 else 0xFC
        if options & reserved or options & 3 == 3 or options & 0x30 == 0x30:
            raise ProtocolViolation(Reason.MALFORMED, f"subscription options 0x{options:02x} do not exist")
        filters.append((topic, options & 3))
    if not filters:
        raise ProtocolViolation(Reason.PROTOCOL_ERROR, "SUBSCRIBE without a topic filter")
    return Subscribe(packet_id, filters)


def decode_unsubscribe(body: bytes, version: int) -> Subscribe:
    """Decode an UNSUBSCRIBE (section 3.10); the QoS of its filters is 0."""
    reader = Reader(body)
    packet_id = _packet_id(reader)
    if version == VERSION_5:
        reader.properties(_UNSUBSCRIBE_PROPERTIES)
    filters = []
    while reader.left:
        filters.append((reader.string(), 0))
    if not filters:
        raise ProtocolViolation(Reason.PROTOCOL_ERROR, "UNSUBSCRIBE without a topic filter")
    return Subscribe(packet_id, filters)


def decode_disconnect(body: bytes, version: int) -> tuple[int, int | None]:
    """Reason code of a DISCONNECT, 0 where left out, and the session expiry it asks for (section 3.14), else None."""
    if not body:
        return 0, None
    if version == VERSION_3:
        raise ProtocolViolation(Reason.MALFORMED, "DISCONNECT has a body")
    reader = Reader(body)
    reason = reader.byte()
    options = reader.properties(_DISCONNECT_PROPERTIES) if reader.left else {}
    if reader.left:
        raise ProtocolViolation(Reason.MALFORMED, "bytes after the end of DISCONNECT")
    session = options.get(Property.SESSION_EXPIRY)
    assert session is None or isinstance(session, int)
    return reason, session


def _packet_id(reader: Reader) -> int:
    packet_id = reader.two()
    if not packet_id:
        raise ProtocolViolation(Reason.MALFORMED, "packet identifier is 0")
    return packet_id


PINGRESP = bytes((PacketType.PINGRESP << 4, 0))


def connack(version: int, reason: Reason, options: dict[int, int | str], *, session: bool = False) -> bytes:
    """Encode a CONNACK (section 3.2); `session`: one was present. Empty where MQTT 3.1.1 has no code for the reason."""
    if version == VERSION_5:
        body = bytes((session, reason)) + properties(options)
    else:
        code = connack_code_3(reason)
        if code is None:
            return b""
        body = bytes((session, code))
    return bytes((PacketType.CONNACK << 4,)) + variable(len(body)) + body


def decode_puback(body: bytes) -> int:
    """The packet identifier that a PUBACK answers (section 3.4); what MQTT 5 adds to it changes nothing here."""
    return _packet_id(Reader(body))


def publish(version: int, topic: str, payload: bytes, *, packet_id: int, expiry_s: int) -> bytes:
    """Encode a PUBLISH to a client (section 3.3): QoS 1, or QoS 0 where packet_id is 0."""
    body = string(topic) + (packet_id.to_bytes(2, "big") if packet_id else b"")
    if version == VERSION_5:
        body += properties({Property.MESSAGE_EXPIRY: expiry_s})
    body += payload
    return bytes((PacketType.PUBLISH << 4 | (2 if packet_id else 0),)) + variable(len(body)) + body


def puback(version: int, packet_id: int, reason: int) -> bytes:
    """Encode a PUBACK (section 3.4); MQTT 3.1.1 carries no reason."""
    if version == VERSION_5 and reason:
        return bytes((0x40, 3, packet_id >> 8, packet_id & 0xFF, reason))
    return bytes((0x40, 2, packet_id >> 8, packet_id & 0xFF))


def suback(version: int, packet_id: int, codes: Sequence[int]) -> bytes:
    """Encode a SUBACK (section 3.9): a granted QoS or a failure code for each filter."""
    if version == VERSION_3:
        codes = [code if code <= 2 else 0x80 for code in codes]
    return _answer(PacketType.SUBACK, version, packet_id, bytes(codes))


def unsuback(version: int, packet_id: int, codes: Sequence[int]) -> bytes:
    """Encode an UNSUBACK (section 3.11); only MQTT 5 carries codes."""
    return _answer(PacketType.UNSUBACK, version, packet_id, bytes(codes) if version == VERSION_5 else b"")


def _answer(kind: PacketType, version: int, packet_id: int, codes: bytes) -> bytes:
    body = packet_id.to_bytes(2, "big") + (b"\0" if version == VERSION_5 else b"") + codes
    return bytes((kind << 4,)) + variable(len(body)) + body


def disconnect(reason: Reason, detail: str) -> bytes:
    """Encode a DISCONNECT from the server, which only MQTT 5 has (section 3.14)."""
    options: dict[int, int | str] = {Property.REASON_STRING: detail} if detail else {}
    body = bytes((reason,)) + properties(options)
    return bytes((PacketType.DISCONNECT << 4,)) + variable(len(body)) + body
