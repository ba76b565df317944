"""Hours and exemptions: both edges, midnight, weekdays, the clock's jumps, permits; field.md's pain of schedules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from alerts.engine import Engine, Transition
from alerts.engine.calendar import ACTIVE, BY_STAGE, INACTIVE, Calendar, Cover
from alerts.exemption import exemption
from alerts.rules import check
from alerts.rules.schedule import DAYS, Hours, stretches
from core.clock import from_micros, micros
from sensors.registry import Permit, Registry, SiteStage
from tests.alerts.test_offline import OFFLINE
from tests.alerts.test_sightings import HELMET
from tests.alerts.test_windows import MEAN
from tests.alerts.world import (
    ORIGIN,
    PM10,
    PROFILES,
    batch,
    episode,
    make_camera,
    make_device,
    make_registry,
    rules,
)

SHANGHAI, BERLIN, NEW_YORK = (ZoneInfo(name) for name in ("Asia/Shanghai", "Europe/Berlin", "America/New_York"))
NIGHT = 'schedule = [{ from = "22:00", to = "06:00" }]\n'


def hours(text: str, *days: str) -> Hours:
    start, _, end = text.partition("-")
    return Hours.model_validate({"from": start, "to": end, **({"days": list(days)} if days else {})})


def wall(zone: ZoneInfo, *parts: int) -> int:
    return micros(datetime(*parts, tzinfo=zone))  # type: ignore[misc, arg-type]


def codes(calendar: Calendar, *moments: int) -> list[int]:
    return [int(code) for code in calendar.find(np.array(moments)).code]


def test_both_edges_are_decided() -> None:
    """Pain 16 (thingsboard#15188): `from` counts, `to` does not, to the microsecond, also at midnight."""
    calendar = Calendar([hours("08:00-12:00"), hours("13:00-24:00")], SHANGHAI)
    start, end = wall(SHANGHAI, 2026, 8, 3, 8), wall(SHANGHAI, 2026, 8, 3, 12)
    assert codes(calendar, start - 1, start, end - 1, end) == [INACTIVE, ACTIVE, ACTIVE, INACTIVE]
    midnight = wall(SHANGHAI, 2026, 8, 4, 0)
    assert codes(calendar, midnight - 1, midnight) == [ACTIVE, INACTIVE]


def test_a_night_belongs_to_the_weekday_on_which_it_begins() -> None:
    """Pain 16 (thingsboard#15189, #7225): several windows a weekday, across midnight, in the site's time zone."""
    calendar = Calendar([hours("22:00-06:00", "fri"), hours("12:00-14:00", "mon-fri")], SHANGHAI)
    friday = datetime(2026, 8, 7, tzinfo=SHANGHAI)

    def at(text: str, days: int = 0) -> int:
        return micros(friday + timedelta(days=days, hours=int(text[:2]), minutes=int(text[3:])))

    assert codes(calendar, at("21:59"), at("22:00"), at("00:00", 1), at("05:59", 1), at("06:00", 1)) == [
        INACTIVE,
        ACTIVE,
        ACTIVE,
        ACTIVE,
        INACTIVE,
    ]
    assert codes(calendar, at("00:30"), at("22:30", 1), at("13:00"), at("13:00", 1)) == [
        INACTIVE,
        INACTIVE,
        ACTIVE,
        INACTIVE,
    ]
    # One stretch has one segment over midnight: a violation is not cut there.
    found = calendar.find(np.array([at("23:00"), at("01:00", 1)]))
    assert found.start[0] == found.start[1] == at("22:00")
    assert found.end[0] == found.end[1] == at("06:00", 1)


@pytest.mark.parametrize(
    ("zone", "day", "text", "start", "end"),
    [
        # Berlin, 29 March 2026: 02:00 becomes 03:00. New York, 1 November 2026: 02:00 becomes 01:00.
        (BERLIN, (2026, 3, 29), "02:30-04:00", (2026, 3, 29, 1, 0), (2026, 3, 29, 2, 0)),
        (BERLIN, (2026, 3, 29), "01:00-02:30", (2026, 3, 29, 0, 0), (2026, 3, 29, 1, 0)),
        (BERLIN, (2026, 3, 28), "22:00-06:00", (2026, 3, 28, 21, 0), (2026, 3, 29, 4, 0)),
        (NEW_YORK, (2026, 11, 1), "01:30-03:00", (2026, 11, 1, 5, 30), (2026, 11, 1, 8, 0)),
        (NEW_YORK, (2026, 11, 1), "00:00-01:30", (2026, 11, 1, 4, 0), (2026, 11, 1, 6, 30)),
        # The hour from 01:00 is the one that is shown twice: nothing of it lies before 01:00.
        (NEW_YORK, (2026, 11, 1), "00:00-01:00", (2026, 11, 1, 4, 0), (2026, 11, 1, 5, 0)),
    ],
)
def test_hours_at_the_jumps_of_the_clock(
    zone: ZoneInfo, day: tuple[int, ...], text: str, start: tuple[int, ...], end: tuple[int, ...]
) -> None:
    name = DAYS[datetime(*day).weekday()]  # type: ignore[misc, arg-type]  # noqa: DTZ001
    first, last = (micros(datetime(*parts, tzinfo=UTC)) for parts in (start, end))  # type: ignore[misc, arg-type]
    found = Calendar([hours(text, name)], zone).find(np.array([first - 1, first, last - 1, last]))
    assert found.code.tolist() == [INACTIVE, ACTIVE, ACTIVE, INACTIVE]
    assert (found.start[1], found.end[1]) == (first, last)


def test_hours_that_the_clock_skips_wholly_do_not_exist() -> None:
    calendar = Calendar([hours("02:10-02:50", "sun")], BERLIN)
    begin = wall(BERLIN, 2026, 3, 29, 0)
    assert set(codes(calendar, *range(begin, begin + 86_400_000_000, 60_000_000))) == {INACTIVE}


def test_days_have_no_gap_and_no_overlap_where_midnight_comes_twice() -> None:
    """Havana, 1 November 2026: 01:00 becomes 00:00, and the day has 25 hours."""
    begin, end = micros(datetime(2026, 11, 1, 4, tzinfo=UTC)), micros(datetime(2026, 11, 2, 5, tzinfo=UTC))
    found = Calendar([], ZoneInfo("America/Havana"), daily=True).find(np.array([begin - 1, begin, end - 1, end]))
    assert found.end[:3].tolist() == [begin, end, end]
    assert found.start[1:].tolist() == [begin, begin, end]


clock_times = st.integers(0, 24 * 4 - 1).map(lambda quarter: f"{quarter // 4:02d}:{quarter % 4 * 15:02d}")


@st.composite
def schedules(draw: st.DrawFn) -> list[Hours]:
    found: list[Hours] = []
    for _ in range(draw(st.integers(1, 4))):
        start, end = draw(clock_times), draw(clock_times)
        if start == end:
            continue
        candidate = hours(f"{start}-{end}", *draw(st.sets(st.sampled_from(DAYS), min_size=1)))
        try:
            stretches([*found, candidate])
        except ValueError:
            continue
        found.append(candidate)
    return found or [hours("22:00-06:00")]


@settings(max_examples=60, deadline=None)
@example([hours("00:00-02:00", "sun")], "Europe/Berlin", (2026, 10, 24))
@given(
    schedules(),
    st.sampled_from(["Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
    st.sampled_from([(2026, 3, 28), (2026, 10, 24), (2026, 10, 31), (2026, 4, 4), (2026, 10, 3), (2026, 7, 15)]),
)
def test_segments_agree_with_a_clock_on_the_wall(found: list[Hours], name: str, day: tuple[int, int, int]) -> None:
    """The reference looks at the wall every five minutes of two days, around the clock's jumps too."""
    zone = ZoneInfo(name)
    begin = datetime(*day, tzinfo=UTC) - timedelta(hours=14)
    moments = [begin + timedelta(minutes=5 * step) for step in range(12 * 62)]
    shown = [moment.astimezone(zone).replace(tzinfo=None) for moment in moments]
    expected = np.zeros(len(moments), dtype=bool)
    for offset in range(-2, 5):
        midnight = datetime(*day) + timedelta(days=offset)  # noqa: DTZ001
        for part in found:
            if DAYS[midnight.weekday()] in part.days:
                start, end = (midnight + timedelta(minutes=minute) for minute in (part.first, part.last))
                begun = np.flatnonzero([clock >= start for clock in shown])
                ahead = np.flatnonzero([clock < end for clock in shown])
                if len(begun) and len(ahead):
                    expected[begun[0] : ahead[-1] + 1] = True
    got = Calendar(found, zone).find(np.array([micros(moment) for moment in moments])).code == ACTIVE
    assert got.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([("22:00-06:00", "fri"), ("05:00-07:00", "sat")], "overlap"),
        ([("08:00-12:00", "mon"), ("11:59-13:00", "mon")], "overlap"),
        ([("08:00-12:00", "mon"), ("08:00-12:00", "mon")], "overlap"),
        ([("22:00-06:00", "sun"), ("05:00-07:00", "mon")], "overlap"),
    ],
)
def test_hours_that_overlap_are_refused(texts: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stretches([hours(text, day) for text, day in texts])
    assert stretches([hours("00:00-24:00")]) == [(0, 7 * 1440)]
    assert stretches([hours("22:00-06:00", "sun"), hours("06:00-07:00", "mon")]) == [(6 * 1440 + 1320, 7 * 1440 + 420)]
    with pytest.raises(ValidationError, match="a whole day is 00:00 to 24:00"):
        hours("08:00-08:00")


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (PM10 + 'schedule = [{ days = ["mon"], from = "22:00", to = "06:00" }, { from = "05:00", to = "07:00" }]\n', 2,
         "overlap: one moment lies in both"),
        (PM10 + 'schedule = [{ from = "24:30", to = "06:00" }]\n', 14, "schedule.0.from: String should match"),
        (PM10 + 'schedule = [{ days = ["monday"], from = "08:00", to = "09:00" }]\n', 14, "schedule.0.days.0"),
        (MEAN.replace('"10 s"', '"2 h"') + 'schedule = [{ from = "08:00", to = "09:00" }]\n', 2,
         "no window lies wholly within"),
    ],
)  # fmt: skip
def test_a_schedule_that_cannot_be_is_refused(tmp_path: Path, text: str, line: int, reason: str) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(text, encoding="utf-8")
    problems = check([path], PROFILES)
    assert any(reason in item.reason and item.line == line for item in problems), problems


