"""N of M, as timed scripts. Readings come every second unless the device's interval is another; lateness 2 s."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.engine import Engine
from alerts.rules import check
from alerts.rules.model import CountRule, from_definition
from tests.alerts.timeline import Timeline
from tests.alerts.world import PROFILES, at, batch, make_device, make_registry, rules

GUST = """
[[rules]]
id = "gust"
name = "阵风"
name_en = "Gusts"
kind = "n_of_m"
severity = "major"
scope = { device_kind = "dust" }
metric = "wind_speed"
unit = "m/s"
raise_above = 10.8
at_least = 3
of = 5
clear_at_most = 1
lateness = "2 s"
"""


def _line(folder: Path, text: str = GUST, interval: float = 1.0) -> Timeline:
    return Timeline(rules(folder, text), make_registry([make_device(1, interval=interval)]))


def _push(line: Timeline, *values: float, step: float = 1) -> None:
    for place, value in enumerate(values):
        line.push(at=place * step, wind_speed=value)


def test_raises_on_three_of_five_and_clears_on_one(tmp_path: Path) -> None:
    line = _line(tmp_path)
    _push(line, 5, 12, 5, 14, 5, 13, 5, 5, 5, 5, 5, 5, 5)
    # The window of the seconds 1 to 5 can no longer change when second 8 is there.
    line.want(8, "raise", "gust", started_at=1, first=14, quality={
        "samples": 5, "expected": 5.0, "share": 1.0, "violating": 3,
    })  # fmt: skip
    # 4 to 8 holds one violating reading.
    line.want(11, "clear", "gust", worst=14, ended_at=4)
    line.run(until=15)


def test_two_of_five_are_not_enough(tmp_path: Path) -> None:
    line = _line(tmp_path)
    _push(line, *[20, 5, 5, 20, 5] * 8)
    line.run(until=45)


def test_the_interval_is_the_devices_own(tmp_path: Path) -> None:
    line = _line(tmp_path, interval=10)
    _push(line, 5, 12, 5, 14, 5, 13, 5, step=10)
    line.want(70, "raise", "gust", started_at=10)
    line.push(at=70, wind_speed=5)
    line.run(until=75)


def test_values_from_below(tmp_path: Path) -> None:
    line = _line(tmp_path, GUST.replace("raise_above = 10.8", "raise_below = 1"))
    _push(line, 0.5, 0.2, 0.9, 5, 5, 5, 5, 5, 5, 5)
    line.want(5, "raise", "gust", first=0.2, worst=0.2)
    line.want(9, "clear", "gust", ended_at=2)
    line.run(until=10)


def test_silence_and_faulty_values_are_no_relief(tmp_path: Path) -> None:
    line = _line(tmp_path)
    _push(line, 12, 12, 12, 12, 12)
    for second in range(5, 20):
        line.push(at=second, wind_speed=0, letter="D")
    line.push(at=100, wind_speed=12)
    line.want(5, "raise", "gust", started_at=-2)
    line.run(until=110)


def test_a_new_interval_starts_the_count_anew(tmp_path: Path) -> None:
    found = rules(tmp_path, GUST)
    engine = Engine(found, make_registry([make_device(1)]), PROFILES)
    engine.feed(batch([(1, second, {"wind_speed": 12.0}) for second in (0.0, 1.0, 2.0)], arrived=2))
    slower = Engine(found, make_registry([make_device(1, interval=10)]), PROFILES)
    slower.load(engine.dump())
    rows = [(1, float(second), {"wind_speed": 12.0}) for second in range(10, 70, 10)]
    (told,) = slower.feed(batch(rows, arrived=60))
    assert (told.phase, told.started_at, told.quality["violating"]) == ("raise", at(-10), 3)


def test_a_definition_comes_back(tmp_path: Path) -> None:
    (rule,) = rules(tmp_path, GUST)
    assert isinstance(rule, CountRule)
    assert from_definition(rule.definition()) == rule


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        ("at_least = 3", "at_least = 6", 2, "at_least 6 is more than of 5"),
        ("clear_at_most = 1", "clear_at_most = 3", 2, "clear_at_most 3 is not below at_least 3"),
        ("raise_above = 10.8", "", 2, "give exactly one of raise_above and raise_below"),
        ('unit = "m/s"', 'unit = "km/h"', 10, "unit 'km/h' is not the channel's"),
        ("of = 5", "of = 1", 13, "of: Input should be greater than or equal to 2"),
    ],
)
def test_a_fault_is_told_with_its_place(tmp_path: Path, old: str, new: str, line: int, reason: str) -> None:
    assert old in GUST
    path = tmp_path / "rules.toml"
    path.write_text(GUST.replace(old, new), encoding="utf-8")
    match = [problem for problem in check([path], PROFILES) if reason in problem.reason]
    assert match, check([path], PROFILES)
    assert match[0].line == line


readings = st.lists(st.sampled_from([5.0, 12.0, 14.0, None]), min_size=8, max_size=50)


@settings(max_examples=60, deadline=None)
@given(readings, st.randoms(), st.integers(0, 60))
def test_any_allowed_order_cut_and_restart_agree_with_the_obvious_loop(
    tmp_path_factory: pytest.TempPathFactory, values: list[float | None], random: Any, cut: int
) -> None:
    found = rules(tmp_path_factory.mktemp("count"), GUST)
    registry = make_registry([make_device(1)])
    ordered = [(1, float(second), {"wind_speed": value}) for second, value in enumerate(values) if value is not None]
    shuffled = sorted(ordered, key=lambda row: row[1] + random.uniform(0, 1.9))
    # The first reading decides where the judging begins, the last one closes the same windows in both.
    rows = [(1, 0.0, {"temperature": 0.0}), *shuffled, (1, 100.0, {"wind_speed": 0.0})]
    engine, told = Engine(found, registry, PROFILES), []
    for part in (rows[: cut % (len(rows) + 1)], rows[cut % (len(rows) + 1) :]):
        if part:
            told += engine.feed(batch(part, arrived=0))
        fresh = Engine(found, registry, PROFILES)
        fresh.load(engine.dump())
        engine = fresh
    assert [(item.phase, item.started_at, item.worst) for item in told] == _loop(values)


def _loop(values: list[float | None]) -> list[tuple[str, int, float | None]]:
    told: list[tuple[str, int, float | None]] = []
    since, worst = None, 0.0
    for end in range(-2, 98):
        window = [values[second] for second in range(max(0, end - 4), end + 1) if second < len(values)]
        valid = [value for value in window if value is not None]
        if len(valid) < 3:
            continue
        violating = sum(value > 10.8 for value in valid)
        if since is None and violating >= 3:
            since, worst = end - 4, max(valid)
            told.append(("raise", at(since), worst))
        elif since is not None:
            if violating >= 3:
                worst = max(worst, *valid)
            if violating <= 1:
                told.append(("clear", at(since), worst))
                since = None
    return told
