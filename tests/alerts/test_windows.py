"""Window rules, as timed scripts. Readings come every second; windows of 10 s, lateness 5 s."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random

import pytest

from alerts.engine import Engine
from alerts.rules import check
from tests.alerts.timeline import Timeline
from tests.alerts.world import PROFILES, at, batch, make_device, make_registry, rules

MEAN = """
[[rules]]
id = "mean"
name = "均值"
name_en = "Mean"
kind = "window"
severity = "major"
scope = { device_kind = "dust" }
metric = "pm10"
unit = "µg/m³"
window = "10 s"
aggregate = "mean"
lateness = "5 s"
raise_above = 150
clear_below = 120
"""
LEQ = """
[[rules]]
id = "leq"
name = "等效声级"
name_en = "Leq"
kind = "window"
severity = "major"
scope = { device_kind = "dust" }
metric = "laeq"
unit = "dB(A)"
window = "10 s"
aggregate = "energy_mean"
lateness = "0 s"
raise_above = 70
"""


def test_mean_is_judged_when_its_lateness_is_over(tmp_path: Path) -> None:
    """Pain 12 (thingsboard#1494): a window mean with a minimum of valid readings."""
    line = Timeline(rules(tmp_path, MEAN), make_registry([make_device(1)]))
    line.push_every(1, 0, 10, pm10=160)
    line.push_every(1, 10, 20, pm10=170)
    line.push_every(1, 20, 30, pm10=100)
    line.push_every(1, 30, 40, pm10=100)
    line.want(15, "raise", "mean", started_at=0, first=160, quality={"samples": 10, "expected": 10.0, "share": 1.0})
    line.want(35, "clear", "mean", ended_at=20, worst=170, last=100)
    line.run(until=45)


def test_peaks_alone_do_not_raise_a_mean(tmp_path: Path) -> None:
    line = Timeline(rules(tmp_path, MEAN), make_registry([make_device(1)]))
    for second in range(60):
        line.push(at=second, pm10=500 if second % 10 == 0 else 50)
    line.run(until=60)


@pytest.mark.parametrize(("samples", "raised"), [(7, False), (8, True)])
def test_a_window_needs_three_quarters_of_its_readings(tmp_path: Path, samples: int, raised: bool) -> None:
    line = Timeline(rules(tmp_path, MEAN), make_registry([make_device(1)]))
    line.push_every(1, 0, samples, pm10=300)
    line.push(at=16, pm10=50)
    if raised:
        line.want(16, "raise", "mean", quality={"samples": 8, "expected": 10.0, "share": 0.8})
    line.run(until=20)


def test_readings_marked_faulty_do_not_count(tmp_path: Path) -> None:
    line = Timeline(rules(tmp_path, MEAN), make_registry([make_device(1)]))
    line.push_every(1, 0, 7, pm10=300)
    for second in (7, 8, 9):
        line.push(at=second, pm10=300, letter="D")
    line.push(at=16, pm10=50)
    line.run(until=20)


def test_an_unfilled_window_neither_raises_nor_clears(tmp_path: Path) -> None:
    line = Timeline(rules(tmp_path, MEAN), make_registry([make_device(1)]))
    line.push_every(1, 0, 10, pm10=300)
    line.push(at=15, pm10=0)
    line.push(at=26, pm10=0)
    line.push(at=3000, pm10=0)  # a silence of 300 windows
    line.push_every(1, 3001, 3015, pm10=0)
    line.push_every(1, 3015, 3016, pm10=0)
    line.want(15, "raise", "mean")
    line.want(3015, "clear", "mean", ended_at=3000)
    line.run(until=3020)


def test_readings_out_of_order_within_lateness_count(tmp_path: Path) -> None:
    line = Timeline(rules(tmp_path, MEAN), make_registry([make_device(1)]))
    for second in (3, 0, 1, 2, 7, 4, 5, 6, 12, 9, 8):
        line.push(at=20 + second / 100, time=second, pm10=200)
    line.push(at=21, time=14.9, pm10=200)  # the window may still change
    line.push(at=22, time=15, pm10=200)
    line.push(at=23, time=9.5, pm10=90000)  # too late, counted
    line.want(22, "raise", "mean", first=200)
    line.run(until=25)
    assert line.engine.late() == 1


def test_noise_is_averaged_by_energy(tmp_path: Path) -> None:
    line = Timeline(rules(tmp_path, LEQ), make_registry([make_device(1)]))
    # Arithmetic mean 62, energy mean 10*log10((9*10^6 + 10^8)/10) = 70.37.
    line.push_every(1, 0, 9, laeq=60)
    line.push(at=9, laeq=80)
    line.push(at=10, laeq=60)
    leq = round(10 * math.log10((9 * 10**6 + 10**8) / 10), 6)
    line.want(10, "raise", "leq", first=leq)
    line.run(until=12)


def test_sliding_windows_share_their_panes(tmp_path: Path) -> None:
    line = Timeline(rules(tmp_path, MEAN + 'every = "2 s"\n'), make_registry([make_device(1)]))
    line.push_every(1, 0, 10, pm10=100)
    line.push_every(1, 10, 30, pm10=300)
    # [4, 14): (6 * 100 + 4 * 300) / 10 = 180; [2, 12) gave 140.
    line.want(19, "raise", "mean", started_at=4, first=180)
    line.run(until=30)


def test_maximum(tmp_path: Path) -> None:
    line = Timeline(
        rules(tmp_path, MEAN.replace('"mean"\nlateness', '"max"\nlateness')), make_registry([make_device(1)])
    )
    line.push_every(1, 0, 9, pm10=10)
    line.push(at=9, pm10=151)
    line.push_every(1, 10, 26, pm10=10)
    line.want(15, "raise", "mean", first=151)
    line.want(25, "clear", "mean", last=10)
    line.run(until=30)


def test_expected_readings_follow_the_device(tmp_path: Path) -> None:
    registry = make_registry([make_device(1, interval=5), make_device(2, interval=1)])
    line = Timeline(rules(tmp_path, MEAN), registry)
    for device in (1, 2):
        line.push(at=0, device=device, pm10=300)
        line.push(at=5, device=device, pm10=300)
        line.push(at=16, device=device, pm10=300)
    line.want(16, "raise", "mean", device=1)
    line.run(until=20)


def test_a_reading_without_the_channel_moves_the_windows_on(tmp_path: Path) -> None:
    line = Timeline(rules(tmp_path, MEAN), make_registry([make_device(1)]))
    line.push_every(1, 0, 10, pm10=160)
    line.push(at=15, temperature=20)
    line.want(15, "raise", "mean", started_at=0)
    line.run(until=20)


CHANGE = """
[[rules]]
id = "rise"
name = "上升过快"
name_en = "Rising fast"
kind = "window"
severity = "major"
scope = { device_kind = "dust" }
metric = "temperature"
unit = "°C"
window = "10 s"
aggregate = "change"
lateness = "0 s"
raise_above = 5
clear_below = 2
"""


def test_a_change_is_the_mean_less_the_mean_before(tmp_path: Path) -> None:
    line = Timeline(rules(tmp_path, CHANGE), make_registry([make_device(1)]))
    line.push_every(1, 0, 10, temperature=10)
    line.push_every(1, 10, 20, temperature=14)
    line.push_every(1, 20, 30, temperature=20)
    line.push_every(1, 30, 41, temperature=21)
    line.want(30, "raise", "rise", started_at=20, first=6, quality={"samples": 20, "expected": 20.0, "share": 1.0})
    line.want(40, "clear", "rise", worst=6, last=1, ended_at=30)
    line.run(until=45)


def test_a_fall_is_a_change_from_below(tmp_path: Path) -> None:
    text = CHANGE.replace("raise_above = 5\nclear_below = 2", "raise_below = -5")
    line = Timeline(rules(tmp_path, text), make_registry([make_device(1)]))
    line.push_every(1, 0, 10, temperature=20)
    line.push_every(1, 10, 21, temperature=12)
    line.want(20, "raise", "rise", first=-8)
    line.run(until=25)


def test_both_windows_of_a_change_need_their_share(tmp_path: Path) -> None:
    line = Timeline(rules(tmp_path, CHANGE), make_registry([make_device(1)]))
    line.push_every(1, 0, 7, temperature=10)  # seven of ten
    line.push_every(1, 10, 20, temperature=30)
    line.push_every(1, 20, 31, temperature=36)
    line.want(30, "raise", "rise", first=6)
    line.run(until=35)


def test_a_change_in_any_allowed_order_and_over_a_restart(tmp_path: Path) -> None:
    found, registry = rules(tmp_path, CHANGE.replace('"0 s"', '"5 s"')), make_registry([make_device(1)])
    ordered = [(1, float(second), {"temperature": float(second // 10 * (second // 10))}) for second in range(80)]
    told = []
    for seed in range(4):
        random = Random(seed)
        rows = sorted(ordered, key=lambda row: row[1] + (random.uniform(0, 4.9) if seed else 0))
        engine, heard = Engine(found, registry, PROFILES), []
        for row in [*rows, (1, 200.0, {"temperature": 0.0})]:
            heard += engine.feed(batch([row], arrived=0))
            fresh = Engine(found, registry, PROFILES)
            fresh.load(engine.dump())
            engine = fresh
        told.append([(item.phase, item.started_at, item.worst) for item in heard])
    # Means 0, 1, 4, 9, ...: the step from 4 to 9 is 5 and not beyond it, the next is 7.
    assert told[0][0] == ("raise", at(40), 7)
    assert told[1:] == told[:1] * 3


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('window = "10 s"', 'window = "10 s"\nevery = "5 s"', "leave every out"),
        ('"temperature"\nunit = "°C"', '"laeq"\nunit = "dB(A)"', "laeq is noise: its means have no difference"),
        ('"temperature"\nunit = "°C"', '"wind_direction"\nunit = "degrees"', "is a direction"),
    ],
)
def test_what_has_no_change_is_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert old in CHANGE
    path = tmp_path / "rules.toml"
    path.write_text(CHANGE.replace(old, new), encoding="utf-8")
    assert any(reason in problem.reason for problem in check([path], PROFILES)), check([path], PROFILES)
