"""HJ 212 data packets as readings and statistics: channels, units, flags, time, and what is wrong in them."""

from __future__ import annotations

import contextlib
import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import from_micros
from sensors.codec_json import Reject
from sensors.hj212.checksum import crc_hj212
from sensors.hj212.decode import PacketDecoder, Statistic, Taken
from sensors.hj212.faults import Refused
from sensors.hj212.packet import Packet, check, open_frame
from sensors.hj212.policy import Policy, policy_of
from sensors.profiles import load_profiles
from tests.sensors import hj212_frames as frames

DUST = load_profiles()["dust"]
NAMES = [channel.name for channel in DUST.channels]


def decode(raw: bytes, **options: object) -> Taken:
    policy = policy_of(options)
    packet, _ = check(open_frame(raw), policy)
    return PacketDecoder(DUST, policy).decode(packet)


def values(taken: Taken) -> dict[str, tuple[float | None, str]]:
    """Channel -> (value, quality letter) of the one reading."""
    (message,) = taken.readings.messages
    return {
        name: (None if math.isnan(value) else value, chr(quality))
        for name, value, quality in zip(NAMES, message.values, message.quality, strict=True)
        if quality
    }


def reasons(taken: Taken) -> list[str]:
    return [reject.reason for reject in taken.readings.rejects]


def refusal(content: str, cn: str = "2011", **options: object) -> Reject:
    with pytest.raises(Refused) as caught:
        PacketDecoder(DUST, policy_of(options)).decode(Packet(cn=cn, mn="A", content=content.encode()))
    return caught.value.reject


def test_a_dust_station() -> None:
    taken = decode(frames.DUST)
    assert values(taken) == {
        "tsp": (217.0, "N"),
        "pm10": (152.3, "N"),
        "pm2_5": (48.1, "N"),
        "laeq": (63.2, "N"),
        "temperature": (28.3, "N"),
        "humidity": (60.0, "N"),
        "pressure": (1003.0, "N"),
        "wind_speed": (2.1, "N"),
        "wind_direction": (120.0, "N"),
    }
    # DataTime is Beijing time.
    assert from_micros(taken.time).isoformat() == "2026-08-01T00:58:57+00:00"
    assert taken.readings.messages[0].time == taken.time
    assert not taken.readings.back_fill
    assert not taken.statistics
    assert not reasons(taken)


def test_values_outside_the_plausible_range_are_kept_and_marked() -> None:
    assert values(decode(frames.FIELD))["laeq"] == (0.0, "T")
    assert values(decode(frames.FIELD))["pm10"] == (0.0, "N")


def test_flags_of_the_device_stand() -> None:
    assert values(decode(frames.FAULTY)) == {"pm10": (999.0, "D"), "tsp": (0.0, "B")}
    only_flag = frames.frame("DataTime=20260801085857;a34002-Rtd=,a34002-Flag=b;LA-Rtd=60,LA-Flag=")
    assert values(decode(only_flag)) == {"pm10": (None, "B"), "laeq": (60.0, "N")}


def test_units_of_the_device() -> None:
    content = "DataTime=20260801085857;a34002-Rtd=0.1523;a34001-Rtd=217000;a01006-Rtd=1003.2"
    taken = decode(frames.frame(content), units={"a34002": "mg/m3", "a34001": "ng/m3", "a01006": "hPa"})
    assert values(taken) == {"pm10": (152.3, "N"), "tsp": (217.0, "N"), "pressure": (1003.2, "N")}


def test_factors_of_the_device() -> None:
    content = "DataTime=20260801085857;B00008-Rtd=61.0;dust10-Rtd=0.2"
    taken = decode(frames.frame(content), factors={"B00008": "laeq", "dust10": "pm10"}, units={"dust10": "mg/m3"})
    assert values(taken) == {"laeq": (61.0, "N"), "pm10": (200.0, "N")}


def test_equivalent_level_before_momentary_level_and_what_no_channel_takes() -> None:
    taken = decode(frames.frame("DataTime=20260801085857;LA-Rtd=70;Leq-Rtd=61.5;a34005-Rtd=3;zz-Rtd=9"))
    assert values(taken) == {"laeq": (61.5, "N")}
    assert taken.readings.messages[0].unknown == {"LA": 70.0, "pm1": 3.0, "zz": 9.0}


def test_time_zone_and_resent_data() -> None:
    taken = decode(frames.frame("DataTime=20260801085857;RF=1;LA-Rtd=60"), time_zone="-03:30")
    assert from_micros(taken.time).isoformat() == "2026-08-01T12:28:57+00:00"
    assert taken.readings.back_fill


def test_minute_data_are_statistics() -> None:
    taken = decode(frames.MINUTE)
    assert not taken.readings.messages
    nan = math.nan
    pm10, laeq, lmax = taken.statistics
    assert pm10[:6] == ("minute", "pm10", taken.time, 152.3, 140.1, 166.0)
    assert laeq == Statistic("minute", "laeq", taken.time, 62.8, *[pytest.approx(nan, nan_ok=True)] * 3, "N")
    assert (lmax.metric, lmax.mean) == ("lmax", 71.3)


def test_minute_data_as_readings_where_a_station_sends_no_other() -> None:
    taken = decode(frames.MINUTE, live="2051")
    assert values(taken) == {"pm10": (152.3, "N"), "laeq": (62.8, "N")}
    assert len(taken.statistics) == 3
    assert refusal("DataTime=20260801085857;LA-Rtd=60", live="2051").reason == "unsupported"


