"""A target that is switched off: nothing is sent, nothing is lost, everything goes out when it is on again."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from alerts import outbox
from alerts.switch import switch
from core.settings import Settings
from smartsite.doctor import registration
from tests.alerts.outgoing import World, delivering, folder, target, with_targets, world
from tests.support.clock import FakeClock
from tests.support.regulator import sandbox
from tests.support.wait import eventually


async def turn(place: World, *, on: bool, name: str = "bureau") -> None:
    async with place.connection.transaction():
        await switch(place.connection, name, on=on, reason="平台升级", by="p-1", now=place.clock.now())


async def test_what_is_for_a_target_that_is_off_waits_and_goes_out_when_it_is_on(
    settings: Settings, clock: FakeClock
) -> None:
    async with sandbox(folder(settings), clock=clock) as regulator, world(settings, clock) as place:
        other = target(regulator.url, name="city")
        settings = with_targets(settings, target(regulator.url, give_up_days=1), other)
        place.settings = settings
        await turn(place, on=False)
        async with delivering(settings, clock):
            for number in range(5):
                await place.enqueue(await place.alert(subject=f"device:{number}"))
            await outbox.ring(place.connection)

            async def of(name: str) -> set[str]:
                return {row["state"] for row in await place.rows("delivery") if row["target"] == name}

            # The other target's lane was woken by the same bells: it has had all of its own.
            async def other_has_all() -> bool:
                return await of("city") <= {"accepted", "validated"}

            await eventually(other_has_all)
            for _ in range(3):
                await clock.advance(24 * 3600)
                await outbox.ring(place.connection)
                await asyncio.sleep(0.05)
            assert await of("bureau") == {"pending"}
            made = {row["delivery_id"] for row in await place.rows("delivery_attempt")}
            names = {row["id"]: row["target"] for row in await place.rows("delivery")}
            assert {names[one] for one in made} == {"city"}

            # It fails at first: the days that it was off do not count as days of failing.
            regulator.behave(fail=1)
            await turn(place, on=True)

            async def tried() -> bool:
                rows = await place.rows("delivery_attempt")
                return any(names[row["delivery_id"]] == "bureau" for row in rows)

            await eventually(tried)
            regulator.behave()

            async def out() -> bool:
                await clock.advance(60)
                await outbox.ring(place.connection)
                return await of("bureau") <= {"accepted", "validated"}

            await eventually(out)


async def test_the_time_off_is_no_time_of_waiting(settings: Settings, clock: FakeClock) -> None:
    settings = with_targets(settings, target("http://x"))
    async with world(settings, clock) as place:
        began = clock.now()
        await place.enqueue(await place.alert())
        await clock.advance(10)
        await turn(place, on=False)
        await clock.advance(5)
        await place.enqueue(await place.alert(subject="device:2"))
        await clock.advance(85)
        # Switched off once more: since when it is off stays.
        await turn(place, on=False)
        await turn(place, on=True)
        (first, second) = await place.rows("delivery")
    assert first["pending_since"] == began + timedelta(seconds=90), "of 100 s it waited 10"
    assert second["pending_since"] == began + timedelta(seconds=100), "it never waited for the regulator"
    assert first["next_attempt_at"] == second["next_attempt_at"] == began + timedelta(seconds=100)


async def test_the_doctor_tells_who_switched_it_off_since_when_and_why(settings: Settings, clock: FakeClock) -> None:
    settings = with_targets(settings, target("http://x"))
    async with world(settings, clock) as place:
        await turn(place, on=False)
        found = [finding async for finding in registration.examine(settings)]
    (told,) = [finding for finding in found if finding.level == "warn"]
    assert told.fact == "switched off since 2026-08-01 08:00Z by p-1: 平台升级"
    assert "Regulators" in told.remedy
