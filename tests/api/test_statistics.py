"""What stations computed themselves, page by page, beside our own roll-ups."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from sensors import tables
from sensors.profiles import load_profiles
from tests.api.conftest import LogIn
from tests.api.world import World
from tests.support.clock import FakeClock

HOUR = timedelta(hours=1)


@pytest.fixture
async def hours(world: World, clock: FakeClock) -> World:
    """Statistics of five hours, and our own roll-ups of four of them."""
    await tables.maintain(world.connection, load_profiles(), clock.now())
    device = world.ids["dust-north"]
    begin = world.now.replace(minute=0, second=0, microsecond=0) - 5 * HOUR
    for number in range(5):
        at = begin + number * HOUR
        for metric, mean in (("pm10", 100.0 + number), ("laeq", 60.0), ("laeq_day", 55.0), ("wind_direction", 358.0)):
            await world.connection.execute(
                "INSERT INTO device_statistic (device_id, period, metric, time, mean, minimum, quality)"
                " VALUES (%s, 'hour', %s, %s, %s, 1, %s)",
                [device, metric, at, mean, "M" if number == 4 else None],
            )
        if number:
            await world.connection.execute(
                "INSERT INTO rollup_dust_1h (device_id, time, messages, expected, pm10_n, pm10_sum, pm10_min, pm10_max,"
                " laeq_n, laeq_pow, laeq_min, laeq_max, wind_direction_n, wind_direction_sin, wind_direction_cos)"
                " VALUES (%s, %s, 360, 360, %s, %s, 80, 90, 360, 360 * 10^6.15, 50, 70,"
                " 360, 360 * sind(2), 360 * cosd(2))",
                [device, at, 180 if number == 3 else 360, (180 if number == 3 else 360) * (101 if number == 1 else 90)],
            )
    return world


async def ask(client: httpx.AsyncClient, world: World, **query: Any) -> dict[str, Any]:
    answer = await client.get(f"/api/v1/devices/{world.ids['dust-north']}/statistics", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_station_s_values_stand_beside_ours(log_in: LogIn, hours: World) -> None:
    client = await log_in("officer")
    items = (await ask(client, hours, period="hour", metric="pm10"))["items"]
    assert [(item["mean"], item["deviation"], item["deviates"]) for item in items] == [
        (104, 14, None),  # the station says maintenance
        (103, 13, None),  # half of our readings
        (102, 12, True),
        (101, 0, False),
        (100, None, None),  # nothing of ours
    ]
    assert items[2]["ours"] == {"mean": 90, "minimum": 80, "maximum": 90, "valid": 1}
    assert items[1]["ours"]["valid"] == 0.5
    (noise,) = (await ask(client, hours, period="hour", metric="laeq"))["items"][2:3]
    assert (round(noise["deviation"], 6), noise["deviates"]) == (-1.5, True)
    (wind,) = (await ask(client, hours, period="hour", metric="wind_direction"))["items"][2:3]
    assert (round(wind["deviation"], 3), wind["deviates"], wind["ours"]["minimum"]) == (-4, False, None)
    (other,) = (await ask(client, hours, period="hour", metric="laeq_day"))["items"][2:3]
    assert (other["mean"], other["ours"], other["deviation"]) == (55, None, None)
    assert (await ask(client, hours, period="minute"))["items"] == []


async def test_pages_hold_everything_once(log_in: LogIn, hours: World) -> None:
    client = await log_in("officer")
    whole = (await ask(client, hours, period="hour"))["items"]
    keys = [(item["time"], item["metric"]) for item in whole]
    assert len(keys) == 20
    assert keys == sorted(keys, key=lambda key: (-key[0], key[1]))
    for limit in (1, 3, 7):
        found, query = [], {"period": "hour", "limit": limit}
        while True:
            page = await ask(client, hours, **query)
            found += page["items"]
            if page["next"] is None:
                break
            query["cursor"] = page["next"]
        assert found == whole


async def test_a_day_is_the_site_s(log_in: LogIn, world: World, clock: FakeClock) -> None:
    await tables.maintain(world.connection, load_profiles(), clock.now())
    device = world.ids["dust-north"]
    midnight = datetime(world.now.year, world.now.month, world.now.day, tzinfo=UTC) - timedelta(days=2, hours=8)
    await world.connection.execute(
        "INSERT INTO device_statistic (device_id, period, metric, time, mean) VALUES (%s, 'day', 'pm10', %s, 95)",
        [device, midnight + timedelta(minutes=5)],  # a station that stamps a little late
    )
    await world.connection.execute(
        "INSERT INTO rollup_dust_1d (device_id, day, time, messages, expected, pm10_n, pm10_sum)"
        " VALUES (%s, %s, %s, 8640, 8640, 8640, 8640 * 100)",
        [device, (midnight + timedelta(hours=8)).date(), midnight],
    )
    (item,) = (await ask(await log_in("officer"), world, period="day"))["items"]
    assert (item["ours"]["mean"], item["deviation"], item["deviates"]) == (100, -5, False)


async def test_a_senseless_question_is_told(log_in: LogIn, world: World) -> None:
    client = await log_in("officer")
    for query in (
        {},
        {"period": "week"},
        {"period": "day", "cursor": "nonsense"},
        {"period": "day", "cursor": "MS4A"},
        {"period": "day", "metric": "a\0b"},
        {"period": "day", "start": 2_000_000_000_000, "end": 1_900_000_000_000},
    ):
        answer = await client.get(f"/api/v1/devices/{world.ids['dust-north']}/statistics", params=query)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_input"), query


async def test_a_device_says_whether_it_computes(log_in: LogIn, hours: World) -> None:
    crane, dust = (await (await log_in("officer")).get("/api/v1/devices")).json()["items"]
    assert (crane["computes"], dust["computes"]) == (False, True)
