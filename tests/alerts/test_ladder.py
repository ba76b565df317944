"""Severity ladders: one alert whose severity follows the level reached."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.engine import Engine, Standing, Transition
from alerts.rules import check
from alerts.rules.model import AnyRule, from_definition
from core.settings import AlertsSettings, Settings
from tests.alerts.database import world
from tests.alerts.test_windows import MEAN
from tests.alerts.timeline import Timeline
from tests.alerts.world import PM10, PROFILES, at, batch, make_device, make_registry, rules
from tests.support.clock import FakeClock

LADDER = PM10.replace('"major"', '"warning"') + (
    'levels = [{ severity = "major", raise_above = 250, clear_below = 200 }, '
    '{ severity = "critical", raise_above = 400, clear_below = 300, duration = "3 s" }]\n'
)
REGISTRY = make_registry([make_device(1), make_device(2)])


@pytest.fixture
def ladder(tmp_path: Path) -> tuple[AnyRule, ...]:
    return rules(tmp_path, LADDER)


def test_warning_now_critical_after_its_duration_down_again_and_over(ladder: tuple[AnyRule, ...]) -> None:
    """Pain 10 (thingsboard#11803): one alert goes up, down and ends; it is never raised twice."""
    line = Timeline(ladder, REGISTRY)
    line.push(at=0, pm10=160)
    line.push(at=1, pm10=260)
    line.push_every(1, 2, 6, pm10=450)
    line.push(at=6, pm10=310)  # between the levels of critical: it stays
    line.push(at=7, pm10=300)
    line.push_every(1, 8, 13, pm10=300)  # relieved for 5 s at 12
    line.push_every(1, 13, 19, pm10=150)
    line.push_every(1, 19, 26, pm10=100)
    line.want(0, "raise", "pm10", severity="warning", limit=150, started_at=0)
    line.want(1, "severity", "pm10", severity="major", limit=250, started_at=0)
    line.want(5, "severity", "pm10", severity="critical", limit=400, started_at=0, last=450)
    line.want(12, "severity", "pm10", severity="major", limit=250, worst=450)
    line.want(18, "severity", "pm10", severity="warning", limit=150)
    line.want(24, "clear", "pm10", ended_at=19, worst=450, last=100, severity="warning")
    line.run(until=30)


def test_a_jump_to_the_top_raises_once_at_the_top(ladder: tuple[AnyRule, ...]) -> None:
    line = Timeline(ladder, REGISTRY)
    line.push(at=0, pm10=500)
    line.push_every(1, 1, 7, pm10=90)
    line.want(0, "raise", "pm10", severity="major", started_at=0)
    line.want(6, "clear", "pm10", ended_at=1)
    line.run(until=10)


def test_a_level_implies_those_below_it(tmp_path: Path) -> None:
    """The rule itself waits 10 s, its second level does not: the alert goes on as a warning when that is left."""
    text = PM10 + 'duration = "10 s"\nlevels = [{ severity = "critical", raise_above = 400, clear_below = 300 }]\n'
    line = Timeline(rules(tmp_path, text), REGISTRY)
    line.push(at=0, pm10=200)
    line.push(at=1, pm10=500)
    line.push_every(1, 2, 9, pm10=200)
    line.push_every(1, 9, 16, pm10=100)
    line.want(1, "raise", "pm10", severity="critical", started_at=1)
    line.want(7, "severity", "pm10", severity="major")
    line.want(14, "clear", "pm10", ended_at=9)
    line.run(until=20)


def test_windows_have_levels_too(tmp_path: Path) -> None:
    text = MEAN + 'levels = [{ severity = "critical", raise_above = 300 }]\n'
    line = Timeline(rules(tmp_path, text), REGISTRY)
    line.push_every(1, 0, 10, pm10=200)
    line.push_every(1, 10, 20, pm10=350)
    line.push_every(1, 20, 36, pm10=100)
    line.want(15, "raise", "mean", severity="major", first=200)
    line.want(
        25, "severity", "mean", severity="critical", last=350, quality={"samples": 10, "expected": 10.0, "share": 1.0}
    )
    line.want(35, "clear", "mean", ended_at=20, worst=350)
    line.run(until=40)


def test_cleared_by_hand_and_taken_over_from_the_database(ladder: tuple[AnyRule, ...]) -> None:
    engine = Engine(ladder, REGISTRY, PROFILES)
    engine.feed(batch([(1, 0, {"pm10": 300.0})], arrived=0))
    engine.close("pm10", "device:1", 0)
    (told,) = engine.feed(batch([(1, 1, {"pm10": 300.0})], arrived=1))
    assert (told.phase, told.severity) == ("raise", "major")
    other = Engine(ladder, REGISTRY, PROFILES)
    other.adopt([Standing(rule="pm10", subject="device:1", started_at=at(1), worst=300, limit=250)], at(2))
    (down,) = other.feed(batch([(1, second, {"pm10": 160.0}) for second in range(2, 8)], arrived=8))
    assert (down.phase, down.severity, down.worst) == ("severity", "warning", 300)


values = st.lists(st.sampled_from([50.0, 130.0, 160.0, 220.0, 260.0, 310.0, 450.0]), min_size=1, max_size=80)


def _by_device(told: list[Transition]) -> list[Transition]:
    return [item for item in told if item.device == 1]


@settings(max_examples=80, deadline=None)
@given(values, st.lists(st.integers(0, 100), max_size=6))
def test_any_cut_and_restart_tell_the_same(values: list[float], cuts: list[int]) -> None:
    found = _LADDER
    rows = [(1, float(second), {"pm10": value}) for second, value in enumerate(values)]
    whole = Engine(found, REGISTRY, PROFILES).feed(batch(rows, arrived=0))
    engine, told = Engine(found, REGISTRY, PROFILES), []
    bounds = sorted({0, len(rows), *(cut % (len(rows) + 1) for cut in cuts)})
    for first, last in itertools.pairwise(bounds):
        told += engine.feed(batch(rows[first:last], arrived=0))
        state = engine.dump()
        engine = Engine(found, REGISTRY, PROFILES)
        engine.load(state)
    assert told == whole
    # One alert at a time, and every step of it goes to another level.
    standing: str | None = None
    for item in told:
        assert (item.phase == "raise") == (standing is None)
        assert item.phase == "clear" or item.severity != standing
        standing = None if item.phase == "clear" else item.severity


def _rules() -> tuple[AnyRule, ...]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return rules(Path(folder), LADDER)


_LADDER = _rules()


def test_the_definition_reads_back_as_the_same_rule() -> None:
    (rule,) = _LADDER
    assert from_definition(rule.definition()) == rule
    assert rule.definition()["levels"][1]["duration_s"] == 3


@pytest.mark.parametrize(
    ("levels", "reason"),
    [
        ('{ severity = "warning", raise_above = 250 }', "warning is not more severe than major"),
        ('{ severity = "critical", raise_above = 140 }', "140 lies within the level before, 150"),
        ('{ severity = "critical", raise_above = 250, clear_below = 260 }', "lies beyond its raise level"),
        ('{ severity = "critical", raise_above = 250, clear_below = 100 }', "clears later than the level before, 120"),
        ('{ severity = "critical" }', "neither a level farther out nor a longer duration"),
        ('{ severity = "critical", raise_below = 250 }', "raise_below does not go with raise_above"),
    ],
)
def test_levels_that_contradict_each_other_are_refused(tmp_path: Path, levels: str, reason: str) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(PM10 + f"levels = [{levels}]\n", encoding="utf-8")
    problems = check([path], PROFILES)
    assert any(reason in problem.reason for problem in problems), problems


async def test_the_alert_follows_and_a_target_is_told_from_its_severity_on(settings: Settings, tmp_path: Path) -> None:
    async with world(settings, FakeClock(), tmp_path, LADDER) as site:
        targets: list[dict[str, Any]] = [
            {"name": "all", "url": "https://a.example/", "rules": ["*"]},
            {"name": "grave", "url": "https://b.example/", "rules": ["*"], "min_severity": "major"},
            {"name": "sink", "adapter": "alertmanager", "url": "https://c.example/", "rules": ["*"]},
            {"name": "late", "url": "https://d.example/", "rules": ["*"], "push_on": "end"},
        ]
        alerts = AlertsSettings.model_validate({**site.settings.alerts.model_dump(), "targets": targets})
        site.settings = site.settings.model_copy(update={"alerts": alerts})
        async with site.engine():
            await site.publish(batch([(1, 0, {"pm10": 160.0})], arrived=0))
            (alert,) = await site.until(1)
            assert (alert["severity"], alert["limit_value"]) == ("warning", 150)
            await site.publish(batch([(1, 1, {"pm10": 260.0})], arrived=1))
            (alert,) = await site.until(1, "severity = 'major' AND limit_value = 250")
            await site.publish(batch([(1, second, {"pm10": 130.0}) for second in range(2, 9)], arrived=9))
            (alert,) = await site.until(1, "severity = 'warning' AND peak_severity = 'major'")
            # Up again to what was told already: nothing new.
            await site.publish(batch([(1, 9, {"pm10": 270.0})], arrived=9))
            (alert,) = await site.until(1, "severity = 'major'")
            await site.publish(batch([(1, 9 + second, {"pm10": 450.0}) for second in range(1, 5)], arrived=14))
            (alert,) = await site.until(1, "severity = 'critical'")
            await site.publish(batch([(1, second, {"pm10": 90.0}) for second in range(15, 22)], arrived=22))
            (alert,) = await site.until(1, "cleared_at IS NOT NULL")
            assert alert["max_value"] == 450
            sent = await site.rows(
                """SELECT target, phase, amendment, payload -> 'amendment' AS told,
                          payload #>> '{alert,severity}' AS severity, payload -> 'limit' AS limit, idempotency_key
                   FROM delivery ORDER BY id"""
            )
            assert len({row.pop("idempotency_key") for row in sent}) == len(sent)
            assert [tuple(row.values()) for row in sent] == [
                ("all", "raise", 0, 0, "warning", 150),
                ("sink", "raise", 0, 0, "warning", 150),
                ("all", "raise", 1, 1, "major", 250),
                ("grave", "raise", 0, 0, "major", 250),
                ("all", "raise", 2, 2, "critical", 400),
                ("grave", "raise", 1, 1, "critical", 400),
                ("all", "end", 0, 0, alert["severity"], alert["limit_value"]),
                ("grave", "end", 0, 0, alert["severity"], alert["limit_value"]),
                ("sink", "end", 0, 0, alert["severity"], alert["limit_value"]),
                ("late", "end", 0, 0, alert["severity"], alert["limit_value"]),
            ]
            history = await site.rows(
                "SELECT kind, detail FROM alert_event WHERE alert_id = %s ORDER BY id", alert["id"]
            )
            moves = [(row["detail"]["from"], row["detail"]["to"]) for row in history if row["kind"] == "severity"]
            assert moves[:4] == [
                ("warning", "major"),
                ("major", "warning"),
                ("warning", "major"),
                ("major", "critical"),
            ]
