"""Rule files that become unusable while they are in force: told with file, line and reason, and the old rules go on."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from alerts.rules.files import RuleText
from alerts.rules.model import ThresholdRule
from alerts.rules.watch import RuleWatch
from tests.alerts.world import PM10, PROFILES

NIGHT = 'schedule = [{ from = "22:00", to = "06:00" }]\n'


def rewrite(path: Path, text: str) -> None:
    """Change a file at another time: a system's clock for files may tick once in ten milliseconds."""
    before = path.stat().st_mtime_ns
    path.write_text(text, encoding="utf-8")
    now = path.stat()
    os.utime(path, ns=(now.st_atime_ns, max(now.st_mtime_ns, before + 1_000_000)))


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        ('"pm10"\nunit', '"pm11"\nunit', 9, "has no metric 'pm11'"),
        ("µg/m³", "mg/m³", 10, "is not the channel's"),
        ("clear_below = 120", "clear_below = 180", 2, "lies above raise_above"),
        (NIGHT, 'schedule = [{ from = "22:00", to = "06:00" }, { from = "05:00", to = "07:00" }]\n', 2, "overlap"),
        (NIGHT, 'levels = [{ severity = "critical", raise_above = 100 }]\n', 2, "lies within the level before"),
        (NIGHT, NIGHT + PM10.replace('"pm10"\nname', '"again"\nname') + NIGHT, 20, "says the same as rule pm10"),
        (NIGHT, "schedule = [", 14, "not valid TOML"),
    ],
)
def test_the_old_version_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, old: str, new: str, line: int, reason: str
) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(PM10 + NIGHT, encoding="utf-8")
    watch = RuleWatch([path], PROFILES, [])
    before = watch.current
    text = (PM10 + NIGHT).replace(old, new)
    assert text != PM10 + NIGHT
    rewrite(path, text)
    with caplog.at_level(logging.ERROR):
        assert watch.poll(()) is False
    assert watch.current is before
    (record,) = caplog.records
    told = str(record.__dict__["error"])
    assert f"{path}:{line}" in told, told
    assert reason in told
    rewrite(path, PM10.replace("150", "160") + NIGHT)
    assert watch.poll(()) is True
    assert [rule.raise_level for rule in watch.current] == [160]  # type: ignore[union-attr]


def test_what_people_wrote_stands_in_place_of_the_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(PM10 + NIGHT, encoding="utf-8")
    own = RuleText("pm10 (1)", PM10.replace("150", "130"))
    other = RuleText("other (1)", PM10.replace('id = "pm10"', 'id = "other"').replace("150", "140"))
    night = [rule for rule in RuleWatch([path], PROFILES, []).current if rule.id != "pm10"]

    def levels(watch: RuleWatch) -> dict[str, float]:
        assert [rule for rule in watch.current if rule.id not in ("pm10", "other")] == night
        return {rule.id: rule.raise_level for rule in watch.current if isinstance(rule, ThresholdRule)}

    watch = RuleWatch([path], PROFILES, [], written=(own,))
    before = levels(watch)
    assert before["pm10"] == 130
    assert watch.poll((own,)) is False
    assert watch.poll((own, other)) is True
    assert levels(watch) == {**before, "other": 140}
    assert [rule.id for rule in watch.current] == ["pm10", *(rule.id for rule in night), "other"]
    with caplog.at_level(logging.ERROR):
        assert watch.poll((own, RuleText("other (2)", "kind = 1"))) is False
    assert "other (2)" in str(caplog.records[0].__dict__["error"])
    assert levels(watch)["other"] == 140
    assert watch.poll(()) is True
    assert levels(watch) == {**before, "pm10": 150}
