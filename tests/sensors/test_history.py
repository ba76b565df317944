"""Series and newest values from a real PostgreSQL."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from core.clock import micros
from core.database import connect
from core.errors import InvalidInput, NotFound
from core.settings import Settings
from sensors import history
from sensors.profiles import load_profiles
from tests.support.clock import FakeClock

PROFILES = load_profiles()
START = FakeClock().now()
SECOND = timedelta(seconds=1)


@pytest.fixture
async def connection(settings: Settings):
    async with await connect(settings.database, application="test") as connection:
        yield connection


async def store(connection: psycopg.AsyncConnection, kind: str, device: int, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        columns = ", ".join(["device_id", "flags", *row])
        values = ", ".join(["%s"] * (len(row) + 2))
        await connection.execute(
            f"INSERT INTO reading_{kind} ({columns}) VALUES ({values})", [device, 0, *row.values()]
        )


async def test_latest_takes_the_newest_row_of_each_device(connection: psycopg.AsyncConnection) -> None:
    await store(connection, "dust", 1, [
        {"time": START - timedelta(weeks=3), "pm10": 1.5},
        {"time": START, "pm10": 5.1, "pm10_q": "T", "tsp_q": "D"},
    ])  # fmt: skip
    await store(connection, "dust", 2, [{"time": START, "laeq": 60.5}])
    await store(connection, "hoist", 3, [{"time": START, "persons": 4, "door": 1}])
    found = await history.latest(connection, PROFILES, [(1, "dust"), (2, "dust"), (3, "hoist"), (4, "dust"), (5, "x")])
    assert found == {
        1: {"pm10": {"value": 5.1, "quality": "T"}, "tsp": {"value": None, "quality": "D"}},
        2: {"laeq": {"value": 60.5, "quality": "N"}},
        3: {"persons": {"value": 4.0, "quality": "N"}, "door": {"value": 1.0, "quality": "N"}},
    }


async def read(connection: psycopg.AsyncConnection, kind: str, *channels: str, **more: Any) -> history.Series:
    options = {"start": START, "end": START + timedelta(hours=1), "points": 100, "interval_s": 1.0} | more
    return await history.series(connection, PROFILES[kind], 1, channels, **options)


async def test_few_rows_come_as_they_are_with_gaps(connection: psycopg.AsyncConnection) -> None:
    seconds = [0, 1, 2, 20, 21]
    rows = [{"time": START + n * SECOND, "pm10": float(n)} for n in seconds]
    rows[1] |= {"pm10_q": "D"}
    rows.append({"time": START + 22 * SECOND, "laeq": 60.0})
    await store(connection, "dust", 1, rows)
    found = await read(connection, "dust", "pm10", "laeq")
    assert found.source == "raw"
    line = found.channels["pm10"]
    assert line.value == [0.0, None, 2.0, None, 20.0, 21.0]
    assert [(moment - micros(START)) / 1e6 for moment in line.time] == [0, 1, 2, 5, 20, 21]
    assert found.channels["laeq"].value == [60.0]


async def test_many_rows_come_as_means(connection: psycopg.AsyncConnection) -> None:
    rows: list[dict[str, Any]] = []
    for n in range(240):
        row = {"time": START + n * SECOND, "pm10": float(n % 60), "laeq": 50.0 if n % 2 else 60.0}
        row["wind_direction"] = 350.0 if n % 2 else 10.0
        if 60 <= n < 120:
            continue
        if n >= 180:
            row["pm10_q"] = "M"
        rows.append(row)
    await store(connection, "dust", 1, rows)
    found = await read(connection, "dust", "pm10", "laeq", "wind_direction", points=60)
    assert (found.source, found.bucket) == ("raw", timedelta(minutes=1))
    pm10 = found.channels["pm10"]
    assert pm10.value == [29.5, None, 29.5]
    assert pm10.minimum == [0.0, None, 0.0]
    assert pm10.maximum == [59.0, None, 59.0]
    laeq = found.channels["laeq"].value
    assert laeq[0] == pytest.approx(10 * math.log10((1e5 + 1e6) / 2))
    assert found.channels["wind_direction"].value[0] == pytest.approx(0.0)
    assert found.channels["wind_direction"].minimum is None


async def test_states_are_not_averaged(connection: psycopg.AsyncConnection) -> None:
    await store(connection, "hoist", 1, [{"time": START + n * SECOND, "door": int(n < 8) * 2} for n in range(10)])
    found = await read(connection, "hoist", "door", points=5)
    assert found.channels["door"].value == [2.0]


async def test_wrong_questions(connection: psycopg.AsyncConnection) -> None:
    with pytest.raises(NotFound, match="no channel 'smell'"):
        await read(connection, "dust", "smell")
    with pytest.raises(InvalidInput):
        await read(connection, "dust", "pm10", end=START)
    with pytest.raises(InvalidInput):
        await read(connection, "dust", "pm10", points=1)


async def test_a_long_span_gets_days(connection: psycopg.AsyncConnection) -> None:
    rows = [{"time": START + n * timedelta(hours=6), "pm10": 1.0} for n in range(80)]
    await store(connection, "dust", 1, rows)
    found = await read(connection, "dust", "pm10", end=START + timedelta(days=20), points=10, interval_s=21_600.0)
    assert found.bucket == timedelta(days=2)
    assert len(found.channels["pm10"].value) == 11
    assert datetime.fromtimestamp(found.channels["pm10"].time[0] / 1e6, UTC).hour == 0
