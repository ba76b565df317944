"""Rotas: bounds, midnight, changes of the clock, days that are different."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from alerts import notices
from alerts.notices import duty, links
from alerts.notices.duty import Rota, on_duty
from alerts.notices.gate import RED, Gate, after_call, endpoint_of, left, ready_at
from core.errors import Conflict
from core.settings import Settings
from tests.alerts.outgoing import world
from tests.support.clock import FakeClock

SHANGHAI = ZoneInfo("Asia/Shanghai")
WEEK = [1, 2, 3, 4, 5, 6, 7]
moments = st.integers(1_735_689_600, 1_798_761_600).map(lambda second: datetime.fromtimestamp(second, UTC))
zones = st.sampled_from(["Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]).map(ZoneInfo)
clocks = st.times().map(lambda value: value.replace(microsecond=0))


def rota(*shifts: dict[str, Any], changes: list[dict[str, Any]] | None = None) -> Rota:
    return Rota.model_validate({"shifts": list(shifts), "changes": changes or []})


def shift(person: str, starts: str, ends: str, weekdays: list[int] = WEEK, **more: Any) -> dict[str, Any]:
    return {"person": person, "weekdays": weekdays, "starts": starts, "ends": ends, **more}


def local(text: str, zone: ZoneInfo = SHANGHAI) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


@given(moments, zones, st.lists(clocks, min_size=1, max_size=5, unique=True))
def test_shifts_that_meet_leave_no_moment_to_none_or_two(at: datetime, zone: ZoneInfo, cuts: list[time]) -> None:
    cuts = sorted(cuts)
    pattern = rota(
        *(
            shift(f"p{number}", begin.isoformat(), end.isoformat())
            for number, (begin, end) in enumerate(zip(cuts, cuts[1:] + cuts[:1], strict=True))
        )
    )
    # An hour that the clock leaves out or repeats may lie within a bound; a minute later there is one again.
    found = [on_duty(pattern, at + timedelta(hours=hours), zone) for hours in (0, 3)]
    assert 1 in [len(present) for present in found]
    assert all(len(present) <= 2 for present in found)


@given(moments, clocks, clocks)
def test_in_a_zone_without_changes_exactly_one_is_on_duty(at: datetime, first: time, second: time) -> None:
    pattern = rota(shift("a", first.isoformat(), second.isoformat()), shift("b", second.isoformat(), first.isoformat()))
    present = on_duty(pattern, at, SHANGHAI)
    assert present == {"a", "b"} if first == second else len(present) == 1


def test_bounds_belong_to_the_shift_that_begins() -> None:
    pattern = rota(shift("day", "06:00", "18:00"), shift("night", "18:00", "06:00"))
    for text, who in (
        ("2026-08-03 05:59:59", "night"),
        ("2026-08-03 06:00:00", "day"),
        ("2026-08-03 17:59:59", "day"),
        ("2026-08-03 18:00:00", "night"),
        ("2026-08-04 00:00:00", "night"),
    ):
        assert on_duty(pattern, local(text), SHANGHAI) == {who}, text


def test_a_night_shift_belongs_to_the_day_on_which_it_begins() -> None:
    friday = rota(shift("night", "22:00", "06:00", weekdays=[5]))
    assert on_duty(friday, local("2026-08-08 05:00:00"), SHANGHAI) == {"night"}  # Saturday morning
    assert on_duty(friday, local("2026-08-07 05:00:00"), SHANGHAI) == set()  # Friday morning
    away = rota(shift("night", "22:00", "06:00"), changes=[{"day": "2026-08-07", "person": "night"}])
    assert on_duty(away, local("2026-08-08 05:00:00"), SHANGHAI) == set()
    assert on_duty(away, local("2026-08-07 05:00:00"), SHANGHAI) == {"night"}


def test_a_night_with_a_changed_clock_has_no_hole() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    pattern = rota(shift("night", "22:00", "06:00"), shift("day", "06:00", "22:00"))
    for night in (datetime(2026, 3, 28, 20, tzinfo=UTC), datetime(2026, 10, 24, 19, tzinfo=UTC)):
        present = [on_duty(pattern, night + timedelta(minutes=10 * step), berlin) for step in range(90)]
        assert all(len(found) == 1 for found in present)
        assert present[20] == {"night"}


def test_changes_substitute_add_and_take_away() -> None:
    pattern = rota(
        shift("wang", "06:00", "18:00", last_day="2026-08-10"),
        changes=[
            {"day": "2026-08-04", "person": "wang", "substitute": "li"},
            {"day": "2026-08-05", "substitute": "zhao", "starts": "20:00", "ends": "02:00"},
        ],
    )
    assert on_duty(pattern, local("2026-08-04 12:00:00"), SHANGHAI) == {"li"}
    assert on_duty(pattern, local("2026-08-05 12:00:00"), SHANGHAI) == {"wang"}
    assert on_duty(pattern, local("2026-08-06 01:00:00"), SHANGHAI) == {"zhao"}
    assert on_duty(pattern, local("2026-08-11 12:00:00"), SHANGHAI) == set()
    assert pattern.people == {"wang", "li", "zhao"}


@pytest.mark.parametrize(
    "change",
    [
        {"day": "2026-08-04"},
        {"day": "2026-08-04", "substitute": "li"},
        {"day": "2026-08-04", "person": "wang", "starts": "06:00"},
    ],
)
def test_a_change_that_says_nothing_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"further shift"):
        rota(changes=[change])


async def test_a_rota_is_replaced_by_whoever_has_seen_it(settings: Settings, clock: FakeClock) -> None:
    async with world(settings, clock) as place:

        async def save(version: int, person: str) -> duty.Stored:
            return await duty.save(
                place.connection,
                place.site_id,
                rota(shift(person, "06:00", "18:00")),
                version=version,
                by="x",
                at=clock.now(),
            )

        assert (await save(0, "a")).version == 1
        assert (await save(1, "b")).version == 2
        for version in (0, 1, 3):
            with pytest.raises(Conflict, match="is at version 2"):
                await save(version, "c")
        assert (await duty.load(place.connection, place.site_id)).rota.people == {"b"}


# -- limits


@given(
    st.lists(st.tuples(st.floats(0, 300), st.booleans()), max_size=200),
    st.sampled_from([20.0, 100.0]),
)
def test_no_minute_holds_more_than_the_limit_and_red_finds_room(calls: list[tuple[float, bool]], limit: float) -> None:
    origin = datetime(2026, 8, 1, tzinfo=UTC)
    gate = Gate(endpoint="x", per_minute=limit)
    went: list[datetime] = []
    for second, red in sorted(calls):
        now = origin + timedelta(seconds=second)
        until = ready_at(gate, RED if red else 1, now=now)
        if until is None:
            gate = after_call(gate, now=now)
            went.append(now)
        else:
            assert now < until <= now + timedelta(seconds=60)
            assert ready_at(gate, RED if red else 1, now=until) is None
    for begin in went:
        assert sum(begin <= call < begin + timedelta(seconds=60) for call in went) <= limit


def test_others_leave_a_quarter_to_red() -> None:
    now = datetime(2026, 8, 1, tzinfo=UTC)
    gate = Gate(endpoint="x", per_minute=20)
    for _ in range(15):
        assert ready_at(gate, 1, now=now) is None
        gate = after_call(gate, now=now)
    assert ready_at(gate, 1, now=now) == now + timedelta(seconds=60)
    assert (left(gate, 1, now=now), left(gate, RED, now=now)) == (0, 5)


def test_one_robot_is_one_address_whoever_has_it() -> None:
    assert endpoint_of("feishu://Token?secret=a") == endpoint_of("feishu://Token?secret=b")
    assert endpoint_of("feishu://Token") != endpoint_of("feishu://token")
    assert "oken" not in endpoint_of("feishu://Token")
    assert endpoint_of("sms://") == endpoint_of("sms://+8613800000000") == "sms"


# -- links


@given(st.integers(1, 2**63 - 1), st.integers(1, 2**31 - 1), st.binary(min_size=32, max_size=32))
def test_a_link_is_for_what_it_was_made_for(alert: int, person: int, key: bytes) -> None:
    now = datetime(2026, 8, 1, tzinfo=UTC)
    token = links.make(key, alert_id=alert, person_id=person, expires_at=now + timedelta(hours=1))
    assert len(token) <= 46
    claim = links.read(key, token, now=now)
    assert (claim.alert_id, claim.person_id) == (alert, person)
    for wrong in (token[:-1], token[1:], token[:-4] + "AAAA" if not token.endswith("AAAA") else token[:-4] + "BBBB"):
        with pytest.raises(links.BadLink):
            links.read(key, wrong, now=now)
    with pytest.raises(links.BadLink, match="expired"):
        links.read(key, token, now=now + timedelta(hours=1))
    with pytest.raises(links.BadLink):
        links.read(bytes(32) if key != bytes(32) else b"x" * 32, token, now=now)


@given(st.text(max_size=80))
def test_nonsense_is_no_link(text: str) -> None:
    with pytest.raises(links.BadLink):
        links.read(b"k" * 32, text, now=datetime(2026, 8, 1, tzinfo=UTC))


def test_the_docs_name_every_reason() -> None:
    page = (Path(__file__).parents[2] / "docs" / "notifications.md").read_text(encoding="utf-8")
    assert [name for name in get_args(notices.Reason) if f"`{name}`" not in page] == []
