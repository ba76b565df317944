"""The telemetry codec: strict about values, tolerant of what it does not know, never an exception."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sensors.codec_json import Message, TelemetryDecoder
from sensors.profiles import load_profiles

PROFILES = load_profiles()
DUST = TelemetryDecoder(PROFILES["dust"])
HOIST = TelemetryDecoder(PROFILES["hoist"])
NAMES = [channel.name for channel in PROFILES["dust"].channels]
RANGES = {channel.name: (channel.minimum, channel.maximum) for channel in PROFILES["dust"].channels}


def one(decoder: TelemetryDecoder, payload: object) -> Message:
    decoded = decoder.decode(payload if isinstance(payload, bytes) else json.dumps(payload).encode())
    assert decoded.rejects == []
    (message,) = decoded.messages
    return message


def reason(decoder: TelemetryDecoder, payload: object) -> str:
    decoded = decoder.decode(payload if isinstance(payload, bytes) else json.dumps(payload).encode())
    assert decoded.messages == []
    (reject,) = decoded.rejects
    assert reject.detail
    return reject.reason


def test_a_plain_message() -> None:
    message = one(
        DUST, {"ts": 1785571200123, "values": {"pm10": 152.3, "laeq": 63, "smell": 2}, "flags": {"pm10": "N"}}
    )
    assert message.time == 1785571200123000
    assert message.values[0] == 152.3
    assert message.values[3] == 63.0
    assert sum(map(math.isnan, message.values)) == 7
    assert bytes(message.quality) == b"N\0\0N\0\0\0\0\0"
    assert message.unknown == {"smell": 2.0}


def test_without_ts_the_time_is_open() -> None:
    assert one(DUST, {"values": {"pm10": 1}}).time is None
    assert one(DUST, {"ts": None, "values": {"pm10": 1}}).time is None


def test_over_range_keeps_the_value_and_a_flag_wins() -> None:
    message = one(DUST, {"values": {"pm10": 99999, "tsp": -1, "laeq": 300}, "flags": {"laeq": "C", "tsp": "N"}})
    assert message.values[0] == 99999
    assert chr(message.quality[0]) == "T"
    assert chr(message.quality[2]) == "T"
    assert chr(message.quality[3]) == "C"


def test_a_state_may_stand_without_a_value() -> None:
    message = one(DUST, {"values": {"pm10": None}, "flags": {"pm10": "D", "smell": "D"}})
    assert math.isnan(message.values[0])
    assert chr(message.quality[0]) == "D"


def test_symbols_and_whole_numbers() -> None:
    message = one(HOIST, {"values": {"door": "open", "persons": 4, "floor": -2.0}})
    assert message.values[HOIST_PLACE["door"]] == 1.0
    assert message.values[HOIST_PLACE["persons"]] == 4.0
    assert message.values[HOIST_PLACE["floor"]] == -2.0
    assert one(HOIST, {"values": {"door": 2}}).values[HOIST_PLACE["door"]] == 2.0


HOIST_PLACE = {channel.name: place for place, channel in enumerate(PROFILES["hoist"].channels)}


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"", "malformed"),
        (b"{", "malformed"),
        (b"\xff\xfe", "malformed"),
        (b'{"values":{"load":1}} tail', "malformed"),
        (b'{"values":{"\xff":1}}', "malformed"),
        (b'{"x":' + b"[" * 100_000, "malformed"),
        (b'"text"', "wrong_type"),
        (b"[1]", "wrong_type"),
        (b'{"ts":1}', "wrong_type"),
        (b'{"values":{"load":true}}', "wrong_type"),
        (b'{"values":{"load":{}}}', "wrong_type"),
        (b'{"values":{"load":1},"flags":{"load":1}}', "wrong_type"),
        (b'{"ts":1.5,"values":{"load":1}}', "wrong_type"),
        (b'{"ts":"2026-01-01","values":{"load":1}}', "wrong_type"),
        (b'{"values":{"persons":1.5}}', "wrong_type"),
        (b'{"values":{"persons":1e17}}', "wrong_type"),
        (b'{"values":{"load":NaN}}', "not_finite"),
        (b'{"values":{"load": -Infinity}}', "not_finite"),
        (b'{"values":{"load":1e999}}', "not_finite"),
        (b'{"values":{"load":1e39}}', "not_finite"),
        (b'{"ts":-1,"values":{"load":1}}', "bad_time"),
        (b'{"ts":253402300800000,"values":{"load":1}}', "bad_time"),
        (b'{"values":{"load":1},"flags":{"load":"X"}}', "bad_flag"),
        (b'{"values":{"load":1},"flags":{"load":"NN"}}', "bad_flag"),
        (b'{"values":{"load":"1.5"}}', "bad_symbol"),
        (b'{"values":{"door":"ajar"}}', "bad_symbol"),
        (b'{"values":{"door":3}}', "bad_symbol"),
        (b'{"values":{"what":"text"}}', "bad_symbol"),
        (b'{"values":{"\\u0000":1}}', "bad_metric"),
        (b'{"values":{"' + b"x" * 65 + b'":1}}', "bad_metric"),
        (json.dumps({"values": {f"m{n}": n for n in range(65)}}).encode(), "bad_metric"),
        (b'{"values":{}}', "empty"),
        (b'{"values":{"load":null}}', "empty"),
        (b"[]", "empty"),
        (b"[" + b"{}," * 10_000 + b"{}]", "too_many"),
    ],
)
def test_rejects(payload: bytes, expected: str) -> None:
    assert reason(HOIST, payload) == expected


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        (b'"pm10":"abc"', "bad_symbol"),
        (b'"pm10":NaN', "not_finite"),
        (b'"pm10":1e999', "not_finite"),
        (b'"pm10":[1]', "wrong_type"),
        (b'"pm10":true', "wrong_type"),
        (b'"smell":NaN', "not_finite"),
        (b'"smell":"sweet"', "bad_symbol"),
        (b'"\\u0000":1', "bad_metric"),
    ],
)
@pytest.mark.parametrize("wrap", [b"%s", b"[%s]"])
def test_a_bad_channel_leaves_the_good_ones(bad: bytes, expected: str, wrap: bytes) -> None:
    payload = wrap % (b'{"ts":5,"values":{"laeq":63.2,%s,"tsp":7},"flags":{"tsp":"C"}}' % bad)
    decoded = DUST.decode(payload)
    (message,) = decoded.messages
    assert (message.time, message.values[3], message.values[2], chr(message.quality[2])) == (5000, 63.2, 7, "C")
    assert math.isnan(message.values[0])
    assert [reject.reason for reject in decoded.rejects] == [expected]


def test_a_bad_channel_leaves_counts_and_states() -> None:
    decoded = HOIST.decode(b'{"values":{"persons":4,"door":2,"load":NaN,"speed":1},"flags":null}')
    (message,) = decoded.messages
    assert [message.values[HOIST_PLACE[name]] for name in ("persons", "door", "speed")] == [4.0, 2.0, 1.0]
    assert all(isinstance(value, float) for value in message.values)
    assert [reject.reason for reject in decoded.rejects] == ["not_finite"]


def test_a_bad_flag_takes_its_channel_alone() -> None:
    decoded = DUST.decode(b'{"values":{"pm10":1,"laeq":60},"flags":{"pm10":"X","laeq":"N"}}')
    assert [(math.isnan(m.values[0]), m.values[3]) for m in decoded.messages] == [(True, 60.0)]
    assert [reject.reason for reject in decoded.rejects] == ["bad_flag"]


def test_nan_in_one_object_spares_the_others_of_the_array() -> None:
    decoded = DUST.decode(b'[{"ts":1,"values":{"pm10":1}},{"ts":2,"values":{"pm10":NaN}},{"ts":3,"values":{"pm10":3}}]')
    assert [message.time for message in decoded.messages] == [1000, 3000]
    assert [(reject.reason, reject.detail[:8]) for reject in decoded.rejects] == [("not_finite", "object 1")]


def test_an_array_keeps_its_good_objects() -> None:
    decoded = DUST.decode(b' [{"ts":1,"values":{"pm10":1}},{"values":{"pm10":"x"}},{"values":[]},{"values":{"tsp":2}}]')
    assert decoded.back_fill
    assert [message.time for message in decoded.messages] == [1000, None]
    assert [reject.reason for reject in decoded.rejects] == ["bad_symbol", "wrong_type"]
    assert decoded.rejects[0].detail.startswith("object 1")


values = st.dictionaries(st.sampled_from(NAMES), st.floats(-1e30, 1e30), min_size=1)


@given(values, st.none() | st.integers(0, 253_402_300_799_999))
def test_every_number_comes_through(given_values: dict[str, float], ts: int | None) -> None:
    message = one(DUST, {"ts": ts, "values": given_values})
    assert message.time == (None if ts is None else ts * 1000)
    for place, name in enumerate(NAMES):
        if name in given_values:
            low, high = RANGES[name]
            assert message.values[place] == given_values[name]
            assert chr(message.quality[place]) == ("N" if low <= given_values[name] <= high else "T")
        else:
            assert math.isnan(message.values[place])
            assert message.quality[place] == 0


trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["ts", "values", "flags", "door", "load"]) | st.text(max_size=4), inner)
    ),
    max_leaves=12,
)


@given(trees.map(lambda tree: json.dumps(tree).encode()) | st.binary(max_size=60))
@example(b'{"values":{"load":1},"flags":{"\\u0000":"\\u0000"}}')
def test_nothing_raises_and_every_reason_can_be_stored(payload: bytes) -> None:
    decoded = HOIST.decode(payload)
    assert decoded.messages or decoded.rejects
    for reject in decoded.rejects:
        assert "\0" not in reject.detail
        reject.detail.encode()


mixed = st.dictionaries(
    st.sampled_from([*HOIST_PLACE, "what", "\0", "x" * 70]),
    st.sampled_from([None, True, 4, -2, 1.5, 10**400, 2**60, math.nan, math.inf, 1e39, "open", "x", [], {}]),
)


@given(
    st.lists(mixed, min_size=1, max_size=3), st.sampled_from([None, {}, {"load": "D"}, {"load": "ZZ"}, {"door": 5}, []])
)
def test_good_and_bad_channels_in_any_mixture(objects: list[dict[str, object]], flags: object) -> None:
    decoded = HOIST.decode(json.dumps([{"ts": 1, "values": values, "flags": flags} for values in objects]).encode())
    assert decoded.messages or decoded.rejects
    for message in decoded.messages:
        assert all(type(value) is float and not math.isinf(value) for value in message.values)
        assert all(math.isfinite(value) for value in message.unknown.values())


@pytest.mark.parametrize("number", [0, 1, 2**53])
def test_a_running_number_goes_with_its_reading(number: int) -> None:
    decoded = DUST.decode(b'{"ts": 1, "seq": %d, "values": {"pm10": 1}}' % number)
    assert (decoded.messages[0].sequence, decoded.rejects) == (number, [])


@pytest.mark.parametrize("number", [b"-1", b"9007199254740993", b'"7"', b"1.5", b"true", b"NaN", b"[1]"])
def test_a_bad_running_number_loses_no_reading(number: bytes) -> None:
    decoded = DUST.decode(
        b'[{"ts": 1, "seq": %s, "values": {"pm10": 1}}, {"ts": 2, "seq": 8, "values": {"pm10": 2}}]' % number
    )
    assert [(message.time, message.sequence) for message in decoded.messages] == [(1000, None), (2000, 8)]
    assert [reject.reason for reject in decoded.rejects] == ["bad_sequence"]


def test_a_running_number_survives_a_bad_channel_beside_it() -> None:
    decoded = DUST.decode(b'{"ts": 1, "seq": 5, "values": {"pm10": "x", "laeq": 60}}')
    assert decoded.messages[0].sequence == 5
    assert [reject.reason for reject in decoded.rejects] == ["bad_symbol"]
