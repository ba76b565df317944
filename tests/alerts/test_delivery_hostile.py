"""A hundred violations, a regulator that does everything wrong, and a worker that is killed at random."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from random import Random

import pytest

from core.settings import Settings
from tests.alerts.outgoing import World, delivering, folder, target, with_targets, world
from tests.support.clock import FakeClock
from tests.support.regulator import Sandbox, sandbox
from tests.support.wait import eventually

VIOLATIONS = 100
DONE = {"accepted", "validated", "rejected"}


@pytest.fixture
async def regulator(settings: Settings, clock: FakeClock) -> AsyncIterator[Sandbox]:
    async with sandbox(folder(settings), clock=clock, seed=7) as running:
        yield running


@contextlib.asynccontextmanager
async def time_passing(clock: FakeClock) -> AsyncIterator[None]:
    """A second of the fake clock in every hundredth of a real one."""

    async def pass_time() -> None:
        while True:
            await clock.advance(1)
            await asyncio.sleep(0.01)

    passing = asyncio.create_task(pass_time())
    try:
        yield
    finally:
        passing.cancel()
        await asyncio.gather(passing, return_exceptions=True)


async def chaos(place: World, regulator: Sandbox, clock: FakeClock, random: Random, *, rounds: int) -> None:
    """Kill the worker, and now and then the regulator, after spans of random length."""
    for _ in range(rounds):
        async with delivering(place.settings, clock) as worker:
            await asyncio.sleep(random.uniform(0.05, 0.4))
            worker.cancel()
        if random.random() < 0.3:
            await regulator.stop()
            await regulator.start()


async def raise_and_clear(place: World) -> None:
    for number in range(VIOLATIONS):
        alert = await place.alert(subject=f"device:{number}")
        await place.enqueue(alert)
        await place.enqueue(await place.clear(alert), "end")


async def test_exactly_one_is_accepted_of_each_and_none_is_lost(
    settings: Settings, clock: FakeClock, regulator: Sandbox
) -> None:
    random = Random(11)
    regulator.behave(delay_s=0.5, fail=0.2, throttle=0.1, retry_after_s=3, drop_reply=0.2, reject_rate=0.1)
    settings = with_targets(settings, target(regulator.url, timeout_s=5, in_flight=16))
    async with world(settings, clock) as place, time_passing(clock):
        await raise_and_clear(place)
        await chaos(place, regulator, clock, random, rounds=12)
        regulator.behave(fail=0.2, drop_reply=0.2, result_delay_s=5)

        async def done() -> bool:
            return set(await place.states()) <= {"validated", "rejected"}

        async with delivering(settings, clock):
            await eventually(done, timeout=60, every=0.2)
        received = regulator.received()
        keys = [row["idempotency_key"] for row in await place.rows("delivery")]
        outcomes = {attempt["outcome"] for attempt in await place.rows("delivery_attempt")}
    assert len(keys) == 2 * VIOLATIONS
    assert {item["key"]: item["accepted"] for item in received} == dict.fromkeys(keys, 1)
    assert {"accepted", "temporary", "no_reply", "validated"} <= outcomes
    order = {(item["violation"]["alert"]["id"], item["violation"]["phase"]): item["id"] for item in received}
    assert all(order[alert, "raise"] < order[alert, "end"] for alert, _ in order)


@pytest.mark.parametrize("policy", ["ask", "resend"])
async def test_without_keys_none_is_lost_and_every_doubt_is_shown(
    settings: Settings, clock: FakeClock, regulator: Sandbox, policy: str
) -> None:
    random = Random(5)
    regulator.behave(no_keys=True, delay_s=0.5, fail=0.1, throttle=0.1, drop_reply=0.1)
    settings = with_targets(
        settings, target(regulator.url, timeout_s=5, in_flight=16, keys=False, on_uncertain=policy, push_on="raise")
    )
    async with world(settings, clock) as place, time_passing(clock):
        await raise_and_clear(place)
        await chaos(place, regulator, clock, random, rounds=6)

        async def done() -> bool:
            return set(await place.states()) <= {*DONE, "uncertain"}

        async with delivering(settings, clock):
            await eventually(done, timeout=60, every=0.2)
        rows = await place.rows("delivery")
        stored = {item["key"]: item["accepted"] for item in regulator.received()}
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