def _registry(
    *, permits: Sequence[Permit] = (), stages: Sequence[tuple[str, datetime | None]] = (("", None),)
) -> Registry:
    registry = make_registry([make_device(1, interval=600)], [make_camera(1)])
    gone_through = tuple(SiteStage(site_id=1, stage=stage, since=since) for stage, since in stages)
    return replace(registry, permits=tuple(permits), stages={1: gone_through})


def _permit(number: int, start: datetime, end: datetime, kind: str = "night_work") -> Permit:
    return Permit(
        id=number, site_id=1, kind=kind, reference=f"no. {number}", starts_at=start, ends_at=end, source="bureau"
    )


# The script's second 0 in Shanghai, and its midnight.
BEGIN = from_micros(ORIGIN).astimezone(SHANGHAI)
MIDNIGHT = BEGIN.replace(hour=0, minute=0, second=0)


def _second(days: int, text: str) -> float:
    return (MIDNIGHT + timedelta(days=days, hours=int(text[:2]), minutes=int(text[3:])) - BEGIN).total_seconds()


def _feed(engine: Engine, *readings: tuple[float, float]) -> list[tuple[str, float, float | None, int, str]]:
    told: list[Transition] = []
    for second, value in readings:
        told += engine.feed(batch([(1, second, {"pm10": value})], arrived=second))
    return [_short(item) for item in told]


