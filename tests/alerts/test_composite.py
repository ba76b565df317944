"""Composite rules: conditions on the device and on others of its site, joined by and / or."""

from __future__ import annotations

import itertools
from pathlib import Path
from random import Random

import pytest

from alerts.engine import Engine, Transition
from alerts.rules import check
from alerts.rules.model import AnyRule, from_definition
from sensors.batch import ReadingBatch
from tests.alerts.world import ORIGIN, PROFILES, at, batch, make_device, make_registry, rules

RULE = """
[[rules]]
id = "dust-no-spray"
name = "扬尘超标未喷淋"
name_en = "Dust and no spray"
kind = "composite"
severity = "major"
scope = { device_kind = "dust" }
step = "2 s"
lateness = "4 s"
duration = "4 s"
clear_after = "4 s"
all_of = [
  { metric = "pm10", unit = "µg/m³", raise_above = 150, clear_below = 120 },
  { metric = "state", raise_on = ["off"], scope = { device_kind = "sprayer" }, match = "all" },
]
"""
SITE = make_registry(
    [
        make_device(1),
        make_device(2, kind="sprayer"),
        make_device(3, kind="sprayer", interval=5),
        make_device(4, site=2),
    ]
)
PM10 = "pm10"
STATES = [symbol.name for symbol in PROFILES["sprayer"].channel("state").symbols]  # type: ignore[union-attr]
OFF, ON = float(STATES.index("off")), float(STATES.index("on"))


def _dust(second: float, value: float, device: int = 1) -> tuple[float, ReadingBatch]:
    row = (device, second, {PM10: value})
    return second, batch([row], arrived=second, sites={4: 2})


def _spray(second: float, value: float, device: int = 2) -> tuple[float, ReadingBatch]:
    return second, batch([(device, second, {"state": value})], arrived=second, kind="sprayer")


def _play(
    found: tuple[AnyRule, ...], items: list[tuple[float, ReadingBatch]], *, restart: bool = False
) -> list[Transition]:
    engine, told = Engine(found, SITE, PROFILES), []
    for _, item in items:
        told += engine.feed(item)
        if restart:
            state = engine.dump()
            engine = Engine(found, SITE, PROFILES)
            engine.load(state)
            assert engine.dump() == state
    return told


def _facts(told: list[Transition]) -> list[tuple[str, str, float, float | None, float | None]]:
    ended = [None if item.ended_at is None else (item.ended_at - ORIGIN) / 1e6 for item in told]
    return [
        (item.phase, item.subject, (item.started_at - ORIGIN) / 1e6, end, item.worst)
        for item, end in zip(told, ended, strict=True)
    ]


def _script() -> list[tuple[float, ReadingBatch]]:
    """High from 10 to 50; sprayer 2 runs from 20 to 30; sprayer 3 is always off."""
    items = [_dust(second, 200.0 if 10 <= second < 50 else 100.0) for second in range(80)]
    items += [_spray(second + 0.25, ON if 20 <= second < 30 else OFF) for second in range(80)]
    items += [_spray(second + 0.5, OFF, 3) for second in range(0, 80, 5)]
    return sorted(items, key=lambda item: item[0])


def test_both_must_hold_for_the_duration(tmp_path: Path) -> None:
    told = _play(rules(tmp_path, RULE), _script())
    assert _facts(told) == [
        ("raise", "device:1", 10, None, 200),
        ("clear", "device:1", 10, 20, 200),
        ("raise", "device:1", 30, None, 200),
        ("clear", "device:1", 30, 50, 200),
    ]
    assert told[0].quality == {"conditions": ["pm10", "state"]}


def test_a_silent_device_is_no_condition(tmp_path: Path) -> None:
    """While nothing is known of the sprayers, and on a site that has none, `all_of` raises nothing."""
    items = [_dust(second, 200.0) for second in range(60)]
    assert _play(rules(tmp_path, RULE), items) == []
    # Site 2 has no sprayer at all.
    items = [_dust(second, 200.0, 4) for second in range(60)]
    assert _play(rules(tmp_path, RULE), items) == []


