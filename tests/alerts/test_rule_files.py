"""Rule files: what is taken, and how each fault is told with file, line, rule and reason."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from alerts.rules import ThresholdRule, WindowRule, builtin_packs, check, load
from core.errors import ConfigurationError
from tests.alerts.test_windows import MEAN
from tests.alerts.world import PM10, PROFILES

DEMO = Path(__file__).parents[2] / "smartsite" / "demo" / "rules.toml"


def _write(folder: Path, text: str) -> Path:
    path = folder / "rules.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_packs_and_the_demo_rules_are_sound() -> None:
    packs = load(builtin_packs(), PROFILES)
    assert all(rule.source and rule.confidence for rule in packs)
    assert [rule.id for rule in packs if rule.confidence == "low" and rule.enabled] == []
    assert {rule.kind for rule in load([DEMO], PROFILES, ["sandbox"]).enabled} == {
        "threshold",
        "window",
        "offline",
        "vision",
    }


def test_a_rule_reads_as_written(tmp_path: Path) -> None:
    (rule,) = load([_write(tmp_path, PM10)], PROFILES)
    assert isinstance(rule, ThresholdRule)
    assert (rule.raise_level, rule.clear_level, rule.clear_after) == (150, 120, timedelta(seconds=5))
    assert rule.definition()["clear_after_s"] == 5
    (window,) = load([_write(tmp_path, MEAN.replace("clear_below = 120", 'every = "500 ms"'))], PROFILES)
    assert isinstance(window, WindowRule)
    assert (window.clear_level, window.pane) == (150, timedelta(seconds=0.5))


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        ('"pm10"\nunit', '"pm11"\nunit', 9, "kind dust has no metric 'pm11'; it has pm10,"),
        ('device_kind = "dust"', 'device_kind = "dusty"', 8, "device kind 'dusty' is not known"),
        ('{ device_kind = "dust" }', "{}", 8, "scope.device_kind is missing"),
        ("µg/m³", "mg/m³", 10, "unit 'mg/m³' is not the channel's, which is 'µg/m³'"),
        ("clear_below = 120", "clear_below = 151", 2, "clear_below 151 lies above raise_above 150"),
        ("clear_below", "clear_above", 2, "raise_above goes with clear_below"),
        ("raise_above = 150", "raise_below = 150", 2, "raise_below goes with clear_above"),
        ("raise_above = 150", "", 2, "give exactly one of raise_above and raise_below"),
        ("raise_above = 150", "raise_above = 5000", 11, "never passed: pm10 ends at 5000"),
        ("raise_above = 150", "raise_above = nan", 11, "raise_above: Input should be a finite number"),
        ('"5 s"', "5", 13, 'clear_after: a duration is written with its unit, as "30 s"'),
        ('"5 s"', '"-5 s"', 13, "clear_after: a duration is written with its unit"),
        ('"major"', '"bad"', 7, "severity: Input should be 'info', 'warning', 'major' or 'critical'"),
        ('"threshold"', '"treshold"', 6, "kind: Input tag 'treshold' found using 'kind' does not match"),
        ('"threshold"', '"offline"', 9, "metric: is not a field of this section"),
        ('id = "pm10"', 'id = "PM 10"', 3, "id: String should match pattern"),
        ('id = "pm10"', "", 2, "id: is missing"),
        ("clear_after", "clear_atfer", 13, "clear_atfer: is not a field of this section"),
        ("severity", "targets = [\"nowhere\"]\nseverity", 7, "target 'nowhere' is not configured"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_its_place(tmp_path: Path, old: str, new: str, line: int, reason: str) -> None:
    assert old in PM10
    path = _write(tmp_path, PM10.replace(old, new))
    problems = check([path], PROFILES, ["bureau"])
    match = [problem for problem in problems if reason in problem.reason]
    assert match, problems
    assert (match[0].file, match[0].line) == (str(path), line)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"mean"\nlateness', '"energy_mean"\nlateness', "pm10 is not noise"),
        ('"pm10"\nunit = "µg/m³"', '"laeq"\nunit = "dB(A)"', "laeq is noise: its mean is the energy_mean"),
        ('"pm10"\nunit = "µg/m³"', '"wind_direction"\nunit = "degrees"', "wind_direction is a direction"),
        ('window = "10 s"', 'window = "10 s"\nevery = "3 s"', "every must divide window"),
        ('window = "10 s"', 'window = "0 s"', "greater than"),
        ("lateness", "minimum_valid_share = 0\nlateness", "minimum_valid_share: Input should be greater than 0"),
    ],
)
def test_faults_of_windows(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert old in MEAN
    problems = check([_write(tmp_path, MEAN.replace(old, new))], PROFILES)
    assert any(reason in problem.reason for problem in problems), problems


def test_an_enumeration_has_no_level(tmp_path: Path) -> None:
    text = PM10.replace('"dust"', '"hoist"').replace('"pm10"\nunit = "µg/m³"', '"door"\nunit = ""')
    (problem,) = check([_write(tmp_path, text)], PROFILES)
    assert problem.reason == "door is an enumeration and has no level; a state rule judges its symbols"


def test_every_fault_of_every_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(PM10, encoding="utf-8")
    (tmp_path / "b.toml").write_text(PM10.replace("pm10", "pm12") + PM10, encoding="utf-8")
    (tmp_path / "c.toml").write_text("[[rules]]\nid = \n", encoding="utf-8")
    (tmp_path / "d.toml").write_text("title = 'none'\n", encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load([tmp_path, tmp_path / "none.toml"], PROFILES)
    text = str(caught.value)
    assert f"{tmp_path}/b.toml:9: rule pm12: kind dust has no metric 'pm12'" in text
    assert f"{tmp_path}/b.toml:16: rule pm10: the id is taken by {tmp_path}/a.toml:2" in text
    assert f"{tmp_path}/c.toml:2: not valid TOML" in text
    assert f"{tmp_path}/d.toml: unknown table or key 'title'" in text
    assert f"{tmp_path}/none.toml: No such file or directory" in text


def test_the_same_rule_under_two_ids_is_refused(tmp_path: Path) -> None:
    twin = PM10.replace('id = "pm10"', 'id = "pm10-again"').replace("超限", "又超限")
    (problem,) = check([_write(tmp_path, PM10 + twin)], PROFILES)
    assert problem.reason == "says the same as rule pm10"
    assert problem.rule == "pm10-again"


@pytest.mark.parametrize(
    ("text", "reason"), [("", "the file holds no [[rules]]"), ("rules = 3", "rules are written as [[rules]] tables")]
)
def test_files_without_rules(tmp_path: Path, text: str, reason: str) -> None:
    (problem,) = check([_write(tmp_path, text)], PROFILES)
    assert (problem.reason, problem.line) == (reason, 0)


def test_an_empty_folder_is_a_fault(tmp_path: Path) -> None:
    (problem,) = check([tmp_path], PROFILES)
    assert str(problem) == f"{tmp_path}: the folder holds no .toml file"


def test_digest_moves_with_the_meaning_only(tmp_path: Path) -> None:
    (rule,) = load([_write(tmp_path, PM10)], PROFILES)
    (noted,) = load([_write(tmp_path, PM10 + 'source = "here"\nenabled = false\n')], PROFILES)
    (named,) = load([_write(tmp_path, PM10.replace("超限", "过高"))], PROFILES)
    (moved,) = load([_write(tmp_path, PM10.replace("150", "160"))], PROFILES)
    assert rule.digest() == noted.digest()
    assert rule.digest() != named.digest()
    assert rule.state_digest() == named.state_digest()
    assert rule.state_digest() != moved.state_digest()
