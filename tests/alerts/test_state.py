"""State rules, as timed scripts. An edge guard is 0 closed, 1 open, 2 fault."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from alerts.engine import Engine
from alerts.model import RuleKind
from alerts.rules import check
from alerts.rules.model import StateRule, from_definition
from core.settings import Settings
from tests.alerts.database import world
from tests.alerts.timeline import Timeline
from tests.alerts.world import PROFILES, at, batch, make_device, make_registry, rules
from tests.support.clock import FakeClock

CLOSED, OPEN, FAULT = 0, 1, 2
STATE = """
[[rules]]
id = "guard"
name = "临边防护缺失"
name_en = "Edge guard missing"
kind = "state"
severity = "major"
scope = { device_kind = "edge_guard" }
metric = "state"
raise_on = ["open"]
clear_on = ["closed"]
"""


def _line(folder: Path, text: str = STATE) -> Timeline:
    return Timeline(rules(folder, text), make_registry([make_device(1, kind="edge_guard")]))


def _push(line: Timeline, *states: int, letter: str = "N") -> None:
    for second, state in enumerate(states):
        line.push(at=second, kind="edge_guard", letter=letter, state=state)


def test_raises_on_its_symbols_and_clears_on_the_others(tmp_path: Path) -> None:
    line = _line(tmp_path)
    _push(line, CLOSED, OPEN, OPEN, FAULT, CLOSED, CLOSED)
    line.want(1, "raise", "guard", started_at=1, quality={"state": "open"}, first=None, worst=None)
    line.want(4, "clear", "guard", started_at=1, ended_at=4, last=None)
    line.run(until=8)
    assert line.engine.progress() == []


def test_without_clear_on_every_other_symbol_relieves(tmp_path: Path) -> None:
    line = _line(tmp_path, STATE.replace('clear_on = ["closed"]\n', "").replace('["open"]', '["open", "fault"]'))
    _push(line, FAULT, OPEN, CLOSED, OPEN)
    line.want(0, "raise", "guard", quality={"state": "fault"})
    line.want(2, "clear", "guard")
    line.want(3, "raise", "guard", quality={"state": "open"})
    line.run(until=8)


def test_duration_and_clear_after_run_in_event_time(tmp_path: Path) -> None:
    line = _line(tmp_path, STATE + 'duration = "3 s"\nclear_after = "2 s"\n')
    _push(line, OPEN, OPEN, FAULT, OPEN, OPEN, OPEN, OPEN, CLOSED, OPEN, CLOSED, CLOSED, CLOSED)
    line.want(6, "raise", "guard", started_at=3)
    line.want(11, "clear", "guard", ended_at=9)
    line.run(until=14)


@pytest.mark.parametrize("value", [-1, 3, 99, float("nan")])
def test_a_number_without_a_symbol_changes_nothing(tmp_path: Path, value: float) -> None:
    line = _line(tmp_path)
    _push(line, OPEN)
    line.push(at=1, kind="edge_guard", state=value)
    line.want(0, "raise", "guard")
    line.run(until=4)


def test_only_normal_quality_counts(tmp_path: Path) -> None:
    line = _line(tmp_path)
    _push(line, OPEN, OPEN, letter="D")
    line.run(until=4)


def test_without_the_profile_of_the_kind_nothing_is_judged(tmp_path: Path) -> None:
    engine = Engine(rules(tmp_path, STATE), make_registry([make_device(1, kind="edge_guard")]), {})
    assert engine.feed(batch([(1, 0, {"state": OPEN})], arrived=0, kind="edge_guard")) == []


def test_officers_are_told_what_to_do_about_every_kind_of_rule() -> None:
    words = tomllib.loads((resources.files("alerts") / "templates" / "words.toml").read_text(encoding="utf-8"))
    assert set(words["action"]["kind"]) == set(get_args(RuleKind))


async def test_an_alert_of_a_state_has_no_values(settings: Settings, tmp_path: Path) -> None:
    async with world(settings, FakeClock(), tmp_path, STATE) as site:
        await site.connection.execute(
            "INSERT INTO device (site_id, code, kind, name, interval_s) VALUES (1, 'guard', 'edge_guard', '临边', 1)"
        )
        async with site.engine():
            await site.publish(batch([(4, 0, {"state": OPEN})], arrived=0, kind="edge_guard"))
            (alert,) = await site.until(1)
            assert (alert["rule_kind"], alert["metric"], alert["unit"]) == ("state", "state", "")
            assert (alert["first_value"], alert["max_value"], alert["limit_value"]) == (None, None, None)
            assert alert["quality"] == {"state": "open"}
            await site.publish(batch([(4, 1, {"state": CLOSED})], arrived=1, kind="edge_guard"))
            await site.until(1, "cleared_at IS NOT NULL")


def test_a_definition_comes_back(tmp_path: Path) -> None:
    (rule,) = rules(tmp_path, STATE + 'duration = "3 s"\n')
    assert isinstance(rule, StateRule)
    assert from_definition(rule.definition()) == rule


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        ('metric = "state"', 'metric = "tilt"', 9, "tilt is not an enumeration"),
        (
            'raise_on = ["open"]',
            'raise_on = ["opened"]',
            10,
            "state has no symbol 'opened'; it has closed, open, fault",
        ),
        ('clear_on = ["closed"]', 'clear_on = ["shut"]', 11, "state has no symbol 'shut'"),
        ('clear_on = ["closed"]', 'clear_on = ["open"]', 2, "open is both in raise_on and in clear_on"),
        ('raise_on = ["open"]\nclear_on = ["closed"]', 'raise_on = ["open", "closed", "fault"]', 10, "would never end"),
        ('raise_on = ["open"]', "raise_on = []", 10, "raise_on: Tuple should have at least 1 item"),
    ],
)
def test_a_fault_is_told_with_its_place(tmp_path: Path, old: str, new: str, line: int, reason: str) -> None:
    assert old in STATE
    path = tmp_path / "rules.toml"
    path.write_text(STATE.replace(old, new), encoding="utf-8")
    match = [problem for problem in check([path], PROFILES) if reason in problem.reason]
    assert match, check([path], PROFILES)
    assert match[0].line == line


@budget(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3)), min_size=1, max_size=40), st.integers(0, 40))
def test_agrees_with_the_obvious_loop_over_any_cut_and_restart(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int]], cut: int
) -> None:
    found = rules(tmp_path_factory.mktemp("state"), STATE)
    registry = make_registry([make_device(1, kind="edge_guard")])
    engine, told = Engine(found, registry, PROFILES), []
    for part in (rows[: cut % (len(rows) + 1)], rows[cut % (len(rows) + 1) :]):
        if part:
            states = [(1, float(second), {"state": float(state)}) for second, state in part]
            told += engine.feed(batch(states, arrived=0, kind="edge_guard"))
        fresh = Engine(found, registry, PROFILES)
        fresh.load(engine.dump())
        engine = fresh
    newest, since, expected = -1, None, []
    for second, state in rows:
        if second <= newest:
            continue
        newest = second
        if since is None and state == OPEN:
            since = second
            expected.append(("raise", at(since), None))
        elif since is not None and state == CLOSED:
            expected.append(("clear", at(since), at(second)))
            since = None
    assert [(item.phase, item.started_at, item.ended_at) for item in told] == expected
