"""Threshold rules, as timed scripts."""

from __future__ import annotations

from pathlib import Path

import pytest

from alerts.engine import Engine
from alerts.rules.model import AnyRule
from tests.alerts.timeline import Timeline
from tests.alerts.world import PM10, PROFILES, at, batch, make_device, make_registry, rules

WIND_BELOW = """
[[rules]]
id = "cold"
name = "低温"
name_en = "Cold"
kind = "threshold"
severity = "info"
scope = { device_kind = "dust" }
metric = "temperature"
unit = "°C"
raise_below = 5
clear_above = 7
"""


@pytest.fixture
def pm10(tmp_path: Path) -> tuple[AnyRule, ...]:
    return rules(tmp_path, PM10)


def test_raises_at_once_and_clears_after_the_quiet_time(pm10: tuple[AnyRule, ...]) -> None:
    line = Timeline(pm10, make_registry([make_device(1)]))
    line.push(at=0, pm10=100)
    line.push(at=1, pm10=150)  # at the limit is not beyond it
    line.push(at=2, pm10=160)
    line.push(at=3, pm10=200)
    line.push(at=4, pm10=110)
    line.push(at=8, pm10=110)
    line.push(at=9, pm10=110)
    line.want(2, "raise", "pm10", started_at=2, first=160)
    line.want(9, "clear", "pm10", started_at=2, ended_at=4, first=160, worst=200, last=110)
    line.run(until=20)


def test_does_not_flap_between_raise_and_clear_level(pm10: tuple[AnyRule, ...]) -> None:
    """Pain 8 (thingsboard#7943): raise level, clear level and clear-after are separate knobs."""
    line = Timeline(pm10, make_registry([make_device(1)]))
    for second in range(60):
        line.push(at=second, pm10=160 if second % 2 else 130)
    line.want(1, "raise", "pm10")
    line.run(until=70)


def test_a_short_relief_does_not_clear(pm10: tuple[AnyRule, ...]) -> None:
    line = Timeline(pm10, make_registry([make_device(1)]))
    line.push(at=0, pm10=160)
    line.push(at=1, pm10=100)
    line.push(at=5, pm10=125)  # above the clear level: relief starts anew
    line.push(at=6, pm10=100)
    line.push(at=10, pm10=100)
    line.push(at=11, pm10=100)
    line.want(0, "raise", "pm10")
    line.want(11, "clear", "pm10", ended_at=6)
    line.run(until=20)


def test_late_and_repeated_readings_change_nothing(pm10: tuple[AnyRule, ...]) -> None:
    line = Timeline(pm10, make_registry([make_device(1)]))
    line.push(at=10, pm10=100)
    line.push(at=11, time=5, pm10=400)  # late: the device is known to be fine since
    line.push(at=12, time=10, pm10=400)  # the same moment again
    line.push(at=13, pm10=160)
    line.push(at=14, time=12, pm10=10)
    line.push(at=20, time=13, pm10=10)
    line.push(at=21, pm10=170)
    line.want(13, "raise", "pm10", started_at=13)
    line.run(until=30)


@pytest.mark.parametrize("letter", ["F", "M", "S", "D", "C", "T", "B"])
def test_only_normal_quality_feeds_a_rule(pm10: tuple[AnyRule, ...], letter: str) -> None:
    line = Timeline(pm10, make_registry([make_device(1)]))
    line.push(at=0, pm10=900, letter=letter)
    line.push(at=1, pm10=160)
    line.push(at=2, pm10=0, letter=letter)
    line.push(at=12, pm10=0, letter=letter)
    line.want(1, "raise", "pm10")
    line.run(until=20)


def test_a_limit_from_below(tmp_path: Path) -> None:
    line = Timeline(rules(tmp_path, WIND_BELOW), make_registry([make_device(1)]))
    line.push(at=0, temperature=6)
    line.push(at=1, temperature=4)
    line.push(at=2, temperature=-3)
    line.push(at=3, temperature=6)
    line.push(at=4, temperature=7)
    line.want(1, "raise", "cold", first=4)
    line.want(4, "clear", "cold", worst=-3, ended_at=4)
    line.run(until=10)