def test_one_of_several_is_enough(tmp_path: Path) -> None:
    text = RULE.replace("all_of", "any_of").replace('"dust" }', '"dust", sites = ["site-1"] }')
    items = [_dust(second, 200.0 if 20 <= second < 30 else 100.0) for second in range(60)]
    assert _facts(_play(rules(tmp_path, text), items)) == [("raise", "device:1", 20, None, 200)]
    # While nothing is known of the sprayers their condition may hold: the alert does not end.
    both = sorted([*items, *(_spray(second + 0.5, ON, device) for second in range(60) for device in (2, 3))],
                  key=lambda item: item[0])  # fmt: skip
    assert _facts(_play(rules(tmp_path, text), both)) == [
        ("raise", "device:1", 20, None, 200),
        ("clear", "device:1", 20, 30, 200),
    ]


@pytest.mark.parametrize("seed", range(8))
def test_any_allowed_order_cut_and_restart_tell_the_same(tmp_path: Path, seed: int) -> None:
    found, random = rules(tmp_path, RULE), Random(seed)
    closing = [_dust(200, 0.0)]
    ordered = _script()
    for _ in range(6):  # a few devices report nothing, or something else, at random
        second = random.randrange(70)
        ordered = [item for item in ordered if not second <= item[0] < second + random.choice((1, 3, 8))]
    expected = _play(found, [*ordered, *closing])
    shuffled = sorted(ordered, key=lambda item: item[0] + random.uniform(0, 3.9))
    repeated = [item for pair in zip(shuffled, shuffled, strict=True) for item in pair]
    assert _play(found, [*repeated, *closing], restart=True) == expected
    engine, told = Engine(found, SITE, PROFILES), []
    bounds = sorted({0, len(shuffled), *(random.randrange(len(shuffled)) for _ in range(5))})
    for first, last in itertools.pairwise(bounds):
        told += engine.feed(*(item for _, item in shuffled[first:last]))
    assert told + engine.feed(closing[0][1]) == expected


def test_cleared_by_hand_it_is_raised_anew_while_it_goes_on(tmp_path: Path) -> None:
    found = rules(tmp_path, RULE)
    engine = Engine(found, SITE, PROFILES)
    script = [item for item in _script() if item[0] < 50]
    half = [item for item in script if item[0] < 20]
    assert [item.phase for _, part in half for item in engine.feed(part)] == ["raise"]
    assert engine.is_open("dust-no-spray", "device:1")
    engine.close("dust-no-spray", "device:1", 0)
    later = [_dust(second, 200.0) for second in range(60, 80)]
    told = [item for _, part in [*script[len(half) :], *later] for item in engine.feed(part)]
    assert told[0].phase == "raise"
    assert told[0].started_at > at(10)


def test_the_definition_reads_back_as_the_same_rule(tmp_path: Path) -> None:
    (rule,) = rules(tmp_path, RULE)
    assert from_definition(rule.definition()) == rule


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('metric = "pm10"', 'metric = "pm11"', "all_of[0]: kind dust has no metric 'pm11'"),
        ("µg/m³", "mg/m³", "all_of[0]: unit 'mg/m³' is not the channel's"),
        ("clear_below = 120", "clear_below = 160", "clear_below goes with raise_above and does not lie above it"),
        ('["off"]', '["dry"]', "all_of[1]: state has no symbol 'dry'"),
        ('device_kind = "sprayer"', 'device_kind = "hose"', "all_of[1]: device kind 'hose' is not known"),
        ('scope = { device_kind = "dust" }', "", "scope.device_kind is missing"),
        ('metric = "pm10", unit', 'scope = { device_kind = "dust" }, metric = "pm10", unit', "leave its scope out"),
        ("raise_above = 150, clear_below = 120", 'raise_on = ["off"]', "pm10 is not an enumeration"),
    ],
)
def test_conditions_that_cannot_be_are_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert old in RULE
    path = tmp_path / "rules.toml"
    path.write_text(RULE.replace(old, new), encoding="utf-8")
    problems = check([path], PROFILES)
    assert any(reason in problem.reason and problem.line for problem in problems), problems
