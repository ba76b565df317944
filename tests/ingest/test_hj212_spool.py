"""HJ 212 packets that wait in the spool come out of it as they went in."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import cast

import numpy as np

from core.clock import SystemClock, micros
from ingest.message import Message
from ingest.prepare import Prepared, Preparer
from ingest.spooled import messages, records
from sensors.codec_json import Decoded
from sensors.hj212.decode import PacketDecoder
from sensors.hj212.packet import check, open_frame
from sensors.hj212.policy import Policy
from sensors.registry import RegistryWatch
from tests.ingest.messages import PROFILES, device, message
from tests.ingest.stations import data, recent

MINUTE = {"a34002": {"Avg": 152.3, "Max": 160, "Flag": "N"}, "Leq": {"Data": 62.8}, "zz": {"Avg": 1}}


def taken() -> Message:
    """A minute packet that holds a reading, an unknown metric and statistics with gaps."""
    policy = Policy(live="2051")
    raw = data(cn="2051", at=recent(60), **MINUTE)[:-2]
    packet, _ = check(open_frame(raw), policy)
    found = PacketDecoder(PROFILES["dust"], policy).decode(packet)
    made = message(raw, arrived=micros(SystemClock().now()))
    made.decoded, made.statistics = found.readings, found.statistics
    return made


def prepare(one: Message) -> Prepared:
    return Preparer(PROFILES, max_age=timedelta(days=30), max_ahead=timedelta(minutes=5)).prepare([one])


def test_readings_and_statistics_survive_the_spool() -> None:
    before = taken()
    registry = cast("RegistryWatch", SimpleNamespace(current=SimpleNamespace(devices={1: device()})))
    (after,) = messages(records([before]), registry)
    old, new = prepare(before), prepare(after)
    assert not new.aside
    assert np.array_equal(old.rows[0].values, new.rows[0].values, equal_nan=True)
    assert np.array_equal(old.rows[0].quality, new.rows[0].quality)
    assert (old.unknown.metric, old.unknown.value) == (new.unknown.metric, new.unknown.value) == (["zz"], [1.0])
    assert len(new.statistics) == 3
    assert str(old.statistics) == str(new.statistics)  # NaN is not equal to itself


def test_what_was_decoded_for_other_channels_is_set_aside() -> None:
    one = taken()
    assert one.decoded is not None
    (reading,) = one.decoded.messages
    narrow = type(reading)(reading.time, reading.values[:3], reading.quality[:3], {})
    one.decoded = Decoded([narrow], [], back_fill=False)
    prepared = prepare(one)
    assert [item.reject.reason for item in prepared.aside] == ["kind_changed"]
    assert not prepared.rows
