"""Values that do not move, as timed scripts."""

from __future__ import annotations

from pathlib import Path

import pytest

from alerts.rules.model import AnyRule, StuckRule
from core.errors import ConfigurationError
from tests.alerts.timeline import Timeline
from tests.alerts.world import make_device, make_registry, rules

STUCK = """
[[rules]]
id = "stuck"
name = "数值不变"
name_en = "Stuck"
kind = "stuck"
severity = "warning"
scope = { device_kind = "dust" }
metric = "pm10"
after = "20 s"
minimum_readings = 5
"""


@pytest.fixture
def stuck(tmp_path: Path) -> tuple[AnyRule, ...]:
    return rules(tmp_path, STUCK)


def line_of(stuck: tuple[AnyRule, ...]) -> Timeline:
    return Timeline(stuck, make_registry([make_device(1), make_device(2)]))


def test_raised_when_it_has_not_moved_for_long_and_cleared_by_the_first_other_value(stuck: tuple[AnyRule, ...]) -> None:
    line = line_of(stuck)
    for second in range(30):
        line.push(at=second, device=1, pm10=88.0)
        line.push(at=second, device=2, pm10=88.0 + second % 2)
    line.push(at=30, device=1, pm10=88.5)
    line.want(20, "raise", "stuck", device=1)
    line.want(30, "clear", "stuck", device=1)
    line.run(until=40)


def test_few_readings_repeated_ones_and_bad_ones_make_no_run(stuck: tuple[AnyRule, ...]) -> None:
    line = line_of(stuck)
    for second in (0, 15, 30, 45):
        line.push(at=second, device=1, pm10=88.0)
    for moment in range(46, 90):
        line.push(at=moment, time=45, device=1, pm10=88.0)
    line.run(until=95)


def test_a_run_goes_on_over_a_restart(stuck: tuple[AnyRule, ...]) -> None:
    line = line_of(stuck)
    for second in range(10):
        line.push(at=second, device=1, pm10=88.0)
    line.run(until=10)
    again = line_of(stuck)
    again.engine.load(line.engine.dump())
    for second in range(10, 30):
        again.push(at=second, device=1, pm10=88.0)
    again.want(20, "raise", "stuck", device=1)
    again.run(until=35)


def test_a_rule_on_a_metric_that_the_kind_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no metric 'load'"):
        rules(tmp_path, STUCK.replace('"pm10"', '"load"'))
    (rule,) = rules(tmp_path, STUCK)
    assert isinstance(rule, StuckRule)
    assert rule.definition()["after_s"] == 20