def _short(item: Transition) -> tuple[str, float, float | None, int, str]:
    ended = None if item.ended_at is None else (item.ended_at - ORIGIN) / 1e6
    return item.phase, (item.started_at - ORIGIN) / 1e6, ended, item.exempt, item.reason


def test_a_violation_ends_with_the_hours_of_its_rule(tmp_path: Path) -> None:
    engine = Engine(rules(tmp_path, PM10 + NIGHT), _registry(), PROFILES)
    raised, end, again = _second(1, "23:00"), _second(2, "06:00"), _second(2, "22:00")
    assert _feed(engine, (_second(1, "21:50"), 300)) == []
    assert _feed(engine, (raised, 300)) == [("raise", raised, None, ACTIVE, "")]
    # By day the value is as high, and the rule does not count.
    assert _feed(engine, (end, 300)) == [("clear", raised, end, ACTIVE, "schedule")]
    assert _feed(engine, (_second(2, "12:00"), 300)) == []
    assert _feed(engine, (again, 300)) == [("raise", again, None, ACTIVE, "")]
    # A device silent over a day: the old violation ended with its night.
    later = _second(4, "23:00")
    assert _feed(engine, (later, 300)) == [
        ("clear", again, _second(3, "06:00"), ACTIVE, "schedule"),
        ("raise", later, None, ACTIVE, ""),
    ]


