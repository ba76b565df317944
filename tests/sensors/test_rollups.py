"""Roll-ups agree with the readings to the last bit, whatever order these come in and whoever is killed."""

from __future__ import annotations

import math
import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import psycopg
import pytest

from core.database import connect
from core.settings import Settings
from sensors import rollup_work
from sensors.profiles import Channel, Profile, load_profiles
from sensors.rollup_work import Rollups, minutes_of, order_rebuild, spans
from sensors.rollups import HOUR, QUARTER, Resolution
from sensors.rollups import MINUTE as ONE_MINUTE
from sensors.tables import accepted_span, maintain, reconcile
from tests.sensors.stored import device, expect_exact, read, store
from tests.support.clock import FakeClock

DUST = load_profiles()["dust"]
HOIST = load_profiles()["hoist"]
PROFILES = {"dust": DUST, "hoist": HOIST}
NOW = FakeClock().now()
MINUTE = timedelta(minutes=1)


@pytest.fixture
async def connection(settings: Settings):
    async with await connect(settings.database, application="test") as connection:
        await maintain(connection, PROFILES, NOW)
        yield connection


def test_touched_minutes_become_spans() -> None:
    device_ids = np.array([2, 1, 1, 1, 1], np.int32)
    time = np.array([0, 59, 60, 61, 1900], np.int64) * 1_000_000
    minutes = minutes_of(device_ids, time)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    one = spans(minutes, MINUTE)
    assert one.device == [1, 1, 2]
    assert [(stop - start) // MINUTE for start, stop in zip(one.start, one.stop, strict=True)] == [2, 1, 1]
    quarter = spans(minutes, timedelta(minutes=15))
    assert list(zip(quarter.device, quarter.start, strict=True)) == [
        (1, epoch), (1, epoch + timedelta(minutes=30)), (2, epoch),
    ]  # fmt: skip
    assert len(spans(minutes[:0], MINUTE)) == 0


async def test_sums_extremes_and_counts(connection: psycopg.AsyncConnection) -> None:
    number = await device(connection)
    await store(connection, number, [
        {"time": NOW, "pm10": 10.0, "pm10_q": None, "laeq": 50.0, "wind_direction": 350.0},
        {"time": NOW + timedelta(seconds=10), "pm10": 30.0, "laeq": 60.0, "wind_direction": 10.0},
        {"time": NOW + timedelta(seconds=20), "pm10": 999.0, "pm10_q": "D"},
    ])  # fmt: skip
    work = await Rollups(PROFILES, FakeClock()).run(connection)
    assert (work.readings, work.minutes) == (3, 1)
    (row,) = await read(
        connection, "rollup_dust_1m", "messages", "expected", "pm10_n", "pm10_sum", "pm10_min", "pm10_max", "laeq_pow",
        "wind_direction_cos",
    )  # fmt: skip
    assert row[:6] == (3, 6.0, 2, 40.0, 10.0, 30.0)
    assert row[6] == pytest.approx(1e5 + 1e6)
    assert row[7] == pytest.approx(2 * math.cos(math.radians(10)))
    ((expected,),) = await read(connection, "rollup_dust_1d", "expected")
    assert expected == 8640
    await expect_exact(connection)


async def test_states_are_counted(connection: psycopg.AsyncConnection) -> None:
    number = await device(connection, "hoist")
    rows = [{"time": NOW + timedelta(seconds=n), "door": int(n < 4)} for n in range(10)]
    await store(connection, number, rows, kind="hoist")
    await Rollups(PROFILES, FakeClock()).run(connection)
    for name in ("1m", "1d"):
        assert await read(connection, f"rollup_hoist_{name}", "door_n", "door_n0", "door_n1") == [(10, 6, 4)]


async def test_late_readings_change_only_their_buckets(connection: psycopg.AsyncConnection) -> None:
    first, second = await device(connection), await device(connection)
    rollups = Rollups(PROFILES, FakeClock())
    for number in (first, second):
        await store(connection, number, [{"time": NOW + n * MINUTE, "pm10": float(n), "laeq": 55.0} for n in range(40)])
    await rollups.run(connection)
    before = {row[:2]: row[2] for row in await read(connection, "rollup_dust_1m", "device_id", "time", "xmin::text")}
    late = NOW + 5 * MINUTE + timedelta(seconds=30)
    await store(connection, first, [{"time": late, "pm10": 500.0}])
    await rollups.run(connection)
    after = {row[:2]: row[2] for row in await read(connection, "rollup_dust_1m", "device_id", "time", "xmin::text")}
    assert {key for key in after if before.get(key) != after[key]} == {(first, NOW + 5 * MINUTE)}
    await expect_exact(connection)


async def test_back_fill_across_weeks(connection: psycopg.AsyncConnection) -> None:
    number = await device(connection)
    chance = random.Random(4)
    start = accepted_span(NOW)[0]
    times = sorted({start + timedelta(seconds=chance.randrange(35 * 86_400)) for _ in range(300)})
    chance.shuffle(times)
    rollups = Rollups(PROFILES, FakeClock())
    for part in range(0, len(times), 60):
        rows = [
            {"time": time, "pm10": chance.random() * 99, "pm10_q": chance.choice([None, None, "M"]), "laeq": 60.5}
            for time in times[part : part + 60]
        ]
        await store(connection, number, rows)
        await rollups.run(connection)
    await expect_exact(connection)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2025, 10, 26), 25),
        ("Asia/Kathmandu", date(2026, 3, 29), 24),
        ("America/Havana", date(2026, 3, 8), 23),
    ],
)
async def test_days_are_the_site_s(settings: Settings, zone: str, day: date, hours: int) -> None:
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    async with await connect(settings.database, application="test") as connection:
        await maintain(connection, PROFILES, noon)
        number = await device(connection, zone=zone)
        times = [noon + timedelta(minutes=30 * n) for n in range(-60, 61)]
        await store(connection, number, [{"time": time, "pm10": 1.0, "laeq": 50.0} for time in times])
        await Rollups(PROFILES, FakeClock(noon)).run(connection)
        await expect_exact(connection, zone)
        found = {row[0]: row[1:] for row in await read(connection, "rollup_dust_1d", "day", "messages", "expected")}
        assert found[day] == (hours * 2, hours * 360)


