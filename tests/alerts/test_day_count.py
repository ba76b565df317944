"""Exceedances per day of the site; changes by time; differences and ratios to reference stations of the site."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import pytest

from alerts.engine import Engine, Transition
from alerts.rules import check
from alerts.rules.model import AnyRule, from_definition
from core.clock import from_micros
from sensors.registry import Permit, Registry
from tests.alerts.test_windows import CHANGE, LEQ, MEAN
from tests.alerts.timeline import Timeline
from tests.alerts.world import ORIGIN, PROFILES, at, batch, make_device, make_registry, rules

HOUR = 3600.0
COUNT = """
[[rules]]
id = "often"
name = "超标过频"
name_en = "Too often"
kind = "day_count"
severity = "major"
scope = { device_kind = "dust" }
metric = "pm10"
unit = "µg/m³"
window = "1 h"
aggregate = "mean"
raise_above = 150
allowed = 2
lateness = "0 s"
"""
# Second 0 is 16:00 in Shanghai, where midnight comes after 8 hours.
MIDNIGHT = 8 * HOUR


def _hours(values: dict[int, float], hours: int) -> list[tuple[int, float, dict[str, float]]]:
    """A reading every ten minutes; `values` by hour, 50 in others."""
    return [
        (1, hour * HOUR + part * 600, {"pm10": values.get(hour, 50.0)}) for hour in range(hours) for part in range(6)
    ]


def _registry(*, permits: tuple[Permit, ...] = (), zone: str = "Asia/Shanghai") -> Registry:
    registry = make_registry([make_device(1, interval=600)])
    return replace(registry, permits=permits, sites={1: replace(registry.sites[1], time_zone=zone)})


def _play(
    found: tuple[AnyRule, ...], registry: Registry, rows: list[tuple[int, float, dict[str, float]]]
) -> list[tuple[str, float, float | None, float | None]]:
    engine = Engine(found, registry, PROFILES)
    told: list[Transition] = []
    for row in rows:
        told += engine.feed(batch([row], arrived=row[1]))
        fresh = Engine(found, registry, PROFILES)
        fresh.load(engine.dump())
        engine = fresh
    return [
        (
            item.phase,
            (item.started_at - ORIGIN) / 1e6,
            None if item.ended_at is None else (item.ended_at - ORIGIN) / 1e6,
            item.worst,
        )
        for item in told
    ]


def test_the_third_exceedance_of_a_day_violates_until_midnight(tmp_path: Path) -> None:
    found = rules(tmp_path, COUNT)
    values = {0: 160.0, 2: 170.0, 4: 200.0, 6: 180.0, 8: 300.0, 9: 300.0}
    told = _play(found, _registry(), _hours(values, 20))
    # Two after midnight are allowed again.
    assert told == [("raise", 4 * HOUR, None, 200), ("clear", 4 * HOUR, MIDNIGHT, 200)]
    (rule,) = found
    assert from_definition(rule.definition()) == rule


def test_the_day_is_the_sites(tmp_path: Path) -> None:
    """The same readings: in London midnight comes at 16 hours (08:00 UTC is second 0), so that five are of one day."""
    values = {6: 160.0, 7: 170.0, 8: 200.0}
    assert _play(rules(tmp_path, COUNT), _registry(), _hours(values, 20)) == []
    told = _play(rules(tmp_path, COUNT), _registry(zone="UTC"), _hours(values, 20))
    assert told == [("raise", 8 * HOUR, None, 200), ("clear", 8 * HOUR, 16 * HOUR, 200)]


def test_a_window_without_its_share_is_not_counted(tmp_path: Path) -> None:
    rows = [row for row in _hours({0: 160.0, 1: 160.0, 2: 160.0}, 20) if not HOUR <= row[1] < HOUR + 1500]
    assert _play(rules(tmp_path, COUNT), _registry(), rows) == []


def test_exceedances_of_a_sandstorm_are_not_counted(tmp_path: Path) -> None:
    start = from_micros(ORIGIN).astimezone(ZoneInfo("Asia/Shanghai"))
    storm = Permit(
        id=1, site_id=1, kind="sandstorm", reference="no. 3", starts_at=start + timedelta(hours=1),
        ends_at=start + timedelta(hours=3), source="",
    )  # fmt: skip
    text = COUNT + 'exempt_during = { permits = ["sandstorm"] }\n'
    values = {0: 160.0, 1: 900.0, 2: 900.0, 3: 170.0, 4: 200.0}
    told = _play(rules(tmp_path, text), _registry(permits=(storm,)), _hours(values, 20))
    assert told == [("raise", 4 * HOUR, None, 200), ("clear", 4 * HOUR, MIDNIGHT, 200)]


def test_cleared_by_hand_the_next_exceedance_raises(tmp_path: Path) -> None:
    engine = Engine(rules(tmp_path, COUNT), _registry(), PROFILES)
    rows = _hours({0: 160.0, 1: 160.0, 2: 160.0, 4: 160.0}, 8)
    told = [item for row in rows[:22] for item in engine.feed(batch([row], arrived=row[1]))]
    assert [item.quality["exceedances"] for item in told] == [3]
    engine.close("often", "device:1", 0)
    told = [item for row in rows[22:] for item in engine.feed(batch([row], arrived=row[1]))]
    assert [(item.phase, item.started_at) for item in told] == [("raise", at(4 * HOUR))]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("allowed = 2", "allowed = -1", "allowed: Input should be greater than or equal to 0"),
        ("allowed = 2", 'allowed = 2\nschedule = [{ from = "08:00", to = "09:00" }]', "a day is counted as a whole"),
        ('"pm10"\nunit = "µg/m³"', '"laeq"\nunit = "dB(A)"', "laeq is noise: its mean is the energy_mean"),
        ("µg/m³", "mg/m³", "is not the channel's"),
    ],
)
def test_counts_that_cannot_be_are_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert old in COUNT
    _refused(tmp_path, COUNT.replace(old, new), reason)


def _refused(folder: Path, text: str, reason: str) -> None:
    path = folder / "rules.toml"
    path.write_text(text, encoding="utf-8")
    problems = check([path], PROFILES)
    assert any(reason in problem.reason and problem.line for problem in problems), problems


def test_a_change_by_time_is_a_rate(tmp_path: Path) -> None:
    # Six degrees in windows of ten seconds are 36 a minute.
    text = CHANGE.replace("raise_above = 5\nclear_below = 2", 'per = "1 min"\nraise_above = 30\nclear_below = 12')
    line = Timeline(rules(tmp_path, text), make_registry([make_device(1)]))
    for start, value in ((0, 10), (10, 14), (20, 20), (30, 21)):
        line.push_every(1, start, start + 10, temperature=value)
    line.push(at=40, temperature=21)
    line.want(30, "raise", "rise", started_at=20, first=36)
    line.want(40, "clear", "rise", last=6)
    line.run(until=45)
    _refused(tmp_path, MEAN + 'per = "1 h"\n', "per goes with aggregate change")


REFERENCE = MEAN.replace("raise_above = 150\nclear_below = 120", "raise_above = 50\nclear_below = 20") + (
    'reference = { tag = "upwind", compare = "difference" }\n'
)
SITE = make_registry(
    [
        make_device(1),
        make_device(2, tags=["upwind"]),
        make_device(3, tags=["upwind"]),
        make_device(4, site=2),
    ]
)
Rows = list[tuple[int, float, dict[str, float]]]


def _site(values: dict[int, tuple[float, ...]]) -> Rows:
    """A reading a second of each device; values by device and window of ten seconds."""
    return sorted(
        ((device, float(second), {"pm10": by_window[second // 10]}) for device, by_window in values.items()
         for second in range(10 * len(by_window))), key=lambda row: row[1]
    )  # fmt: skip


def _facts(told: list[Transition]) -> list[tuple[str, str, float, float | None]]:
    return [(item.phase, item.subject, (item.started_at - ORIGIN) / 1e6, item.worst) for item in told]


def test_a_station_is_compared_with_the_mean_of_its_references(tmp_path: Path) -> None:
    engine = Engine(rules(tmp_path, REFERENCE), SITE, PROFILES)
    rows = _site({1: (160.0, 160.0, 110.0, 110.0), 2: (140.0, 90.0, 90.0, 90.0), 3: (140.0, 110.0, 110.0, 90.0),
                  4: (900.0, 900.0, 900.0, 900.0)})  # fmt: skip
    told = engine.feed(*(batch([row], arrived=row[1], sites={4: 2}) for row in rows))
    told += engine.feed(batch([(2, 60, {"pm10": 1.0})], arrived=60))
    # Site 2 has no reference and gets no verdict, and a reference is not judged.
    assert _facts(told) == [("raise", "device:1", 10, 60), ("clear", "device:1", 10, 60)]
    assert told[0].quality == {"samples": 10, "expected": 10.0, "share": 1.0, "value": 160, "reference": 100}


def test_a_reference_needs_its_share_too(tmp_path: Path) -> None:
    engine = Engine(rules(tmp_path, REFERENCE), SITE, PROFILES)
    rows = [row for row in _site({1: (160.0, 160.0), 2: (90.0, 90.0)}) if row[0] == 1 or row[1] % 10 < 7]
    told = engine.feed(*(batch([row], arrived=row[1]) for row in [*rows, (1, 60, {"pm10": 1.0})]))
    assert told == []


def test_a_ratio_with_a_factor_and_another_channel(tmp_path: Path) -> None:
    text = (
        REFERENCE.replace('"pm10"\nunit = "µg/m³"', '"tsp"\nunit = "1"')
        .replace('"upwind", compare = "difference"', '"upwind", compare = "ratio", metric = "pm10", factor = 1.3')
        .replace("raise_above = 50\nclear_below = 20", "raise_above = 1")
    )
    engine = Engine(rules(tmp_path, text), SITE, PROFILES)
    rows = [(device, float(second), {"pm10": 100.0, "tsp": 260.0}) for second in range(30) for device in (1, 2)]
    (told,) = engine.feed(*(batch([row], arrived=row[1]) for row in rows))
    assert (told.subject, told.first) == ("device:1", 2.0)


@pytest.mark.parametrize("seed", range(6))
def test_a_comparison_in_any_allowed_order_and_over_restarts(tmp_path: Path, seed: int) -> None:
    """Devices of a site overtake each other within the lateness, and the engine restarts after every reading."""
    found, random = rules(tmp_path, REFERENCE), Random(seed)
    choices = {1: (90.0, 160.0), 2: (50.0, 90.0), 3: (50.0, 90.0, 160.0)}
    ordered = _site({device: tuple(random.choice(values) for _ in range(8)) for device, values in choices.items()})
    closing: Rows = [(1, 200.0, {"pm10": 0.0})]

    def play(rows: Rows, *, restart: bool) -> list[Transition]:
        engine, told = Engine(found, SITE, PROFILES), []
        for row in rows:
            told += engine.feed(batch([row], arrived=0))
            if restart:
                fresh = Engine(found, SITE, PROFILES)
                fresh.load(engine.dump())
                engine = fresh
        return told

    expected = play([*ordered, *closing], restart=False)
    shuffled = sorted(ordered, key=lambda row: row[1] + random.uniform(0, 4.9))
    assert play([*shuffled, *closing], restart=True) == expected
    assert len(expected) > 0


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('tag = "upwind"', 'tag = ""', "reference.tag"),
        ('compare = "difference"', 'compare = "difference", metric = "temperature"', "they cannot be compared"),
        ('compare = "difference"', 'compare = "difference", metric = "none"', "has no metric 'none'"),
        ('compare = "difference"', 'compare = "ratio"', 'a ratio has the unit "1"'),
        ('aggregate = "mean"', 'aggregate = "max"', "a reference is compared by mean"),
        ('{ device_kind = "dust" }', '{ device_kind = "dust", tags = ["upwind"] }', "is the reference itself"),
    ],
)
def test_references_that_cannot_be_are_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert old in REFERENCE
    _refused(tmp_path, REFERENCE.replace(old, new), reason)
    ratio = LEQ + 'reference = { tag = "upwind", compare = "ratio" }\n'
    _refused(tmp_path, ratio.replace('"dB(A)"', '"1"'), "no ratio and no factor")
