"""Hundreds of violations, a regulator that does everything wrong, and a worker that is killed at random.

More of them: SMARTSITE_HOSTILE_VIOLATIONS=1000.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from random import Random

import pytest

from core.settings import Settings
from tests.alerts.outgoing import World, delivering, folder, target, with_targets, world
from tests.support.clock import FakeClock
from tests.support.regulator import Sandbox, sandbox
from tests.support.wait import eventually

# Each makes ten calls or so, of which the rarest misbehaviour takes one in fifty.
VIOLATIONS = int(os.environ.get("SMARTSITE_HOSTILE_VIOLATIONS", "250"))
DONE = {"accepted", "validated", "rejected"}


@pytest.fixture
async def regulator(settings: Settings, clock: FakeClock) -> AsyncIterator[Sandbox]:
    async with sandbox(folder(settings), clock=clock, seed=7) as running:
        yield running


@dataclass
class Pace:
    """Seconds of the fake clock that pass in a hundredth of a real one; nobody else moves the clock."""

    seconds: float = 1


@contextlib.asynccontextmanager
async def time_passing(clock: FakeClock) -> AsyncIterator[Pace]:
    """Time passes, at first a second of the fake clock in every hundredth of a real one."""
    pace = Pace()

    async def pass_time() -> None:
        while True:
            await clock.advance(pace.seconds)
            await asyncio.sleep(0.01)

    passing = asyncio.create_task(pass_time())
    try:
        yield pace
    finally:
        passing.cancel()
        await asyncio.gather(passing, return_exceptions=True)


async def chaos(
    place: World, regulator: Sandbox, clock: FakeClock, random: Random, *, rounds: int, refused: int = 0
) -> None:
    """Kill the worker, and now and then the regulator, after spans of random length.

    Goes on until so many deliveries were refused, however slow the machine is.
    """
    for _ in range(rounds) if not refused else range(rounds * 40):
        async with delivering(place.settings, clock) as worker:
            await asyncio.sleep(random.uniform(0.05, 0.4))
            worker.cancel()
        if random.random() < 0.3:
            await regulator.stop()
            await regulator.start()
        if refused:
            cursor = await place.connection.execute("SELECT count(*) FROM delivery WHERE state = 'config_error'")
            if (await cursor.fetchone() or (0,))[0] >= refused:
                break


async def raise_and_clear(place: World) -> None:
    for number in range(VIOLATIONS):
        alert = await place.alert(subject=f"device:{number}")
        await place.enqueue(alert)
        await place.enqueue(await place.clear(alert), "end")


async def outage(regulator: Sandbox, clock: FakeClock, pace: Pace) -> None:
    """The regulator is away for an hour."""
    await regulator.stop()
    back = clock.now() + timedelta(hours=1)
    pace.seconds = 20
    await eventually(lambda: clock.now() >= back, timeout=120)
    pace.seconds = 1
    await regulator.start()


async def resend_stopped(place: World) -> int:
    """What a person does about a regulator that redirected; the number of deliveries that had stopped."""
    rows = [row for row in await place.rows("delivery") if row["state"] == "config_error"]
    for row in rows:
        await place.resend(row["id"])
    return len(rows)


async def test_exactly_one_is_accepted_of_each_and_none_is_lost(
    settings: Settings, clock: FakeClock, regulator: Sandbox
) -> None:
    random = Random(11)
    hostile = {
        "delay_s": 0.5, "fail": 0.1, "throttle": 0.02, "retry_after_s": 3, "drop_reply": 0.1, "reject_rate": 0.1,
        "nonsense": 0.05, "flood": 0.03, "redirect": 0.06, "wrong_result": 0.2,
    }  # fmt: skip
    regulator.behave(**hostile)
    settings = with_targets(settings, target(regulator.url, timeout_s=5, in_flight=16))
    async with world(settings, clock) as place, time_passing(clock) as pace:
        await raise_and_clear(place)
        await chaos(place, regulator, clock, random, rounds=15, refused=3)
        async with delivering(settings, clock):
            await outage(regulator, clock, pace)
        regulator.behave(**{**hostile, "delay_s": 0, "redirect": 0, "result_delay_s": 5})
        await chaos(place, regulator, clock, random, rounds=5)
        stopped = await resend_stopped(place)

        async def done() -> bool:
            return set(await place.states()) <= {"validated", "rejected"}

        # Results are asked for the more rarely the older an acceptance is.
        pace.seconds = 10
        async with delivering(settings, clock):
            await eventually(done, timeout=300, every=0.5)
        received = regulator.received()
        keys = [row["idempotency_key"] for row in await place.rows("delivery")]
        attempts = await place.rows("delivery_attempt")
    assert len(keys) == 2 * VIOLATIONS
    assert {item["key"]: item["accepted"] for item in received} == dict.fromkeys(keys, 1)
    outcomes = {attempt["outcome"] for attempt in attempts}
    assert {"accepted", "temporary", "no_reply", "validated", "rejected"} <= outcomes
    assert stopped > 0
    reasons = " ".join({attempt["error"] for attempt in attempts})
    for words in ("status 429", "status 500", "redirected to", "holds no receipt", "no reply", "not reached"):
        assert words in reasons, words
    assert "the answer holds no result" in reasons
    order = {(item["violation"]["alert"]["id"], item["violation"]["phase"]): item["id"] for item in received}
    assert all(order[alert, "raise"] < order[alert, "end"] for alert, _ in order)


@pytest.mark.parametrize("policy", ["ask", "resend"])
async def test_without_keys_none_is_lost_and_every_doubt_is_shown(
    settings: Settings, clock: FakeClock, regulator: Sandbox, policy: str
) -> None:
    random = Random(5)
    hostile = {
        "no_keys": True, "delay_s": 0.5, "fail": 0.1, "throttle": 0.02, "drop_reply": 0.05, "nonsense": 0.03,
        "flood": 0.02,
    }  # fmt: skip
    regulator.behave(**hostile)
    settings = with_targets(
        settings, target(regulator.url, timeout_s=5, in_flight=16, keys=False, on_uncertain=policy, push_on="raise")
    )
    async with world(settings, clock) as place, time_passing(clock) as pace:
        for number in range(VIOLATIONS):
            await place.enqueue(await place.alert(subject=f"device:{number}"))
        await chaos(place, regulator, clock, random, rounds=10)
        async with delivering(settings, clock):
            await outage(regulator, clock, pace)
        regulator.behave(**{**hostile, "delay_s": 0})

        async def done() -> bool:
            return set(await place.states()) <= {*DONE, "uncertain"}

        async with delivering(settings, clock):
            await eventually(done, timeout=300, every=0.5)
        rows = await place.rows("delivery")
        stored = {item["key"]: item["accepted"] for item in regulator.received()}
    assert len(rows) == VIOLATIONS
    for row in rows:
        count = stored.get(row["idempotency_key"], 0)
        if row["state"] in DONE:
            # Stored, and more than once only where that is said.
            assert count == 1 or (count > 1 and "twice" in row["reason"])
        else:
            assert policy == "ask"
            assert count <= 1
            assert row["reason"]
    assert any(row["state"] == "uncertain" for row in rows) == (policy == "ask")