def test_day_data_of_noise() -> None:
    policy = Policy(units={"a34002": "mg/m3"})
    content = b"DataTime=20260801000000;Leq-DayData=64.1,Leq-NightData=51.0,Leq-Data=62;a34002-Cou=0.5,a34002-Flag=M"
    taken = PacketDecoder(DUST, policy).decode(Packet(cn="2031", mn="A", content=content))
    assert [
        (item.metric, item.mean, item.total, item.quality) for item in taken.statistics if item.mean == item.mean
    ] == [
        ("laeq", 62.0, pytest.approx(math.nan, nan_ok=True), "N"),
        ("laeq_day", 64.1, pytest.approx(math.nan, nan_ok=True), "N"),
        ("laeq_night", 51.0, pytest.approx(math.nan, nan_ok=True), "N"),
    ]
    assert {(item.metric, item.total, item.quality) for item in taken.statistics if item.total == item.total} == {
        ("pm10", 500.0, "M")
    }


@pytest.mark.parametrize("text", ["", "--", "NaN", "inf", "1_0", "0x10", "1e39", "９"])
def test_a_value_that_is_no_number_does_not_cost_the_others(text: str) -> None:
    taken = decode(frames.frame(f"DataTime=20260801085857;a34002-Rtd={text};LA-Rtd=60"))
    assert values(taken) == {"laeq": (60.0, "N")}
    assert reasons(taken) == ([] if text == "" else ["bad_value"])


def test_parts_that_are_wrong_are_named_and_the_rest_is_taken() -> None:
    wrong = "a34002-Rtd=1,a34002-Flag=X;a34004-Rtd=1,a34004-Flag=NF;a34001-Rdt=5;%%-Rtd=1"
    taken = decode(frames.frame(f"DataTime=20260801085857;{wrong};LA-Rtd=60"))
    assert values(taken) == {"laeq": (60.0, "N")}
    assert sorted(reasons(taken)) == ["bad_flag", "bad_flag", "bad_metric", "bad_value"]


@pytest.mark.parametrize(
    "content",
    [
        "LA-Rtd=60",
        "DataTime=;LA-Rtd=60",
        "DataTime=2026080108585;LA-Rtd=60",
        "DataTime=20261301085857;LA-Rtd=60",
        "DataTime=20260801085860;LA-Rtd=60",
        "DataTime=00000000000000;LA-Rtd=60",
        "DataTime=99991231235959;LA-Rtd=60",
    ],
)
def test_bad_time(content: str) -> None:
    assert refusal(content).reason == "bad_time"


def test_a_later_part_takes_the_time_of_the_first() -> None:
    decoder = PacketDecoder(DUST, Policy())
    assert decoder.decode(Packet(cn="2011", mn="A", content=b"LA-Rtd=60"), 5_000_000).time == 5_000_000


def test_nothing_and_too_much() -> None:
    assert reasons(decode(frames.frame("DataTime=20260801085857"))) == ["empty"]
    many = ";".join(f"x{number}-Rtd=1" for number in range(201))
    assert refusal(f"DataTime=20260801085857;{many}").reason == "too_many"


@given(st.text(max_size=200), st.sampled_from(["2011", "2051", "2061", "2031"]))
def test_any_content_gives_a_result_or_a_reason(content: str, cn: str) -> None:
    decoder = PacketDecoder(DUST, Policy())
    packet = Packet(cn=cn, mn="A", content=f"DataTime=20260801085857;{content}".encode())
    with contextlib.suppress(Refused):
        taken = decoder.decode(packet)
        assert taken.readings.messages or taken.statistics or taken.readings.rejects


def test_mutated_packets_with_a_mended_checksum() -> None:
    """Deeper than the checksum lets a broken frame come: what is taken has letters and finite values only."""
    chance = random.Random(212)
    tokens = [b"&&", b";", b",", b"=", b"-", b"a34002-Rtd=1e38", b"DataTime=", b"Flag=", b"9" * 30, b"\xff\x00", b"N"]
    policy = Policy(units={"a34002": "mg/m3"})
    decoder = PacketDecoder(DUST, policy)
    letters = set(b"NFMSDCTB\0")
    outcomes: Counter[str] = Counter()
    for _ in range(5000):
        data = bytearray(chance.choice([frames.DUST, frames.MINUTE, frames.FAULTY])[6:-4])
        for _ in range(chance.randrange(1, 5)):
            place = chance.randrange(len(data))
            kind = chance.randrange(4)
            if kind == 0:
                data[place] = chance.randrange(256)
            elif kind == 1:
                data[place:place] = chance.choice(tokens)
            elif kind == 2:
                del data[place : place + chance.randrange(12)]
            else:
                data[place:place] = data[place : place + chance.randrange(40)]
        raw = b"##%04d%b%b" % (len(data), bytes(data), crc_hj212(bytes(data)).encode())
        try:
            packet, _ = check(open_frame(raw), policy)
            taken = decoder.decode(packet)
        except Refused as refused:
            outcomes[refused.reject.reason] += 1
            continue
        outcomes["taken"] += 1
        for message in taken.readings.messages:
            assert set(message.quality) <= letters
            assert all(math.isnan(value) or abs(value) <= 3.5e38 for value in message.values)
        for statistic in taken.statistics:
            assert ord(statistic.quality) in letters
    assert {"taken", "malformed", "bad_time"} <= outcomes.keys()
