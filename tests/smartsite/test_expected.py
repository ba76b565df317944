from __future__ import annotations

from datetime import timedelta

import pytest

from alerts.rules import Scope, ThresholdRule
from sensors.profiles import load_profiles
from smartsite.demo.expected import Reading, expected
from smartsite.demo.latency import percentile, summary

SECOND = 1_000_000


def rule(**fields: object) -> ThresholdRule:
    return ThresholdRule.model_validate(
        {
            "id": "pm10",
            "name": "PM10",
            "name_en": "PM10",
            "kind": "threshold",
            "severity": "major",
            "scope": Scope(device_kind="dust"),
            "metric": "pm10",
            "unit": "µg/m³",
            "raise_above": 300,
            "clear_below": 250,
            "clear_after": timedelta(seconds=3),
            **fields,
        }
    )


def readings(*values: float | None, device: str = "a/d1", start: int = 0) -> list[Reading]:
    return [
        Reading(
            device=device,
            kind="dust",
            time=(start + second) * SECOND,
            values={} if value is None else {"pm10": value},
            published=float(start + second),
            acknowledged=None,
        )
        for second, value in enumerate(values)
    ]


def begun(
    given: list[Reading], *, open_before: frozenset[tuple[str, str]] = frozenset(), **fields: object
) -> list[int]:
    found = expected([rule(**fields)], given, profiles=load_profiles(), open_before=open_before)
    return [violation.reading.time // SECOND for violation in found]


def test_begins_strictly_above_the_raise_level() -> None:
    assert begun(readings(300, 300.5, 400)) == [1]


def test_relief_must_last() -> None:
    # Calm from 2 to 4 is too short, the value between the levels at 5 starts it anew; 6 to 9 is long enough.
    assert begun(readings(100, 400, 200, 200, 200, 260, 200, 200, 200, 200, 400)) == [1, 10]
    assert begun(readings(100, 400, 200, 200, 200, 260, 200, 200, 200, 400)) == [1]


def test_no_relief_needed_without_clear_after() -> None:
    assert begun(readings(400, 250, 400), clear_after=timedelta(0)) == [0, 2]


def test_reading_that_is_not_newer_changes_nothing() -> None:
    late = readings(400, start=2)
    assert begun([*readings(100, 100, 100, 100), *late]) == []


def test_implausible_and_missing_values_do_not_count() -> None:
    assert begun(readings(None, 1e9, -5)) == []


def test_violation_open_before_the_run_does_not_begin_again() -> None:
    assert begun(readings(400, 400), open_before=frozenset({("pm10", "a/d1")})) == []
    assert begun(readings(400, 400), open_before=frozenset({("pm10", "a/d2")})) == [0]


def test_downward_rule() -> None:
    levels = {
        "raise_above": None,
        "clear_below": None,
        "raise_below": 10,
        "clear_above": 20,
        "clear_after": timedelta(0),
    }
    assert begun(readings(15, 9, 15, 20, 5), **levels) == [1, 4]


def test_scope_leaves_other_sites_alone() -> None:
    scope = Scope(device_kind="dust", sites=("b",))
    assert begun([*readings(400), *readings(400, device="b/d1")], scope=scope) == [0]


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_percentile_is_the_nearest_rank(share: float, value: float) -> None:
    assert percentile([float(number) for number in range(1, 101)], share) == value


def test_summary_is_in_milliseconds() -> None:
    assert summary([0.002, 0.001]) == {"count": 2, "p50": 1.0, "p99": 2.0, "max": 2.0}
    assert summary([]) == {"count": 0, "p50": None, "p99": None, "max": None}