def test_a_permit_exempts_by_event_time_and_is_named(tmp_path: Path) -> None:
    permit = _permit(7, MIDNIGHT + timedelta(days=1, hours=23), MIDNIGHT + timedelta(days=2, hours=3))
    other = _permit(8, MIDNIGHT, MIDNIGHT + timedelta(days=9), kind="sandstorm")
    text = PM10 + NIGHT + 'exempt_during = { permits = ["night_work"] }\n'
    engine = Engine(rules(tmp_path, text), _registry(permits=[permit, other]), PROFILES)
    first, start, end = _second(1, "22:10"), _second(1, "23:00"), _second(2, "03:00")
    assert _feed(engine, (first, 300), (start, 300), (end, 300)) == [
        ("raise", first, None, ACTIVE, ""),
        ("clear", first, start, ACTIVE, "schedule"),
        ("raise", start, None, 7, ""),
        ("clear", start, end, 7, "schedule"),
        ("raise", end, None, ACTIVE, ""),
    ]


def test_a_permit_that_comes_or_goes_while_a_violation_stands(tmp_path: Path) -> None:
    text = PM10 + 'exempt_during = { permits = ["night_work"] }\n'
    found = rules(tmp_path, text)
    permit = _permit(7, MIDNIGHT, MIDNIGHT + timedelta(days=3))

    def follow(engine: Engine, registry: Registry) -> Engine:
        fresh = Engine(found, registry, PROFILES)
        fresh.load(engine.dump())
        return fresh

    engine = Engine(found, _registry(), PROFILES)
    assert _feed(engine, (0, 300)) == [("raise", 0, None, ACTIVE, "")]
    engine = follow(engine, _registry(permits=[permit]))
    assert _feed(engine, (600, 300)) == [("clear", 0, 600, ACTIVE, "schedule"), ("raise", 600, None, 7, "")]
    engine = follow(engine, _registry())  # withdrawn
    assert _feed(engine, (1200, 300)) == [("clear", 600, 1200, 7, "schedule"), ("raise", 1200, None, ACTIVE, "")]


def test_a_stage_exempts_by_event_time(tmp_path: Path) -> None:
    found = rules(tmp_path, PM10 + 'exempt_during = { stages = ["fit_out", "finishing"] }\n')
    begin, end = _second(1, "08:00"), _second(3, "08:00")
    registry = _registry(
        stages=[
            ("earthwork", None),
            ("fit_out", BEGIN + timedelta(seconds=begin)),
            ("finishing", MIDNIGHT + timedelta(days=2)),
            ("landscaping", BEGIN + timedelta(seconds=end)),
        ]
    )
    assert _feed(Engine(found, registry, PROFILES), (begin - 1, 300), (begin, 300), (end - 1, 300), (end, 300)) == [
        ("raise", begin - 1, None, ACTIVE, ""),
        ("clear", begin - 1, begin, ACTIVE, "schedule"),
        ("raise", begin, None, BY_STAGE, ""),
        ("clear", begin, end, BY_STAGE, "schedule"),
        ("raise", end, None, ACTIVE, ""),
    ]
    named = [exemption(BY_STAGE, 1, ORIGIN + round(second * 1e6), registry) for second in (begin, end - 1)]
    assert named == [{"stage": "fit_out"}, {"stage": "finishing"}]
    always = _registry(stages=[("fit_out", None)])
    assert _feed(Engine(found, always, PROFILES), (0, 300)) == [("raise", 0, None, BY_STAGE, "")]
    assert _feed(Engine(found, _registry(), PROFILES), (0, 300)) == [("raise", 0, None, ACTIVE, "")]


