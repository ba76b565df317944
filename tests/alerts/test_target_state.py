"""What is known of a target as a whole: its circuit, its pauses, its rate, its order, its clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from alerts import outbox
from alerts.adapters.base import Outcome
from alerts.gate import TargetState, after_call, after_claim, allowance
from core.settings import Settings
from tests.alerts.outgoing import World, delivering, folder, target, with_targets, world
from tests.support.clock import FakeClock
from tests.support.regulator import Sandbox, sandbox
from tests.support.wait import eventually

NOW = datetime(2026, 8, 1, 8, 0, tzinfo=UTC)
DOWN = Outcome(kind="temporary", reason="not reached")
WELL = Outcome(kind="accepted", status=202)


def seconds(count: float) -> datetime:
    return NOW + timedelta(seconds=count)


def test_the_circuit_opens_after_failures_in_a_row_and_probes_ever_more_rarely() -> None:
    to = target("http://x", breaker_failures=3)
    state = TargetState()
    for _ in range(2):
        state = after_call(state, to, DOWN, now=NOW)
        assert allowance(state, to, wanted=4, now=NOW).calls == 4
    state = after_call(state, to, DOWN, now=NOW)
    assert (state.is_open, state.opened_at, state.reason) == (True, NOW, "not reached")
    waits = []
    now = NOW
    for _ in range(9):
        assert state.paused_until is not None
        waits.append((state.paused_until - now).total_seconds())
        assert allowance(state, to, wanted=4, now=state.paused_until - timedelta(seconds=0.1)).calls == 0
        now = state.paused_until
        allowed = allowance(state, to, wanted=4, now=now)
        assert (allowed.calls, allowed.probe) == (1, True)
        # While one probes, nobody else does.
        probing = after_claim(state, to, allowed, calls=1, now=now)
        assert allowance(probing, to, wanted=4, now=now).calls == 0
        state = after_call(probing, to, DOWN, now=now)
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert state.opened_at == NOW
    closed = after_call(state, to, WELL, now=now)
    assert closed == TargetState()


@pytest.mark.parametrize(
    ("outcome", "failure"),
    [
        (Outcome(kind="temporary", status=500), True),
        (Outcome(kind="no_reply"), True),
        (Outcome(kind="temporary", status=429), False),
        (Outcome(kind="temporary", status=200), False),
        (Outcome(kind="config_error", status=401), False),
        (Outcome(kind="pending", status=200), False),
    ],
)
def test_only_what_the_regulator_as_a_whole_fails_at_counts(outcome: Outcome, failure: bool) -> None:
    to = target("http://x", breaker_failures=1)
    assert after_call(TargetState(), to, outcome, now=NOW).is_open == failure


def test_a_success_between_failures_starts_the_count_anew() -> None:
    to = target("http://x", breaker_failures=2)
    state = TargetState()
    for outcome in (DOWN, WELL, DOWN, WELL, DOWN):
        state = after_call(state, to, outcome, now=NOW)
    assert not state.is_open


def test_no_circuit_where_none_is_wanted() -> None:
    to = target("http://x", breaker_failures=0)
    state = TargetState()
    for _ in range(100):
        state = after_call(state, to, DOWN, now=NOW)
    assert not state.is_open


def test_retry_after_pauses_the_whole_target_but_not_for_ever() -> None:
    to = target("http://x")
    state = after_call(TargetState(), to, Outcome(kind="temporary", status=429, retry_after_s=30), now=NOW)
    assert allowance(state, to, wanted=4, now=seconds(29)).calls == 0
    assert allowance(state, to, wanted=4, now=seconds(30)).calls == 4
    state = after_call(TargetState(), to, Outcome(kind="temporary", status=429, retry_after_s=1e9), now=NOW)
    assert state.paused_until == NOW + timedelta(hours=6)


def test_the_rate_holds_over_any_span_and_forgives_a_pause_only_so_far() -> None:
    to = target("http://x", per_minute=30)
    state, made = TargetState(), []
    for tick in range(1200):
        now = seconds(tick / 4)
        allowed = allowance(state, to, wanted=4, now=now)
        state = after_claim(state, to, allowed, calls=allowed.calls, now=now)
        made += [tick / 4] * allowed.calls
    assert 150 <= len(made) <= 155
    for start in range(240):
        assert sum(start <= moment < start + 60 for moment in made) <= 35
    assert allowance(state, to, wanted=100, now=seconds(86_400)).calls == 5


@pytest.fixture
async def regulator(settings: Settings, clock: FakeClock) -> AsyncIterator[Sandbox]:
    async with sandbox(folder(settings), clock=clock) as running:
        yield running


async def _enqueue(place: World, count: int) -> None:
    for number in range(count):
        await place.enqueue(await place.alert(subject=f"device:{number}"))


async def test_an_outage_costs_few_calls_and_ends_for_all_at_once(
    settings: Settings, clock: FakeClock, regulator: Sandbox
) -> None:
    settings = with_targets(settings, target(regulator.url, breaker_failures=5, in_flight=2))
    async with world(settings, clock) as place:
        await _enqueue(place, 40)
        await regulator.stop()
        async with delivering(settings, clock):

            async def failed() -> bool:
                return len(await place.rows("delivery_attempt")) >= 5

            await eventually(failed)
            for _ in range(60):
                await clock.advance(60)
                await outbox.ring(place.connection)
                await asyncio.sleep(0.02)

            async def waits() -> bool:
                """No call is under way, and none is to be made before the clock goes on."""
                cursor = await place.connection.execute("SELECT paused_until FROM target_state")
                ((paused_until,),) = await cursor.fetchall()
                leased = [row for row in await place.rows("delivery") if row["leased_by"] is not None]
                return not leased and paused_until is not None and paused_until > clock.now()

            # A probe that failed and is recorded after the clock went on would put the next one behind its last step.
            await eventually(waits)
            made = len(await place.rows("delivery_attempt"))
            assert set(await place.states()) == {"pending"}
            # An hour of 40 deliveries: each had been tried about ten times without the circuit.
            assert made <= 75
            await regulator.start()
            # The next probe finds it, and what backed off for long goes out at once.
            await clock.advance(61)
            await outbox.ring(place.connection)

            async def out() -> bool:
                return set(await place.states()) == {"accepted"}

            await eventually(out)
    assert [item["accepted"] for item in regulator.received()] == [1] * 40


async def test_a_throttled_target_is_left_alone_as_a_whole(
    settings: Settings, clock: FakeClock, regulator: Sandbox
) -> None:
    regulator.behave(throttle=1, retry_after_s=90)
    settings = with_targets(settings, target(regulator.url, in_flight=1))
    async with world(settings, clock) as place:
        await _enqueue(place, 5)
        async with delivering(settings, clock):

            async def tried() -> int:
                return len(await place.rows("delivery_attempt"))

            await eventually(tried)
            for _ in range(8):
                await clock.advance(10)
                await outbox.ring(place.connection)
                await asyncio.sleep(0.02)
            assert await tried() == 1
            regulator.behave()
            await clock.advance(15)
            await outbox.ring(place.connection)

            async def out() -> bool:
                return set(await place.states()) == {"accepted"}

            await eventually(out)


async def test_an_ordered_target_is_told_one_after_the_other(
    settings: Settings, clock: FakeClock, regulator: Sandbox
) -> None:
    regulator.behave(fail=1)
    settings = with_targets(settings, target(regulator.url, ordered=True))
    async with world(settings, clock) as place:
        await place.connection.execute("UPDATE site SET vision_policy = 'review'")
        await place.reload()
        held = await place.vision_alert()
        await place.enqueue(held)
        await place.enqueue(await place.clear(held), "end")
        await _enqueue(place, 6)
        async with delivering(settings, clock):

            async def tried() -> int:
                return len(await place.rows("delivery_attempt"))

            await eventually(tried)
            await asyncio.sleep(0.2)
            # The first is tried again, and those behind it wait; what waits for a review holds up its own alert only.
            assert {row["delivery_id"] for row in await place.rows("delivery_attempt")} == {3}
            regulator.behave()
            await clock.advance(2)

            async def out() -> bool:
                await outbox.ring(place.connection)
                return await place.states() == ["held", "held", *["accepted"] * 6]

            await eventually(out)
    assert [item["violation"]["alert"]["id"] for item in regulator.received()] == [2, 3, 4, 5, 6, 7]


async def test_a_rate_is_kept(settings: Settings, clock: FakeClock, regulator: Sandbox) -> None:
    settings = with_targets(settings, target(regulator.url, per_minute=12))
    async with world(settings, clock) as place:
        await _enqueue(place, 10)
        async with delivering(settings, clock), delivering(settings, clock):
            await eventually(lambda: len(regulator.received()) == 2)
            for count in range(3, 11):
                await clock.advance(5)
                await outbox.ring(place.connection)
                await eventually(lambda count=count: len(regulator.received()) >= count)
    arrived = [item["arrived_ms"] for item in regulator.received()]
    assert arrived[-1] - arrived[0] == 40_000


async def test_a_regulator_whose_clock_is_off_is_told_and_its_refusals_pass(
    settings: Settings, clock: FakeClock, regulator: Sandbox
) -> None:
    settings = with_targets(settings, target(regulator.url))
    ahead = FakeClock(clock.now())
    await ahead.advance(1000)
    async with world(settings, clock) as place:
        async with delivering(settings, ahead):
            await place.enqueue(await place.alert())

            async def refused() -> bool:
                rows = await place.rows("delivery_attempt")
                return bool(rows) and rows[0]["outcome"] == "temporary"

            await eventually(refused)
        (row,) = await place.rows("delivery")
        assert row["state"] == "pending"
        assert "clock_skew the sender's clock is off by +1000 s" in row["reason"]
        assert "its clock is -1000 s from ours: synchronise this machine's clock (NTP)" in row["reason"]
        cursor = await place.connection.execute("SELECT skew_s FROM target_state")
        assert (await cursor.fetchone()) == (pytest.approx(-999.5, abs=1),)
        # The clock is set: it goes out by itself.
        await place.connection.execute("UPDATE delivery SET next_attempt_at = %s", [clock.now()])
        async with delivering(settings, clock):

            async def out() -> bool:
                return await place.states() == ["accepted"]

            await eventually(out)