def test_devices_sites_and_tags_are_kept_apart(tmp_path: Path) -> None:
    text = PM10.replace('{ device_kind = "dust" }', '{ device_kind = "dust", sites = ["site-2"], tags = ["gate"] }')
    devices = [
        make_device(1, site=1, tags=["gate"]),
        make_device(2, site=2),
        make_device(3, site=2, tags=["gate", "x"]),
    ]
    line = Timeline(rules(tmp_path, text), make_registry(devices))
    for device in (1, 2, 3, 99):
        line.push(at=1, device=device, pm10=300)
    line.want(1, "raise", "pm10", device=3, site=2)
    line.run(until=5)


def test_duration_needs_an_unbroken_violation(tmp_path: Path) -> None:
    line = Timeline(rules(tmp_path, PM10 + 'duration = "5 s"\n'), make_registry([make_device(1)]))
    line.push_every(1, 0, 4, pm10=200)
    line.push(at=4, pm10=140)  # below the raise level: starts anew
    line.push_every(1, 5, 12, pm10=210)
    line.want(10, "raise", "pm10", started_at=5, first=210)
    line.run(until=20)


def test_a_hole_in_the_readings_starts_a_duration_anew(tmp_path: Path) -> None:
    line = Timeline(rules(tmp_path, PM10 + 'duration = "5 s"\n'), make_registry([make_device(1)]))
    line.push(at=0, pm10=200)
    line.push(at=20, pm10=200)  # two readings 20 s apart are no violation of 5 s
    line.push_every(1, 21, 26, pm10=200)
    line.want(25, "raise", "pm10", started_at=20)
    line.run(until=30)


def test_cleared_by_hand_while_still_over_the_limit_raises_anew(pm10: tuple[AnyRule, ...]) -> None:
    """Pain 11 (thingsboard#13050): the alarm neither stays away for good nor is the old one used again."""
    line = Timeline(pm10, make_registry([make_device(1)]))
    line.push(at=0, pm10=160)
    line.want(0, "raise", "pm10", started_at=0)
    line.run(until=1)
    line.engine.close("pm10", "device:1", 0)
    assert not line.engine.is_open("pm10", "device:1")

    again = Timeline(pm10, make_registry([make_device(1)]))
    again.engine = line.engine
    again.push(at=2, pm10=170)
    again.want(2, "raise", "pm10", started_at=2, first=170)
    again.run(until=3)


def test_progress_tells_values_that_moved(pm10: tuple[AnyRule, ...]) -> None:
    line = Timeline(pm10, make_registry([make_device(1), make_device(2)]))
    line.push(at=0, pm10=160)
    line.push(at=1, pm10=300)
    line.push(at=2, pm10=200)
    line.push(at=2, device=2, pm10=10)
    line.want(0, "raise", "pm10")
    line.run(until=3)
    moved = line.engine.progress()
    assert [(item.subject, item.last, item.worst) for item in moved] == [("device:1", 200, 300)]
    assert line.engine.progress() == []


def test_a_restart_in_mid_duration_neither_forgets_nor_hurries(tmp_path: Path) -> None:
    """Pain 7 (thingsboard#7043, #10590, #6679): the time passed is kept, and is the readings' own."""
    found, registry = rules(tmp_path, PM10 + 'duration = "10 s"\n'), make_registry([make_device(1)])
    engine, told = Engine(found, registry, PROFILES), []
    for second in range(12):
        # Readings wait for an hour on their way: what counts is when they were taken.
        told += [
            (second, item.phase, item.started_at)
            for item in engine.feed(batch([(1, second, {"pm10": 200.0})], arrived=3600 + second))
        ]
        state = engine.dump()
        engine = Engine(found, registry, PROFILES)
        engine.load(state)
        assert engine.tick(at(7200 + second), listening_since=at(0)) == []
    assert told == [(10, "raise", at(0))]