async def test_a_pass_that_is_killed_leaves_nothing_half_done(
    connection: psycopg.AsyncConnection, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = await device(connection)
    await store(connection, number, [{"time": NOW + n * MINUTE, "pm10": 2.0, "laeq": 50.0} for n in range(20)])
    done = rollup_work._buckets
    for killed_at in (QUARTER, ONE_MINUTE, HOUR):

        async def buckets(
            connection: psycopg.AsyncConnection, *args: Any, killed_at: Resolution = killed_at, **more: Any
        ) -> None:
            await done(connection, *args, **more)
            if args[1] is killed_at:
                await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

        monkeypatch.setattr(rollup_work, "_buckets", buckets)
        async with await connect(settings.database, application="doomed") as doomed:
            with pytest.raises(psycopg.OperationalError):
                await Rollups(PROFILES, FakeClock()).run(doomed)
        assert await read(connection, "rollup_dust_1m", "time") == []
        assert await (await connection.execute("SELECT FROM log_cursor")).fetchall() == []
    monkeypatch.setattr(rollup_work, "_buckets", done)
    await Rollups(PROFILES, FakeClock()).run(connection)
    await expect_exact(connection)


async def test_history_from_before_the_roll_ups_is_rebuilt(connection: psycopg.AsyncConnection) -> None:
    number = await device(connection)
    long_ago = accepted_span(NOW)[0] - timedelta(days=3)
    await maintain(connection, PROFILES, long_ago)
    rows = [
        {"time": start + n * 7 * MINUTE, "pm10": float(n), "laeq": 40.0 + n}
        for start in (long_ago, NOW)
        for n in range(60)
    ]
    await store(connection, number, rows)
    await connection.execute("TRUNCATE log_entry")
    await connection.execute("DELETE FROM log_stream")
    work = await Rollups(PROFILES, FakeClock()).run(connection)
    assert (work.readings, work.pieces) == (0, pytest.approx(4 * 43, abs=8))
    assert await (await connection.execute("SELECT FROM rollup_rebuild")).fetchall() == []
    quarters = await read(connection, "rollup_dust_15m", "sum(messages) OVER ()")
    assert quarters[0] == (120,)
    minutes = await read(connection, "rollup_dust_1m", "time")
    assert len(minutes) == 60, "minutes only where readings may still come"
    days = await read(connection, "rollup_dust_1d", "sum(messages) OVER ()")
    assert days[0] == (120,)


async def test_entries_dropped_unread_are_made_up_for(connection: psycopg.AsyncConnection) -> None:
    number = await device(connection)
    rollups = Rollups(PROFILES, FakeClock())
    await store(connection, number, [{"time": NOW, "pm10": 1.0, "laeq": 50.0}])
    await rollups.run(connection)
    for lost in ("the middle", "the end"):
        age = 1 if lost == "the end" else 2
        await store(connection, number, [{"time": NOW - timedelta(days=age), "pm10": 3.0, "laeq": 50.0}])
        await connection.execute("DELETE FROM log_entry")
        if lost == "the middle":
            await store(connection, number, [{"time": NOW + MINUTE, "pm10": 2.0, "laeq": 50.0}])
        work = await rollups.run(connection)
        assert work.pieces > 0
        await expect_exact(connection)
        assert (await rollups.run(connection)).pieces == 0


async def test_what_a_long_absent_keeper_missed_is_made_up_for(connection: psycopg.AsyncConnection) -> None:
    number = await device(connection)
    await store(connection, number, [{"time": NOW, "pm10": 1.0, "laeq": 50.0}])
    await Rollups(PROFILES, FakeClock()).run(connection)
    oldest = NOW - timedelta(days=35) + timedelta(hours=1)
    await store(connection, number, [{"time": oldest, "pm10": 1.0, "laeq": 50.0}])
    await Rollups(PROFILES, FakeClock()).run(connection)
    await store(connection, number, [{"time": oldest + timedelta(seconds=9), "pm10": 3.0, "laeq": 50.0}])
    await connection.execute("DELETE FROM log_entry")
    later = NOW + timedelta(days=10)
    await maintain(connection, PROFILES, later)
    await Rollups(PROFILES, FakeClock(later)).run(connection)
    await expect_exact(connection)


async def test_a_rebuild_mends_what_was_tampered_with(connection: psycopg.AsyncConnection) -> None:
    number = await device(connection)
    rollups = Rollups(PROFILES, FakeClock())
    await store(connection, number, [{"time": NOW, "pm10": 1.0, "laeq": 50.0}])
    await rollups.run(connection)
    await connection.execute("UPDATE rollup_dust_1h SET pm10_sum = 7")
    await order_rebuild(connection, "dust", NOW, NOW)
    await rollups.run(connection)
    await expect_exact(connection)


async def test_a_new_channel_is_rolled_up(settings: Settings) -> None:
    def kind(*names: str) -> dict[str, Profile]:
        channels = [
            msgspec.convert({"name": n, "type": "real", "unit": "mm", "label": n, "label_en": n}, Channel)
            for n in names
        ]
        return {"gauge": Profile(kind="gauge", name="测点", name_en="Gauge", channels=tuple(channels))}

    async with await connect(settings.database, application="test") as connection:
        await reconcile(connection, kind("a"), now=NOW)
        number = await device(connection, "gauge")
        await store(connection, number, [{"time": NOW, "a": 1.0}], kind="gauge")
        await Rollups(kind("a"), FakeClock()).run(connection)
        await reconcile(connection, kind("a", "b"), now=NOW)
        await store(connection, number, [{"time": NOW + MINUTE, "a": 2.0, "b": 5.0}], kind="gauge")
        await Rollups(kind("a", "b"), FakeClock()).run(connection)
        assert await read(connection, "rollup_gauge_1m", "a_sum", "b_sum") == [(1.0, None), (2.0, 5.0)]
        assert await read(connection, "rollup_gauge_1h", "a_sum", "b_sum", "b_n") == [(3.0, 5.0, 1)]
