"""Charts from the roll-ups say what charts from the readings say."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from core.database import connect
from core.settings import Settings
from sensors import history
from sensors.profiles import load_profiles
from sensors.rollup_work import Rollups, order_rebuild
from sensors.tables import Retention, maintain
from tests.sensors.stored import device, store
from tests.support.clock import FakeClock

PROFILES = {kind: load_profiles()[kind] for kind in ("dust", "hoist")}
NOW = FakeClock().now()
DAY = timedelta(days=1)


@pytest.fixture
async def connection(settings: Settings):
    async with await connect(settings.database, application="test") as connection:
        await maintain(connection, PROFILES, NOW)
        yield connection


async def chart(
    connection: psycopg.AsyncConnection, number: int, *channels: str, kind: str = "dust", **more: Any
) -> history.Series:
    options = {"start": NOW - DAY, "end": NOW, "points": 100, "interval_s": 60.0} | more
    return await history.series(connection, PROFILES[kind], number, channels, **options)


def day_of_dust() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for n in range(1440):
        if 600 <= n < 1000:
            continue
        row = {
            "time": NOW - DAY + timedelta(minutes=n, seconds=7),
            "pm10": 900.0 if n == 333 else float(n % 50),
            "laeq": 50.0 + n % 20,
            "wind_direction": (350.0 + n % 40) % 360,
            "pm10_q": "D" if n % 10 == 9 else None,
        }
        rows.append(row)
    return rows


@pytest.mark.parametrize(("points", "source"), [(1000, "1m"), (60, "15m"), (20, "1h")])
async def test_a_day_from_each_roll_up(connection: psycopg.AsyncConnection, points: int, source: str) -> None:
    number = await device(connection)
    await store(connection, number, day_of_dust())
    channels = ("pm10", "laeq", "wind_direction")
    slow = await chart(connection, number, *channels, points=points)
    assert slow.source == "raw"
    await Rollups(PROFILES, FakeClock()).run(connection)
    fast = await chart(connection, number, *channels, points=points)
    assert (fast.source, fast.bucket) == (source, slow.bucket)
    for channel in channels:
        have, want = fast.channels[channel], slow.channels[channel]
        assert have.time == want.time
        assert have.value == [None if value is None else pytest.approx(value, abs=0.002) for value in want.value]
        assert (have.minimum, have.maximum) == (want.minimum, want.maximum)
    peaks = [value for value in fast.channels["pm10"].maximum or [] if value is not None]
    assert max(peaks) == 900.0
    assert None in fast.channels["pm10"].value, "silence stays a gap"


async def test_states_from_a_roll_up(connection: psycopg.AsyncConnection) -> None:
    number = await device(connection, "hoist")
    rows = [{"time": NOW - DAY + timedelta(minutes=n), "door": int(n % 3 > 0)} for n in range(1440)]
    await store(connection, number, rows, kind="hoist")
    await Rollups(PROFILES, FakeClock()).run(connection)
    found = await chart(connection, number, "door", kind="hoist")
    assert found.source == "15m"
    assert set(found.channels["door"].value) == {1.0}
    assert found.channels["door"].minimum is None


async def test_what_came_since_the_last_pass_is_there(connection: psycopg.AsyncConnection) -> None:
    number = await device(connection)
    rows = day_of_dust()
    await store(connection, number, rows[:800])
    await Rollups(PROFILES, FakeClock(rows[800]["time"])).run(connection)
    await store(connection, number, rows[800:])
    found = await chart(connection, number, "laeq", points=1000)
    assert found.source == "1m"
    values = [value for value in found.channels["laeq"].value if value is not None]
    assert len(found.channels["laeq"].time) - found.channels["laeq"].value.count(None) == len(values)
    assert values[-1] == pytest.approx(10 * math.log10((10**6.8 + 10**6.9) / 2))


async def test_what_is_being_rebuilt_is_not_trusted(connection: psycopg.AsyncConnection) -> None:
    number = await device(connection)
    await store(connection, number, day_of_dust())
    await Rollups(PROFILES, FakeClock()).run(connection)
    await order_rebuild(connection, "dust", NOW - timedelta(hours=3), NOW - timedelta(hours=2))
    assert (await chart(connection, number, "pm10")).source == "raw"
    before = await chart(connection, number, "pm10", end=NOW - timedelta(hours=4))
    assert before.source == "15m"


async def test_months_are_days_of_the_site(connection: psycopg.AsyncConnection) -> None:
    number = await device(connection)
    rows = [{"time": NOW - n * timedelta(hours=1), "pm10": float(n)} for n in range(30 * 24)]
    await store(connection, number, rows)
    await Rollups(PROFILES, FakeClock()).run(connection)
    found = await chart(connection, number, "pm10", start=NOW - 30 * DAY, points=31, interval_s=3600.0)
    assert (found.source, found.bucket) == ("1d", DAY)
    assert {datetime.fromtimestamp(time / 1e6, UTC).hour for time in found.channels["pm10"].time} == {16}


async def test_roll_ups_outlive_the_readings(connection: psycopg.AsyncConnection) -> None:
    number = await device(connection)
    old = NOW - timedelta(days=120)
    await maintain(connection, PROFILES, old)
    await store(connection, number, [{"time": old + timedelta(minutes=n), "pm10": 7.0} for n in range(180)])
    await Rollups(PROFILES, FakeClock(old + timedelta(hours=4))).run(connection)
    kept = Retention(readings=timedelta(days=60), rollups={"1m": timedelta(days=60)})
    await maintain(connection, PROFILES, NOW, kept)
    assert await (await connection.execute("SELECT FROM reading_dust")).fetchall() == []
    span = {"start": old, "end": old + timedelta(hours=3)}
    found = await chart(connection, number, "pm10", points=20, **span)
    assert (found.source, set(found.channels["pm10"].value)) == ("15m", {7.0})
    wider = await chart(connection, number, "pm10", points=100, **span)
    assert (wider.source, wider.bucket) == ("15m", timedelta(minutes=15))
