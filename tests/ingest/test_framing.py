"""Cutting packets: any cut of the stream gives the same packets, and no bytes do more than end the connection."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingest.mqtt import packets
from ingest.mqtt.framing import Framer
from ingest.mqtt.packets import PacketType
from ingest.mqtt.reasons import ProtocolViolation, Reason
from tests.ingest import raw

PUBLISHES = st.lists(
    st.builds(
        raw.publish,
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20),
        st.binary(max_size=300),
        packet_id=st.integers(1, 65535),
        qos=st.integers(0, 1),
    ),
    max_size=8,
)


def cut(stream: bytes, sizes: list[int]) -> list[bytes]:
    """The stream in pieces of these sizes, over and over."""
    pieces, at, turn = [], 0, 0
    while at < len(stream):
        pieces.append(stream[at : at + sizes[turn % len(sizes)]])
        at += len(pieces[-1])
        turn += 1
    return pieces


def bodies(framer: Framer, pieces: list[bytes]) -> list[tuple[int, bytes]]:
    """First bytes and bodies of what the framer makes of the pieces."""
    return [(frame.first, frame.data[frame.start : frame.stop]) for piece in pieces for frame in framer.feed(piece)]


@given(PUBLISHES, st.lists(st.integers(1, 50), min_size=1, max_size=6))
def test_packets_do_not_depend_on_how_the_stream_is_cut(published: list[bytes], sizes: list[int]) -> None:
    stream = raw.connect() + b"".join(published) + b"\xc0\x00"
    whole, pieces = Framer(1000, 1000), Framer(1000, 1000)
    expected = bodies(whole, [stream])
    assert bodies(pieces, cut(stream, sizes)) == expected
    assert len(expected) == len(published) + 2
    assert whole.violation is None
    assert pieces.violation is None


@given(st.binary(max_size=400), st.lists(st.integers(1, 50), min_size=1, max_size=6))
def test_no_bytes_break_the_framer(garbage: bytes, sizes: list[int]) -> None:
    framer = Framer(1000, 1000)
    found = bodies(framer, cut(garbage, sizes))
    assert sum(2 + len(body) for _, body in found) <= len(garbage)


@given(PUBLISHES, st.data())
def test_mutated_packets_raise_nothing_but_violations(published: list[bytes], data: st.DataObject) -> None:
    version = data.draw(st.sampled_from([packets.VERSION_3, packets.VERSION_5]))
    stream = bytearray(
        raw.connect(version, will=("t", b"gone"), properties=b"\x21\x00\x05" if version == 5 else b"")
        + b"".join(published)
        + raw.subscribe("a", "b", version=version)
        + raw.packet(0xA2, b"\0\x08" + (b"\0" if version == 5 else b"") + raw.text("a"))
        + raw.packet(0xE0, b"\x04\0" if version == 5 else b"")
    )
    for _ in range(data.draw(st.integers(1, 4))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    framer = Framer(4096, 4096)
    for frame in framer.feed(bytes(stream)):
        violation = None
        try:
            decode(*frame, version)
        except ProtocolViolation as found:
            violation = found
        assert violation is None or (violation.reason >= 0x80 and violation.detail)


def decode(first: int, data: bytes, start: int, stop: int, version: int) -> object:
    """Decode a packet as a connection does."""
    body = data[start:stop]
    match PacketType(first >> 4):
        case PacketType.CONNECT:
            return packets.decode_connect(body)
        case PacketType.PUBLISH:
            found = packets.decode_publish(first, data, start, stop, version)
            assert len(found.topic) + len(found.payload) <= len(body)
            return found
        case PacketType.SUBSCRIBE:
            return packets.decode_subscribe(body, version)
        case PacketType.UNSUBSCRIBE:
            return packets.decode_unsubscribe(body, version)
        case PacketType.DISCONNECT:
            return packets.decode_disconnect(body, version)
        case _:
            return None


def test_a_length_over_the_limit_is_refused_with_its_header() -> None:
    framer = Framer(1000, 1000)
    framer.feed(raw.connect())
    assert framer.feed(b"\x32" + raw.length(999)) == []
    assert framer.violation is not None
    assert framer.violation.reason is Reason.PACKET_TOO_LARGE
    assert framer.feed(bytes(2000)) == []


def test_a_packet_of_just_the_limit_is_taken() -> None:
    framer = Framer(1000, 1000)
    framer.feed(raw.connect())
    body = bytes(997)
    (frame,) = framer.feed(b"\x32" + raw.length(997) + body)
    assert frame.stop - frame.start == 997
    assert framer.violation is None
