"""Rules tried on history: the alerts are those of the engine in service, and the words say what happened."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alerts.engine import Engine
from alerts.replay import read_csv, replay
from alerts.replay.plot import page
from alerts.replay.words import explain, why
from alerts.rules import builtin_packs, load
from core.clock import micros
from core.errors import InvalidInput
from smartsite.cli import main
from tests.alerts.test_offline import OFFLINE
from tests.alerts.test_windows import MEAN
from tests.alerts.world import PM10, PROFILES, batch, make_device, make_registry, rules

BEGIN = datetime(2026, 8, 1, 8, tzinfo=UTC)
HEAD = "site,site_name,device,device_name,time,flags,pm10,pm10_q,laeq,laeq_q"


def _csv(values: list[tuple[float, float | None, str]], *, device: str = "dust-1") -> list[str]:
    """Lines of (second, pm10, quality)."""
    rows = [
        f"east,东,{device},站,{(BEGIN + timedelta(seconds=second)):%Y-%m-%d %H:%M:%S.%f}+00,0,"
        f"{'' if value is None else value},{letter},60,"
        for second, value, letter in values
    ]
    return [HEAD, *rows]


def _history(values: list[tuple[float, float | None, str]]):
    return read_csv(_csv(values), PROFILES["dust"], name="dust.csv")


VALUES = [(float(second), 200.0 if 20 <= second < 40 else 100.0, "") for second in range(80)]


def test_the_alerts_are_those_of_the_engine(tmp_path: Path) -> None:
    found = rules(tmp_path, PM10 + MEAN)
    episodes = replay(found, _history(list(reversed(VALUES))), PROFILES)
    engine = Engine(found, make_registry([make_device(1)]), PROFILES)
    told = engine.feed(*(batch([(1, second, {"pm10": value or 0})], arrived=second) for second, value, _ in VALUES))
    raised = [(item.rule.id, item.started_at) for item in told if item.phase == "raise"]
    assert sorted((one.rule.id, one.started) for one in episodes) == sorted(raised)
    threshold = next(one for one in episodes if one.rule.id == "pm10")
    assert (threshold.started, threshold.ended) == tuple(micros(BEGIN + timedelta(seconds=at)) for at in (20, 40))
    assert (threshold.first, threshold.worst, threshold.severities[0][1]) == (200, 200, "major")


def test_quality_and_silence_count(tmp_path: Path) -> None:
    values: list[tuple[float, float | None, str]] = [(float(at), 900.0, "D") for at in range(60)]
    values += [(float(at), None, "") for at in range(60, 70)]
    values += [(200.0, 10.0, "")]
    episodes = replay(rules(tmp_path, PM10 + OFFLINE), _history(values), PROFILES)
    assert [one.rule.id for one in episodes] == ["offline"]
    assert episodes[0].started == micros(BEGIN + timedelta(seconds=69))
    assert episodes[0].ended is not None


def test_a_silent_device_beside_one_that_speaks(tmp_path: Path) -> None:
    speaks: list[tuple[float, float | None, str]] = [(float(at), 10.0, "") for at in range(4000)]
    silent = [value for value in speaks if not 100 <= value[0] < 200]
    lines = [*_csv(speaks), *_csv(silent, device="dust-2")[1:]]
    episodes = replay(rules(tmp_path, OFFLINE), read_csv(lines, PROFILES["dust"], name="x"), PROFILES)
    (found,) = episodes
    assert found.device == 2
    assert found.started == micros(BEGIN + timedelta(seconds=99))


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["a,b"], "dust.csv:1: column site is missing"),
        ([], "dust.csv:1: column site is missing"),
        (["site,device,time,x"], "no column is a channel of dust"),
        ([HEAD, "east,东,d,站,yesterday,0,1,,1,"], "dust.csv:2: cannot be read: Invalid isoformat string"),
        ([HEAD, "east,东,d,站,2026-08-01 08:00:00,0,1,,1,"], "dust.csv:2: cannot be read: .* has no offset"),
        ([HEAD, "east,东,d,站,2026-08-01 08:00:00+00,0,much,,1,"], "dust.csv:2: cannot be read"),
        ([HEAD, "east"], "dust.csv:2: cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(lines: list[str], reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        read_csv(lines, PROFILES["dust"], name="dust.csv")


def test_a_page_of_curves(tmp_path: Path) -> None:
    history = _history(VALUES)
    text = page(history, replay(rules(tmp_path, PM10), history, PROFILES), "<rules>")
    assert "&lt;rules&gt;" in text
    assert text.count("<polyline") == 1
    assert "<title>pm10</title>" in text
    assert "<p>No alert.</p>" in page(history, [], "none")


def test_every_rule_of_the_packs_is_told_in_both_languages() -> None:
    for rule in load(builtin_packs(), PROFILES):
        for language, name in (("zh", rule.name), ("en", rule.name_en)):
            text = explain(rule, language)  # type: ignore[arg-type]
            assert text.startswith(f"{rule.id}: {name}")
            assert rule.source in text


@pytest.mark.parametrize(
    ("at", "language", "lines"),
    [
        (30, "en", ["stood raised then, since 2026-08-01 16:00:20, worst 200", "beyond the limit 150"]),
        (60, "en", ["was not raised then", "the last one ended at 2026-08-01 16:00:40", "not beyond the limit 150"]),
        (60, "zh", ["当时未告警", "上次告警结束于 2026-08-01 16:00:40", "未超过限值 150"]),
        (-5, "en", ["no reading of the device before that"]),
    ],
)
def test_why_it_fired_or_not(tmp_path: Path, at: float, language: str, lines: list[str]) -> None:
    (rule,) = rules(tmp_path, PM10)
    history = _history(VALUES)
    (device,) = history.devices().devices.values()
    moment = micros(BEGIN + timedelta(seconds=at))
    text = why(rule, history, PROFILES, device, moment, language)  # type: ignore[arg-type]
    for line in lines:
        assert line in text, text


def test_why_tells_hours_and_quality(tmp_path: Path) -> None:
    (rule,) = rules(tmp_path, PM10 + 'schedule = [{ from = "22:00", to = "06:00" }]\n')
    history = _history([(0.0, 300.0, "D")])
    (device,) = history.devices().devices.values()
    text = why(rule, history, PROFILES, device, micros(BEGIN), "en")
    assert "the moment lies outside the rule's hours" in text
    assert "quality D: feeds no rule" in text


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SMARTSITE_CONFIG", "")
    (tmp_path / "rules.toml").write_text(PM10, encoding="utf-8")
    (tmp_path / "dust.csv").write_text("\n".join(_csv(VALUES)), encoding="utf-8")
    assert main(["rules", "test", "rules.toml", "--csv", "dust=dust.csv", "--plot", "out.html"]) == 0
    told = capsys.readouterr().out
    assert "2026-08-01 16:00:20  2026-08-01 16:00:40  east/dust-1  pm10  major  worst 200" in told
    assert "1 alert of 1 rules in 80 readings" in told
    assert "<svg" in (tmp_path / "out.html").read_text(encoding="utf-8")
    asked = ["--csv", "dust=dust.csv", "--device", "east/dust-1", "--at", "2026-08-01T08:00:30Z", "--language", "en"]
    assert main(["rules", "explain", "pm10", "rules.toml", *asked]) == 0
    assert "stood raised then" in capsys.readouterr().out
    for wrong in (["--csv", "sand=dust.csv"], [], ["--csv", "dust=dust.csv", "--rule", "none"]):
        assert main(["rules", "test", "rules.toml", *wrong]) != 0


def test_a_day_of_a_hundred_stations_is_played_in_seconds(tmp_path: Path) -> None:
    lines = [HEAD]
    for device in range(50):
        lines += _csv([(60.0 * minute, 100.0 + minute % 90, "") for minute in range(1440)], device=f"d{device}")[1:]
    found = load(builtin_packs(), PROFILES).enabled
    begun = time.process_time()  # CPU, since the machine has other things to do
    replay(found, read_csv(lines, PROFILES["dust"], name="x"), PROFILES)
    assert time.process_time() - begun < 30
