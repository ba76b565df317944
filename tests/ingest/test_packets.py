"""Packets, field by field."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.mqtt import packets
from ingest.mqtt.packets import VERSION_3, VERSION_5
from ingest.mqtt.reasons import ProtocolViolation, Reason
from ingest.mqtt.wire import MAX_VARIABLE, Reader, properties, variable
from tests.ingest import raw

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)


@given(st.integers(0, MAX_VARIABLE))
def test_variable_byte_integers(value: int) -> None:
    data = variable(value)
    assert 1 <= len(data) <= 4
    assert Reader(data).variable() == value


@pytest.mark.parametrize("value", [-1, MAX_VARIABLE + 1])
def test_what_is_no_variable_byte_integer(value: int) -> None:
    with pytest.raises(ValueError, match="variable byte integer"):
        variable(value)


@given(
    version=st.sampled_from([VERSION_3, VERSION_5]),
    user=TEXT,
    password=TEXT,
    client_id=TEXT,
    keep_alive=st.integers(0, 65535),
    clean=st.booleans(),
    will=st.none() | st.tuples(TEXT, st.binary(max_size=40)),
)
def test_connect(
    version: int,
    user: str,
    password: str,
    client_id: str,
    keep_alive: int,
    clean: bool,
    will: tuple[str, bytes] | None,
) -> None:
    data = raw.connect(
        version, user=user, password=password, client_id=client_id, keep_alive=keep_alive, clean=clean, will=will
    )
    start = 2 if data[1] < 0x80 else 3
    found = packets.decode_connect(data[start:])
    assert (found.version, found.client_id, found.keep_alive, found.clean_start) == (
        version,
        client_id,
        keep_alive,
        clean,
    )
    assert (found.user, found.password) == (user, password.encode())
    assert (None if found.will is None else (found.will.topic, found.will.payload)) == will


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (raw.text("MQTX") + b"\x05\x02\0\0\0\0\0", Reason.UNSUPPORTED_VERSION),
        (raw.text("MQTT") + b"\x06\x02\0\0\0\0\0", Reason.UNSUPPORTED_VERSION),
        (raw.text("MQTT") + b"\x05\x03\0\0\0\0\0", Reason.MALFORMED),  # reserved flag
        (raw.text("MQTT") + b"\x05\x1c\0\0\0\0\0", Reason.MALFORMED),  # will QoS 3
        (raw.text("MQTT") + b"\x05\x20\0\0\0\0\0", Reason.MALFORMED),  # will retain without a will
        (raw.text("MQTT") + b"\x04\x42\0\0\0\0\0\0", Reason.MALFORMED),  # password without user
        (raw.text("MQTT") + b"\x05\x02\0\0\x03\x21\0\0\0\0", Reason.PROTOCOL_ERROR),  # receive maximum 0
        (raw.text("MQTT") + b"\x05\x02\0\0\x03\x23\0\x01\0\0", Reason.PROTOCOL_ERROR),  # topic alias in CONNECT
        (raw.text("MQTT") + b"\x05\x02\0\0\x06\x21\0\x01\x21\0\x01\0\0", Reason.PROTOCOL_ERROR),  # twice
        (raw.text("MQTT") + b"\x05\x02\0\0\0\0\x01\xff", Reason.MALFORMED),  # not UTF-8
        (raw.text("MQTT") + b"\x05\x02\0\0\0\0\x01\0", Reason.MALFORMED),  # U+0000
        (raw.text("MQTT") + b"\x05\x02\0\0\0\0\0x", Reason.MALFORMED),  # bytes behind the end
        (raw.text("MQTT") + b"\x05\x02\0", Reason.MALFORMED),  # cut short
    ],
)
def test_wrong_connects(body: bytes, reason: Reason) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        packets.decode_connect(body)
    assert caught.value.reason is reason


@given(
    topic=TEXT.filter(bool),
    payload=st.binary(max_size=100),
    packet_id=st.integers(1, 65535),
    qos=st.integers(0, 1),
    version=st.sampled_from([VERSION_3, VERSION_5]),
    before=st.binary(max_size=5),
    after=st.binary(max_size=5),
)
def test_publish(
    topic: str, payload: bytes, packet_id: int, qos: int, version: int, before: bytes, after: bytes
) -> None:
    """A PUBLISH is read from where it lies among others."""
    data = raw.publish(topic, payload, packet_id=packet_id, qos=qos, version=version)
    header = 2 if data[1] < 0x80 else 3
    start, stop = len(before) + header, len(before) + len(data)
    found = packets.decode_publish(data[0], before + data + after, start, stop, version)
    assert found == (topic.encode(), packet_id if qos else 0, 0, payload)


@pytest.mark.parametrize(
    ("first", "body", "reason"),
    [
        (0x34, raw.text("t") + b"\0\x01\0", Reason.QOS_NOT_SUPPORTED),
        (0x36, raw.text("t") + b"\0\x01\0", Reason.MALFORMED),
        (0x32, raw.text("t") + b"\0\0\0", Reason.MALFORMED),  # packet identifier 0
        (0x32, raw.text("t") + b"\0", Reason.MALFORMED),
        (0x30, b"\0\x09t", Reason.MALFORMED),
        (0x30, b"", Reason.MALFORMED),
        (0x30, raw.text("") + b"\0", Reason.PROTOCOL_ERROR),  # neither topic nor alias
        (0x30, raw.text("t") + b"\x03\x23\0\0", Reason.TOPIC_ALIAS_INVALID),
        (0x30, raw.text("t") + b"\x09\x23\0\x01", Reason.MALFORMED),  # properties run past the packet
    ],
)
def test_wrong_publishes(first: int, body: bytes, reason: Reason) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        packets.decode_publish(first, body + b"the next packet", 0, len(body), VERSION_5)
    assert caught.value.reason is reason


def test_publish_properties_are_skipped_and_an_alias_found() -> None:
    block = b"\x01\x01" + b"\x02\0\0\0\x09" + b"\x23\0\x07" + b"\x26" + raw.text("a") + raw.text("b")
    data = raw.publish("t", b"{}", properties=block)
    assert packets.decode_publish(data[0], data, 2, len(data), VERSION_5) == (b"t", 1, 7, b"{}")


@pytest.mark.parametrize("options", [0x03, 0x40, 0x30])
def test_wrong_subscriptions(options: int) -> None:
    with pytest.raises(ProtocolViolation):
        packets.decode_subscribe(b"\0\x01\0" + raw.text("t") + bytes((options,)), VERSION_5)


@pytest.mark.parametrize("body", [b"\0\x01\0", b"\0\0\0" + raw.text("t") + b"\0"])
def test_subscribe_and_unsubscribe_need_an_identifier_and_a_filter(body: bytes) -> None:
    for decode in (packets.decode_subscribe, packets.decode_unsubscribe):
        with pytest.raises(ProtocolViolation):
            decode(body, VERSION_5)


def test_a_disconnect_names_its_reason_in_mqtt_5_only() -> None:
    assert packets.decode_disconnect(b"", VERSION_3) == (0, None)
    assert packets.decode_disconnect(b"\x04", VERSION_5) == (4, None)
    assert packets.decode_disconnect(b"\0\x05\x11\0\0\0\x09", VERSION_5) == (0, 9)
    with pytest.raises(ProtocolViolation):
        packets.decode_disconnect(b"\0\0\0", VERSION_5)
    with pytest.raises(ProtocolViolation):
        packets.decode_disconnect(b"\x04", VERSION_3)


def test_answers() -> None:
    assert packets.connack(VERSION_3, Reason.SUCCESS, {}) == b"\x20\x02\0\0"
    assert packets.connack(VERSION_3, Reason.PACKET_TOO_LARGE, {}) == b""
    assert (
        packets.connack(VERSION_5, Reason.SUCCESS, {0x24: 1, 0x27: 4096}) == b"\x20\x0a\0\0\x07\x24\x01\x27\0\0\x10\0"
    )
    assert packets.puback(VERSION_3, 258, 0x99) == b"\x40\x02\x01\x02"
    assert packets.puback(VERSION_5, 258, 0x99) == b"\x40\x03\x01\x02\x99"
    assert packets.disconnect(Reason.QOS_NOT_SUPPORTED, "") == b"\xe0\x02\x9b\0"
    assert properties({0x1F: "µ"}) == b"\x05\x1f\0\x02\xc2\xb5"
