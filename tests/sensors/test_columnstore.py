"""TimescaleDB: old chunks are columns, and late readings still find their place in them."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from core.database import connect
from core.settings import Settings
from sensors import storage, tables
from sensors.profiles import load_profiles
from sensors.rollup_work import Rollups
from tests.sensors.stored import device, expect_exact, read, store
from tests.support.clock import FakeClock

pytestmark = pytest.mark.needs("timescaledb")
PROFILES = {"dust": load_profiles()["dust"]}
NOW = FakeClock().now()
OLD = NOW - timedelta(days=20)


@pytest.fixture
async def connection(settings: Settings):
    async with await connect(settings.database, application="test") as connection:
        yield connection


async def test_readings_and_minutes_are_columnstores_by_device(connection: psycopg.AsyncConnection) -> None:
    query = (
        "SELECT hypertable::text, segmentby, orderby FROM timescaledb_information.hypertable_columnstore_settings "
        "WHERE hypertable::text LIKE '%dust%' ORDER BY 1"
    )
    rows = await (await connection.execute(query)).fetchall()
    assert rows == [(name, "device_id", '"time" DESC') for name in ("reading_dust", "rollup_dust_1m")]
    jobs = await (
        await connection.execute(
            "SELECT hypertable_name::text, config ->> 'compress_after' FROM timescaledb_information.jobs "
            "WHERE hypertable_name::text LIKE '%dust%' ORDER BY 1"
        )
    ).fetchall()
    assert jobs == [("reading_dust", "7 days"), ("rollup_dust_1m", "7 days")]
    assert await tables.reconcile(connection, PROFILES) == []


async def test_late_readings_go_into_columns(connection: psycopg.AsyncConnection) -> None:
    number = await device(connection)
    rows = [{"time": OLD + timedelta(seconds=30 * n), "pm10": float(n), "laeq": 50.0} for n in range(300)]
    await store(connection, number, rows)
    rollups = Rollups(PROFILES, FakeClock())
    await rollups.run(connection)
    for table in ("reading_dust", "rollup_dust_1m"):
        chunks = await (await connection.execute("SELECT show_chunks(%s)::text", [table])).fetchall()
        for (chunk,) in chunks:
            await connection.execute("CALL convert_to_columnstore(%s::regclass)", [chunk])
    found = {one.resolution: one for one in await storage.stored(connection, PROFILES)}
    assert (found["raw"].columnar, found["1m"].columnar) == (1, 1)

    late = [{"time": OLD + timedelta(seconds=30 * n + 10), "pm10": 7.5, "laeq": 70.0} for n in range(50, 60)]
    await store(connection, number, late)
    with pytest.raises(psycopg.errors.UniqueViolation):
        await store(connection, number, late[:1])
    # A channel that was empty is filled in.
    await connection.execute("UPDATE reading_dust SET tsp = 5 WHERE device_id = %s AND time = %s", [number, OLD])
    await rollups.run(connection)
    await expect_exact(connection)
    assert len(await read(connection, "reading_dust", "time")) == 310
