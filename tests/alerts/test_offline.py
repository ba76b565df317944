"""Offline rules: absence by wall clock, from accepted readings alone."""

from __future__ import annotations

from pathlib import Path

from tests.alerts.timeline import Timeline
from tests.alerts.world import at, make_device, make_registry, rules

OFFLINE = """
[[rules]]
id = "offline"
name = "离线"
name_en = "Offline"
kind = "offline"
severity = "info"
after = "15 s"
"""


def test_raised_after_the_silence_and_cleared_by_the_next_reading(tmp_path: Path) -> None:
    """Pain 13 (thingsboard#6821, #2968): neither late nor stuck on."""
    line = Timeline(rules(tmp_path, OFFLINE), make_registry([make_device(1), make_device(2, kind="hoist")]))
    line.push(at=0, pm10=1)
    line.push(at=1, device=2, kind="hoist", load=1)
    line.push(at=10, device=2, kind="hoist", load=1)
    line.push(at=30, pm10=1, time=2)  # a back-fill shows as well that the device is there
    line.push(at=31, device=2, kind="hoist", load=1)
    line.want(15.5, "raise", "offline", device=1, started_at=0)
    line.want(25.5, "raise", "offline", device=2, started_at=10)
    line.want(30, "clear", "offline", device=1, ended_at=30, worst=30)
    line.want(31, "clear", "offline", device=2, ended_at=31, worst=21)
    line.run(until=40)


def test_bad_readings_still_show_that_the_device_lives(tmp_path: Path) -> None:
    line = Timeline(rules(tmp_path, OFFLINE), make_registry([make_device(1)]))
    for second in range(0, 60, 10):
        line.push(at=second, pm10=1, letter="D")
    line.run(until=60)


def test_a_device_that_never_reported_is_not_offline(tmp_path: Path) -> None:
    line = Timeline(rules(tmp_path, OFFLINE), make_registry([make_device(1)]))
    line.run(until=100)


def test_nobody_is_paged_after_the_platform_was_away(tmp_path: Path) -> None:
    """Pain 14 (thingsboard#13715): the verdict needs the platform to have listened for longer than the time-out."""
    line = Timeline(rules(tmp_path, OFFLINE), make_registry([make_device(1), make_device(2)]), listening_since=1000)
    line.engine.hear(1, at(0))
    line.engine.hear(2, at(0))
    line.push(at=1010, device=1, pm10=1)
    line.want(1015.5, "raise", "offline", device=2, started_at=0)
    line.want(1025.5, "raise", "offline", device=1, started_at=1010)
    line.run(until=1030)


def test_cleared_by_hand_is_told_again_after_another_silence(tmp_path: Path) -> None:
    line = Timeline(rules(tmp_path, OFFLINE), make_registry([make_device(1)]))
    line.push(at=0, pm10=1)
    line.want(15.5, "raise", "offline")
    line.run(until=16)
    line.engine.close("offline", "device:1", at(20))
    assert line.engine.tick(at(34), listening_since=at(-100)) == []
    (told,) = line.engine.tick(at(36), listening_since=at(-100))
    assert (told.phase, told.started_at) == ("raise", at(20))


def test_an_older_hearing_changes_nothing(tmp_path: Path) -> None:
    line = Timeline(rules(tmp_path, OFFLINE), make_registry([make_device(1)]))
    line.push(at=10, pm10=1)
    line.want(25.5, "raise", "offline", started_at=10)
    line.run(until=26)
    line.engine.hear(1, at(3))
    line.engine.hear(99, at(3))
    assert line.engine.tick(at(30), listening_since=at(-100)) == []


def test_a_device_is_judged_by_its_own_interval(tmp_path: Path) -> None:
    """A station that reports every ten minutes is not offline because another one reports every second."""
    devices = [make_device(1, interval=1), make_device(2, interval=20)]
    line = Timeline(rules(tmp_path, OFFLINE), make_registry(devices))
    line.push(at=0, device=1, pm10=1)
    line.push(at=0, device=2, pm10=1)
    line.want(15.5, "raise", "offline", device=1, first=15)
    line.want(60.5, "raise", "offline", device=2, first=60)
    line.run(until=70)


def test_silence_counts_up_to_what_is_known_to_be_in_the_log(tmp_path: Path) -> None:
    line = Timeline(rules(tmp_path, OFFLINE), make_registry([make_device(1)]))
    line.push(at=0, pm10=1)
    line.run(until=1)
    assert line.engine.tick(at(100), listening_since=at(-100), heard_until=at(15)) == []
    (told,) = line.engine.tick(at(100), listening_since=at(-100), heard_until=at(16))
    assert (told.phase, told.last) == ("raise", 16)
