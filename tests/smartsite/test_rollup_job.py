"""The keeper rolls readings up, one keeper at a time."""

from __future__ import annotations

from datetime import timedelta

from core import log
from core.database import connect
from core.schedule import Schedule
from core.settings import Settings
from sensors.rollup_work import READER, through
from smartsite.keeper import LOCK, Housekeeping
from tests.sensors.stored import device, expect_exact, store
from tests.support.clock import FakeClock


async def test_readings_are_rolled_up_and_their_log_is_let_go(settings: Settings, clock: FakeClock) -> None:
    jobs = Housekeeping(settings, clock)
    keeper = Schedule(settings.database, name="keeper", lock=LOCK, clock=clock)
    async with await connect(settings.database, application="test") as connection:
        assert await keeper.turn(jobs.partitions)
        number = await device(connection)
        rows = [{"time": clock.now() + timedelta(seconds=n), "pm10": float(n), "laeq": 50.0} for n in range(90)]
        await store(connection, number, rows)
        assert await keeper.turn(jobs.rollups)
        await expect_exact(connection)
        assert await through(connection) == clock.now()
        assert (await log.lag(connection))[READER] == 0
        second = Schedule(settings.database, name="second", lock=LOCK, clock=clock)
        assert not await second.turn(jobs.rollups), "one keeper at a time works"
        await second.close()
    await keeper.close()
