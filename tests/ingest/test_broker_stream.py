"""The stream under paho: its PUBLISH packets come out whole however it is cut, all the rest reaches paho."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.mqtt import packets
from ingest.mqtt.packets import VERSION_5, Publish
from ingest.sources.broker_stream import Stream

CONTROL = [b"\x20\x03\x00\x00\x00", b"\x90\x04\x00\x01\x00\x01", b"\xd0\x00", b"\x40\x02\x00\x07"]
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
PUBLISHES = st.builds(
    lambda topic, payload, packet_id: packets.publish(VERSION_5, topic, payload, packet_id=packet_id, expiry_s=60),
    TEXT,
    st.binary(max_size=400),
    st.integers(1, 65535),
)


@contextlib.contextmanager
def connected() -> Iterator[tuple[Stream, socket.socket]]:
    """A stream and the broker's end of its connection."""
    ours, theirs = socket.socketpair()
    stream = Stream(ours)
    stream.setblocking(False)
    with theirs:
        yield stream, theirs
    stream.close()


def drain(stream: Stream) -> bytes:
    """All that paho can read now, fetched in small pieces as paho does."""
    found = bytearray()
    with contextlib.suppress(BlockingIOError):
        while piece := stream.recv(3):
            found += piece
    return bytes(found)


@given(st.lists(st.one_of(st.sampled_from(CONTROL), PUBLISHES), max_size=12), st.integers(1, 60))
def test_publishes_are_taken_and_the_rest_is_paho_s(sent: list[bytes], size: int) -> None:
    whole = b"".join(sent)
    published: list[Publish] = []
    control = b""
    with connected() as (stream, broker):
        for at in range(0, len(whole), size):
            broker.sendall(whole[at : at + size])
            published += stream.read()
            control += drain(stream)
    expected = [packet for packet in sent if packet not in CONTROL]
    assert control == b"".join(packet for packet in sent if packet in CONTROL)
    assert [
        packets.publish(VERSION_5, topic.decode(), payload, packet_id=packet_id, expiry_s=60)
        for topic, packet_id, _, payload in published
    ] == expected


def test_the_end_comes_behind_the_last_packet() -> None:
    with connected() as (stream, broker):
        broker.sendall(CONTROL[0] + packets.publish(VERSION_5, "a", b"1", packet_id=1, expiry_s=1))
        broker.shutdown(socket.SHUT_WR)
        assert [packet.payload for packet in stream.read()] == [b"1"]
        assert stream.read() == []
        assert drain(stream) == CONTROL[0]
        assert stream.for_paho
        assert stream.recv(1) == b""


@pytest.mark.parametrize(
    "garbage", [b"HTTP/1.1 400 Bad Request\r\n", b"\x30\x03\x00\x09a", b"\x34\x05\x00\x01a\x00\x01"]
)
def test_what_is_no_mqtt_ends_the_connection(garbage: bytes) -> None:
    with connected() as (stream, broker):
        broker.sendall(packets.publish(VERSION_5, "a", b"1", packet_id=1, expiry_s=1) + garbage)
        assert [packet.payload for packet in stream.read()] == [b"1"]
        with pytest.raises(ConnectionAbortedError, match="no MQTT"):
            stream.recv(1)


def test_a_broker_that_does_not_read_loses_nothing_of_what_is_sent() -> None:
    with connected() as (stream, broker):
        everything = bytes(range(256)) * 8192
        stream.send(everything)
        assert not stream.flush()
        broker.settimeout(10)
        received = bytearray()
        while len(received) < len(everything):
            received += broker.recv(1 << 16)
            stream.flush()
        assert received == everything
        assert stream.flush()


def test_a_lost_connection_is_told_to_paho() -> None:
    with connected() as (stream, broker):
        broker.close()
        for _ in range(2):  # the first may still be taken by the kernel
            stream.send(b"\xc0\x00")
            assert stream.flush()
        with pytest.raises(OSError, match=r"\[Errno"):
            stream.recv(1)
