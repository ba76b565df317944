"""Framing, checksums, fields and encryption of HJ 212, on the vectors of the standards and on field deviations."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors.hj212 import compose
from sensors.hj212.checksum import crc_hj212, crc_modbus_lohi
from sensors.hj212.faults import Refused
from sensors.hj212.framing import Splitter
from sensors.hj212.packet import Packet, attributes, check, open_frame, write
from sensors.hj212.policy import Policy, policy_of
from sensors.hj212.sm4 import key_bytes, seal, unseal
from tests.sensors import hj212_frames as frames

KEY = "0" * 16
BEIJING = timezone(timedelta(hours=8))


def reason(raw: bytes, **options: object) -> str:
    """Why a frame is refused, "" where it is taken."""
    try:
        check(open_frame(raw), policy_of(options))
    except Refused as refused:
        return refused.reject.reason
    return ""


def split(data: bytes, limit: int = 65_536) -> list[tuple[bytes, bool]]:
    return [(piece.raw, piece.framed) for piece in Splitter(limit).feed(data)]


# -- checksums and whole frames ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", frames.ALL)
def test_vectors_pass_and_are_written_again_byte_for_byte(raw: bytes) -> None:
    envelope = open_frame(raw)
    assert envelope.length == len(envelope.data)
    packet, warnings = check(envelope, Policy(length="strict"))
    assert not warnings
    assert write(packet) == raw + b"\r\n"


def test_the_checksum_is_not_that_of_modbus() -> None:
    data = frames.STANDARD_2017[6:-4]
    assert (crc_hj212(data), crc_modbus_lohi(data)) == ("1C80", "5907")


def test_the_acknowledgement_of_a_packet() -> None:
    packet, _ = check(open_frame(frames.DUST), Policy())
    assert packet.wants_ack(Policy())
    assert write(compose.acknowledge(packet, compose.DATA_ACK)) == frames.DUST_ACK + b"\r\n"


# -- what the field does -----------------------------------------------------------------------------------------------


def test_deviations_that_are_taken() -> None:
    no_flag = frames.frame("a=1", head="QN=20260801085857;ST=22;CN=2011;PW=1;MN=any-Name_1;")
    packet, _ = check(open_frame(no_flag), Policy(length="strict"))
    assert (packet.flag, packet.qn, packet.mn) == (None, "20260801085857", "any-Name_1")
    assert packet.wants_ack(Policy())
    assert not packet.wants_ack(Policy(ack_without_flag=False))
    assert reason(frames.frame("a=1;")) == ""
    lower = frames.frame("a=1")
    assert reason(lower[:-4] + lower[-4:].lower()) == ""


def test_policy_of_length() -> None:
    wrong = frames.frame("a34002-Rtd=1", length=4)
    assert reason(wrong) == ""
    assert reason(wrong, length="strict") == "bad_length"


def test_policy_of_checksum() -> None:
    data = frames.DUST[6:-4]
    modbus = frames.DUST[:-4] + crc_modbus_lohi(data).encode()
    assert reason(modbus) == "bad_crc"
    assert reason(modbus, crc="modbus-lohi") == reason(modbus, crc="either") == ""
    assert reason(frames.DUST, crc="modbus-lohi") == "bad_crc"
    _, warnings = check(open_frame(frames.DUST[:-4] + b"0000"), Policy(on_crc_fail="warn"))
    assert [warning.reason for warning in warnings] == ["bad_crc"]


def test_policy_of_system_types() -> None:
    assert reason(frames.DUST, st=["39", "22"]) == ""
    assert reason(frames.NOISE, st=["39", "22"]) == "bad_st"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"##0001",
        b"##00xxQN=1;CN=2011;MN=a;CP=&&&&0000",
        b"##0010QN=1;CN=2011;MN=a;CP=&&0000",
        frames.frame("", head="QN=1;ST=39;CN=2011;"),
        frames.frame("", head="QN=1;CN=20;MN=a;"),
        frames.frame("", head="QN=1;CN=2011;MN=a b;"),
        frames.frame("", head="QN=x;CN=2011;MN=a;"),
        frames.frame("", head="QN=1;CN=2011;MN=a;Flag=256;"),
        frames.frame("", head="QN=1;CN=2011;MN=a;Flag=-1;"),
        frames.frame("", head="QN=1;CN=2011;nonsense;MN=a;"),
    ],
)
def test_frames_whose_fields_cannot_be_read(raw: bytes) -> None:
    assert reason(raw) == "malformed"


def test_attributes_by_code_whatever_parts_them() -> None:
    assert attributes(b"DataTime=1;a-Rtd=2,a-Flag=N,b-Rtd= 3 ;a-rtd=9;") == {
        "DataTime": {"": "1"},
        "a": {"rtd": "2", "flag": "N"},
        "b": {"rtd": "3"},
    }
    with pytest.raises(Refused):
        attributes(b"a=1," * 2001)
    with pytest.raises(Refused):
        attributes(b"a=1;what")


# -- the stream --------------------------------------------------------------------------------------------------------


def test_several_frames_a_read_and_half_frames() -> None:
    stream = b"".join(raw + b"\r\n" for raw in frames.ALL)
    assert split(stream) == [(raw, True) for raw in frames.ALL]
    splitter = Splitter(65_536)
    one_by_one = [piece for byte in stream for piece in splitter.feed(bytes([byte]))]
    assert [piece.raw for piece in one_by_one] == list(frames.ALL)
    assert splitter.pending == 0


def test_garbage_between_frames_stays_apart() -> None:
    stream = b"hello" + frames.DUST + b"\r\n\r\n  \r\nAT+CSQ\r\n" + frames.NOISE + b"\r\n"
    assert split(stream) == [(b"hello", False), (frames.DUST, True), (b"AT+CSQ", False), (frames.NOISE, True)]


def test_a_frame_whose_end_never_came_does_not_take_the_next_one_along() -> None:
    assert split(frames.DUST[:100] + frames.NOISE + b"\r\n") == [(frames.DUST[:100], True), (frames.NOISE, True)]
    assert split(frames.DUST + frames.NOISE + b"\r\n") == [(frames.DUST, True), (frames.NOISE, True)]


def test_data_longer_than_the_standard_allows() -> None:
    raw = frames.frame(";".join(f"x{number}-Rtd=1.0" for number in range(400)))
    assert len(raw) > 4096
    assert split(raw + b"\r\n") == [(raw, True)]


def test_what_has_no_end_is_given_up() -> None:
    splitter = Splitter(1000)
    pieces = [piece for _ in range(100) for piece in splitter.feed(b"##0100" + b"x" * 94)]
    assert splitter.pending <= 1000
    assert pieces
    assert all(len(piece.raw) <= 4096 for piece in pieces)
    assert [piece.raw for piece in splitter.feed(b"\r\n" + frames.NOISE + b"\r\n")][-1] == frames.NOISE

    plain = Splitter(1000)
    assert [piece.overlong for _ in range(100) for piece in plain.feed(b"x" * 100)] == [True]
    assert plain.pending <= 1000
    assert [piece.raw for piece in plain.feed(b"x\r\n" + frames.NOISE + b"\r\n")] == [frames.NOISE]


@given(st.lists(st.sampled_from(frames.ALL), min_size=1, max_size=6), st.lists(st.integers(1, 300), max_size=40))
def test_where_reads_are_cut_does_not_matter(chosen: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(raw + b"\r\n" for raw in chosen)
    splitter, found, at = Splitter(65_536), [], 0
    for cut in [*cuts, len(stream)]:
        found += splitter.feed(stream[at : at + cut])
        at += cut
    found += splitter.feed(stream[at:])
    assert [piece.raw for piece in found] == chosen


@given(st.binary(max_size=400), st.lists(st.integers(1, 60), max_size=20))
def test_any_bytes_give_pieces_and_the_next_frame_is_found(noise: bytes, cuts: list[int]) -> None:
    splitter, pieces, at = Splitter(200), [], 0
    for cut in [*cuts, len(noise)]:
        pieces += splitter.feed(noise[at : at + cut])
        at += cut
        assert splitter.pending <= 200
    pieces += splitter.feed(b"\r\n" + frames.NOISE + b"\r\n")
    assert pieces[-1].raw == frames.NOISE
    for piece in pieces:
        assert reason(piece.raw) in {"", "malformed", "bad_crc", "bad_cipher"}


@given(st.sampled_from(frames.ALL), st.data())
def test_a_changed_byte_is_refused_or_harmless(raw: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(raw) - 1))
    changed = bytearray(raw)
    changed[place] = data.draw(st.integers(0, 255))
    for piece in Splitter(65_536).feed(bytes(changed) + b"\r\n"):
        outcome = reason(piece.raw, length="strict")
        # The checksum holds for every single byte of the data; beside it only its digits' case may change.
        assert outcome or bytes(changed).upper() == raw.upper()


# -- round trip --------------------------------------------------------------------------------------------------------

texts = st.text(st.characters(codec="ascii", exclude_characters="&;,=#\r\n{", categories=["L", "N", "P"]), max_size=40)
packets = st.builds(
    Packet,
    qn=st.from_regex(r"[0-9]{17}", fullmatch=True),
    st=st.sampled_from(["39", "22", "91"]),
    cn=st.from_regex(r"[0-9]{4}", fullmatch=True),
    pw=st.from_regex(r"[0-9]{6}", fullmatch=True),
    mn=st.from_regex(r"[0-9A-F]{24}", fullmatch=True),
    flag=st.none() | st.integers(0, 255),
    pnum=st.just(0),
    content=texts.map(lambda text: f"DataTime={text}".encode()),
)


@given(packets, st.booleans())
def test_what_is_written_is_read(packet: Packet, sealed: bool) -> None:
    raw = write(packet, key_bytes(KEY) if sealed else None)
    ((read, framed),) = split(raw)
    assert framed
    envelope = open_frame(read)
    assert envelope.sealed == (sealed and len(packet.content) >= 16)
    assert check(envelope, Policy(length="strict", key=KEY)) == (packet, [])


def test_parts_carry_their_numbers_and_their_time() -> None:
    header = Packet(cn="2051", mn="A", qn="20260801085857223", st="39", pw="1", flag=5)
    moment = datetime(2026, 8, 1, 0, 58, tzinfo=UTC)
    factors = {f"a{number:05d}": {"Avg": 1.5, "Flag": "N"} for number in range(100)}
    parts = compose.data(header, moment, BEIJING, factors)
    assert [(part.pnum, part.pno, part.flag) for part in parts] == [(len(parts), n + 1, 7) for n in range(len(parts))]
    seen: set[str] = set()
    for part in parts:
        assert len(part.content) <= compose.CONTENT_BYTES
        again, _ = check(open_frame(write(part)[:-2]), Policy(length="strict"))
        assert again == part
        found = attributes(part.content)
        assert found.pop("DataTime") == {"": "20260801085800"}
        seen |= found.keys()
    assert seen == factors.keys()
    assert compose.data(header, moment, BEIJING, {"LA": {"Rtd": 50.1}})[0].flag == 5
    with pytest.raises(ValueError, match="does not fit"):
        compose.data(header, moment, BEIJING, {"LA": {"Rtd": "1" * 1000}})


def test_requests_and_their_answers() -> None:
    request, _ = check(open_frame(frames.STANDARD_2017), Policy())
    ready, done = compose.answer(request, compose.QnRtn.READY), compose.result(request, compose.ExeRtn.SUCCESS)
    assert (ready.cn, ready.content, done.cn, done.content) == ("9011", b"QnRtn=1", "9012", b"ExeRtn=1")
    clock = compose.set_clock(request, datetime(2026, 8, 1, 0, 58, 57, 223_000, UTC), BEIJING)
    assert (clock.cn, clock.qn, clock.flag) == ("1012", "20260801085857223", 5)
    assert clock.content == b"SystemTime=20260801085857"
    with pytest.raises(ValueError, match="four digits"):
        write(Packet(cn="2011", mn="A", content=b"x" * 10_000))


# -- HJ 212-2025 -------------------------------------------------------------------------------------------------------


def test_section_cipher() -> None:
    block = seal(b"DataTime=2024052", key_bytes(KEY))
    assert bytes(int(part, 16) for part in block[1:-1].split(b",")).hex().upper() == "E43E159ACFAB242CB53155FB8B9281A1"
    assert unseal(block, key_bytes(KEY)) == b"DataTime=2024052"
    tail = seal(b"DataTime=20240521;x", key_bytes(KEY))
    assert tail.endswith(b"}1;x")
    assert unseal(tail, key_bytes(KEY)) == b"DataTime=20240521;x"
    # A sender that writes the plain tail inside the braces.
    inside = block[:-1] + b",0x31,0x3B}"
    assert unseal(inside, key_bytes(KEY)) == b"DataTime=20240521;"
    assert key_bytes("30" * 16) == key_bytes(KEY)
    assert seal(b"short", key_bytes(KEY)) == b"short"


def test_encrypted_frames() -> None:
    plain, _ = check(open_frame(frames.DUST), Policy())
    plain = msgspec.structs.replace(plain, flag=9)
    raw = write(plain, key_bytes(KEY))[:-2]
    assert check(open_frame(raw), Policy(key=KEY, length="strict"))[0] == plain
    assert plain.version == 2
    assert reason(raw) == "bad_cipher"
    assert reason(raw, key="1" * 16, on_crc_fail="warn") == "bad_cipher"
    broken = raw.replace(b"{0x", b"{0y", 1)
    assert reason(broken, key=KEY) in {"bad_crc", "bad_cipher"}


# -- options -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"crc": "modbus"}, "crc"),
        ({"speed": 1}, "speed"),
        ({"st": ["390"]}, "st"),
        ({"units": {"a34002": "kPa"}}, "a34002"),
        ({"units": {"zz": "furlong"}}, "zz"),
        ({"factors": {"B00008": "Lärm"}}, "factors"),
        ({"time_zone": "Asia/Shanghai"}, "time_zone"),
        ({"key": "hidden-hidden"}, "key"),
        ({"key": "zz" * 16}, "key"),
        ({"live": "2031"}, "live"),
    ],
)
def test_wrong_options_are_named_and_no_secret_is_said(options: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named) as caught:
        policy_of(options)
    assert "hidden" not in str(caught.value)


def test_secrets_of_a_policy_are_not_shown() -> None:
    assert "123456" not in repr(Policy(password="123456", key="1234567812345678"))
