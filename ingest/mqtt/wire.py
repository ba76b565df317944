"""The data representation of MQTT: integers, strings, variable byte integers and the properties of MQTT 5."""

from __future__ import annotations

from collections.abc import Collection

from ingest.mqtt.reasons import ProtocolViolation, Reason

MAX_VARIABLE = 268_435_455
"""Largest variable byte integer: four bytes of seven bits (section 1.5.5)."""

PropertyValue = int | str | bytes | list[tuple[str, str]]
Properties = dict[int, PropertyValue]


class Property:
    """Property identifiers (MQTT 5, section 2.2.2.2)."""

    PAYLOAD_FORMAT = 0x01
    MESSAGE_EXPIRY = 0x02
    CONTENT_TYPE = 0x03
    RESPONSE_TOPIC = 0x08
    CORRELATION_DATA = 0x09
    SUBSCRIPTION_IDENTIFIER = 0x0B
    SESSION_EXPIRY = 0x11
    ASSIGNED_CLIENT_IDENTIFIER = 0x12
    AUTHENTICATION_METHOD = 0x15
    AUTHENTICATION_DATA = 0x16
    REQUEST_PROBLEM_INFORMATION = 0x17
    WILL_DELAY = 0x18
    REQUEST_RESPONSE_INFORMATION = 0x19
    REASON_STRING = 0x1F
    RECEIVE_MAXIMUM = 0x21
    TOPIC_ALIAS_MAXIMUM = 0x22
    TOPIC_ALIAS = 0x23
    MAXIMUM_QOS = 0x24
    USER_PROPERTY = 0x26
    MAXIMUM_PACKET_SIZE = 0x27
    WILDCARD_AVAILABLE = 0x28
    SUBSCRIPTION_IDENTIFIERS_AVAILABLE = 0x29
    SHARED_AVAILABLE = 0x2A


_BYTE, _TWO, _FOUR, _VARIABLE, _STRING, _BINARY, _PAIR = range(7)
_TYPES = {
    Property.PAYLOAD_FORMAT: _BYTE,
    Property.MESSAGE_EXPIRY: _FOUR,
    Property.CONTENT_TYPE: _STRING,
    Property.RESPONSE_TOPIC: _STRING,
    Property.CORRELATION_DATA: _BINARY,
    Property.SUBSCRIPTION_IDENTIFIER: _VARIABLE,
    Property.SESSION_EXPIRY: _FOUR,
    Property.ASSIGNED_CLIENT_IDENTIFIER: _STRING,
    Property.AUTHENTICATION_METHOD: _STRING,
    Property.AUTHENTICATION_DATA: _BINARY,
    Property.REQUEST_PROBLEM_INFORMATION: _BYTE,
    Property.WILL_DELAY: _FOUR,
    Property.REQUEST_RESPONSE_INFORMATION: _BYTE,
    Property.REASON_STRING: _STRING,
    Property.RECEIVE_MAXIMUM: _TWO,
    Property.TOPIC_ALIAS_MAXIMUM: _TWO,
    Property.TOPIC_ALIAS: _TWO,
    Property.MAXIMUM_QOS: _BYTE,
    Property.USER_PROPERTY: _PAIR,
    Property.MAXIMUM_PACKET_SIZE: _FOUR,
    Property.WILDCARD_AVAILABLE: _BYTE,
    Property.SUBSCRIPTION_IDENTIFIERS_AVAILABLE: _BYTE,
    Property.SHARED_AVAILABLE: _BYTE,
}


class Reader:
    """Reads one packet body front to back; running past its end is a malformed packet."""

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes, start: int = 0, end: int | None = None) -> None:
        self._data = data
        self._at = start
        self._end = len(data) if end is None else end

    @property
    def at(self) -> int:
        """Offset of the next unread byte in the data given."""
        return self._at

    @property
    def left(self) -> int:
        """Bytes not yet read."""
        return self._end - self._at

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        stop = self._at + count
        if stop > self._end:
            raise ProtocolViolation(Reason.MALFORMED, "packet ends inside a field")
        piece = self._data[self._at : stop]
        self._at = stop
        return piece

    def byte(self) -> int:
        """One unsigned byte."""
        return self.take(1)[0]

    def two(self) -> int:
        """A two byte integer, big-endian."""
        return int.from_bytes(self.take(2), "big")

    def four(self) -> int:
        """A four byte integer, big-endian."""
        return int.from_bytes(self.take(4), "big")

    def variable(self) -> int:
        """A variable byte integer (section 1.5.5)."""
        value = 0
        for shift in (0, 7, 14, 21):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise ProtocolViolation(Reason.MALFORMED, "variable byte integer is longer than four bytes")

    def binary(self) -> bytes:
        """Length-prefixed bytes."""
        return self.take(self.two())

    def string(self) -> str:
        """A length-prefixed UTF-8 string without U+0000 (section 1.5.4)."""
        try:
            text = self.binary().decode()
        except UnicodeDecodeError as error:
            raise ProtocolViolation(Reason.MALFORMED, "string is not UTF-8") from error
        if "\0" in text:
            raise ProtocolViolation(Reason.MALFORMED, "string holds U+0000")
        return text

    def properties(self, allowed: Collection[int]) -> Properties:
        """The property block of a packet; each property at most once, and only those `allowed` in this packet."""
        length = self.variable()
        if length > self.left:
            raise ProtocolViolation(Reason.MALFORMED, "properties run past the packet")
        stop = self._at + length
        found: Properties = {}
        while self._at < stop:
            name = self.variable()
            if name not in allowed:
                raise ProtocolViolation(Reason.PROTOCOL_ERROR, f"property 0x{name:02x} does not belong here")
            if name == Property.USER_PROPERTY:
                pairs = found.setdefault(name, [])
                assert isinstance(pairs, list)
                pairs.append((self.string(), self.string()))
            elif name in found:
                raise ProtocolViolation(Reason.PROTOCOL_ERROR, f"property 0x{name:02x} is given twice")
            else:
                found[name] = self._value(_TYPES[name])
        if self._at != stop:
            raise ProtocolViolation(Reason.MALFORMED, "property runs past the property length")
        return found

    def _value(self, kind: int) -> int | str | bytes:
        if kind == _BYTE:
            return self.byte()
        if kind == _TWO:
            return self.two()
        if kind == _FOUR:
            return self.four()
        if kind == _VARIABLE:
            return self.variable()
        if kind == _STRING:
            return self.string()
        return self.binary()


def variable(value: int) -> bytes:
    """Encode a variable byte integer."""
    if not 0 <= value <= MAX_VARIABLE:
        raise ValueError(f"{value} is no variable byte integer")
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | 0x80 if value else low)
        if not value:
            return bytes(out)


def string(text: str) -> bytes:
    """Encode a length-prefixed UTF-8 string."""
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


def properties(values: dict[int, int | str]) -> bytes:
    """Encode a property block with its length; integers and strings only, which is all a server of ours sends."""
    out = bytearray()
    for name, value in values.items():
        kind = _TYPES[name]
        out += variable(name)
        if isinstance(value, str):
            out += string(value)
        else:
            out += value.to_bytes({_BYTE: 1, _TWO: 2, _FOUR: 4}[kind], "big")
    return variable(len(out)) + bytes(out)
