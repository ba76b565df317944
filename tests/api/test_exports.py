"""A device's history as a file: scope, audit, both formats, no more than a few at a time."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

import httpx
import pytest
from pyarrow import parquet

from api import exports
from core.settings import Settings
from sensors import tables
from sensors.profiles import load_profiles
from tests.api.conftest import LogIn
from tests.api.world import World
from tests.support.clock import FakeClock


@pytest.fixture
async def readings(world: World, clock: FakeClock) -> World:
    await tables.maintain(world.connection, load_profiles(), clock.now())
    for number in range(3):
        await world.reading("dust-north", ago_s=30 - 10 * number, pm10=number + 0.5)
        await world.reading("dust-south", ago_s=30 - 10 * number, pm10=99)
    await world.reading("dust-north", ago_s=2 * 86400, pm10=7)
    return world


async def ask(client: httpx.AsyncClient, world: World, **query: Any) -> httpx.Response:
    return await client.get(f"/api/v1/devices/{world.ids['dust-north']}/export", params=query)


async def test_a_device_s_last_day_as_csv(log_in: LogIn, readings: World) -> None:
    answer = await ask(await log_in("officer"), readings)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith('attachment; filename="north-dust-north-')
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["site"], row["pm10"]) for row in rows] == [("north", "0.5"), ("north", "1.5"), ("north", "2.5")]
    found = await (
        await readings.connection.execute(
            "SELECT actor, action, object, detail ->> 'format' FROM audit WHERE action LIKE 'device.%'"
        )
    ).fetchall()
    assert found == [("code-officer", "device.export", f"device:{readings.ids['dust-north']}", "csv")]


async def test_a_span_of_it_as_parquet(log_in: LogIn, readings: World) -> None:
    start = int((readings.now - timedelta(days=3)).timestamp() * 1000)
    answer = await ask(await log_in("officer"), readings, format="parquet", start=start)
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    assert parquet.read_table(io.BytesIO(answer.content)).to_pydict()["pm10"] == [7, 0.5, 1.5, 2.5]


async def test_what_makes_no_file_is_told_and_not_audited(log_in: LogIn, readings: World) -> None:
    client = await log_in("officer")
    for query in ({"format": "xlsx"}, {"resolution": "2m"}, {"start": 2_000_000_000_000, "end": 1_900_000_000_000}):
        answer = await ask(client, readings, **query)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_input")
    foreign = await client.get(f"/api/v1/devices/{readings.ids['dust-south']}/export")
    assert foreign.status_code == 404
    row = await (
        await readings.connection.execute("SELECT count(*) FROM audit WHERE action = 'device.export'")
    ).fetchone()
    assert row == (0,)


async def test_a_few_at_a_time(log_in: LogIn, readings: World, settings: Settings) -> None:
    client = await log_in("officer")
    selection = exports.Selection(
        profile=load_profiles()["dust"], resolution="raw", start=readings.now - timedelta(days=1), end=readings.now
    )
    held = [exports._File(settings.database, selection, "csv") for _ in range(4)]
    answer = await ask(client, readings)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert b"".join(held[0]).count(b"\n") == 7
    assert (await ask(client, readings)).status_code == 200
    # Whoever goes away without reading gives its turn back.
    held.clear()
    assert [(await ask(client, readings)).status_code for _ in range(5)] == [200] * 5
