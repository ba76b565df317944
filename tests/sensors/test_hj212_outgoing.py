"""What goes out as HJ 212 comes in again as it was."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone

from core.clock import micros
from sensors.hj212 import compose
from sensors.hj212.decode import PacketDecoder
from sensors.hj212.outgoing import CODES, factors_of
from sensors.hj212.packet import Packet, check, open_frame, write
from sensors.hj212.policy import Policy
from sensors.profiles import load_profiles

DUST = load_profiles()["dust"]
BEIJING = timezone(timedelta(hours=8))
NOW = datetime(2026, 8, 1, 0, 58, 57, tzinfo=UTC)
HEADER = Packet(cn="2011", mn="A1", qn="20260801085857000", st="39", pw="123456", flag=5)
VALUES = {
    "pm10": 152.3,
    "pm2_5": 48.1,
    "tsp": None,
    "laeq": 63.2,
    "temperature": -5.25,
    "humidity": 60.0,
    "pressure": 1003.2,
    "wind_speed": 2.1,
    "wind_direction": 120.0,
    "secret_of_the_vendor": 1.0,
}


def test_a_reading_goes_out_and_comes_in() -> None:
    factors = factors_of(VALUES, {"tsp": "B", "pm10": "M"})
    assert factors["a01006"] == {"Rtd": 100.32, "Flag": "N"}
    assert factors["a34001"] == {"Flag": "B"}
    assert len(factors) == len(VALUES) - 1
    (packet,) = compose.data(HEADER, NOW, BEIJING, factors)
    read, warnings = check(open_frame(write(packet)[:-2]), Policy(length="strict"))
    taken = PacketDecoder(DUST, Policy()).decode(read)
    assert not warnings
    assert not taken.readings.rejects
    (message,) = taken.readings.messages
    assert message.time == micros(NOW)
    for place, channel in enumerate(DUST.channels):
        sent, came = VALUES[channel.name], message.values[place]
        assert math.isnan(came) if sent is None else came == sent
        assert chr(message.quality[place]) == {"tsp": "B", "pm10": "M"}.get(channel.name, "N")


def test_statistics_of_noise_are_called_data() -> None:
    factors = factors_of({"laeq": 62.8, "pm10": 150.0}, {}, suffix="Avg")
    assert factors == {"Leq": {"Data": 62.8, "Flag": "N"}, "a34002": {"Avg": 150.0, "Flag": "N"}}
    assert list(factors_of({"laeq": 62.8}, {}, codes={**CODES, "laeq": "LA"})) == ["LA"]


def test_every_channel_of_the_dust_kind_has_a_code() -> None:
    assert {channel.name for channel in DUST.channels} <= CODES.keys()