def test_a_permit_within_an_exempting_stage_is_named(tmp_path: Path) -> None:
    found = rules(tmp_path, PM10 + 'exempt_during = { permits = ["night_work"], stages = ["fit_out"] }\n')
    permit = _permit(7, BEGIN + timedelta(hours=1), BEGIN + timedelta(hours=2))
    registry = _registry(permits=[permit], stages=[("fit_out", None)])
    told = _feed(Engine(found, registry, PROFILES), (0, 300), (3600, 300), (7200, 300))
    assert [code for phase, _, _, code, _ in told if phase == "raise"] == [BY_STAGE, 7, BY_STAGE]


def test_windows_count_that_lie_wholly_within_the_hours(tmp_path: Path) -> None:
    text = MEAN.replace('"10 s"', '"1 h"').replace('"5 s"', '"0 s"') + 'schedule = [{ from = "22:00", to = "05:30" }]\n'
    engine = Engine(rules(tmp_path, text), _registry(), PROFILES)
    start, end = _second(1, "20:00"), _second(2, "08:00")
    told = _feed(engine, *((start + 600 * step, 300.0) for step in range(int((end - start) / 600))))
    assert told == [
        ("raise", _second(1, "22:00"), None, ACTIVE, ""),
        ("clear", _second(1, "22:00"), _second(2, "05:30"), ACTIVE, "schedule"),
    ]


def test_a_device_is_missed_in_its_hours_only(tmp_path: Path) -> None:
    text = OFFLINE + 'schedule = [{ from = "07:00", to = "19:00" }]\n'
    engine = Engine(rules(tmp_path, text), _registry(), PROFILES)
    after = 3 * 600_000_000  # three readings of a device that reports every ten minutes

    def tick(days: int, text: str, *, plus: int = 0) -> list[tuple[str, float, float | None, int, str]]:
        moment = ORIGIN + round(_second(days, text) * 1e6) + plus
        return [_short(item) for item in engine.tick(moment, listening_since=ORIGIN - 10**15)]

    heard = _second(1, "18:59")
    _feed(engine, (heard, 1))
    assert tick(2, "06:59") == []
    assert tick(2, "07:00") == []
    (raised,) = tick(2, "07:00", plus=after + 1)
    assert raised[:2] == ("raise", heard)
    (cleared,) = tick(2, "19:00")
    assert cleared == ("clear", heard, _second(2, "19:00"), ACTIVE, "schedule")
    assert tick(2, "20:00") == []


def test_episodes_outside_the_hours_raise_nothing(tmp_path: Path) -> None:
    permit = _permit(3, MIDNIGHT + timedelta(days=1, hours=10), MIDNIGHT + timedelta(days=1, hours=11), "drill")
    text = HELMET + 'schedule = [{ from = "07:00", to = "19:00" }]\nexempt_during = { permits = ["drill"] }\n'
    engine = Engine(rules(tmp_path, text), _registry(permits=[permit]), PROFILES)

    def see(number: int, text: str) -> list[tuple[str, int]]:
        second = _second(1, text)
        told = engine.feed_episode(episode(number, "started", started=second, seen=second))
        return [(item.phase, item.exempt) for item in told]

    assert see(1, "06:59") == []
    assert see(2, "09:00") == [("raise", 0)]
    assert see(3, "09:01") == [("join", 0)]
    assert see(4, "10:00") == [("clear", 0), ("raise", 3)]
    assert see(5, "19:00") == []


def test_permits_of_years_do_not_gather_in_memory() -> None:
    calendar = Calendar([hours("22:00-06:00")], SHANGHAI, covers=[Cover(0, 1, 1)])
    moments = np.arange(0, 50 * 365, 30, dtype=np.int64) * 86_400_000_000
    assert len(calendar.find(moments).code) == len(moments)
    assert len(calendar._chunks) <= 32
