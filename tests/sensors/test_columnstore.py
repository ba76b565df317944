"""TimescaleDB: old chunks are columns, and late readings still find their place in them."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest
from psycopg import sql

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


async def columns_of(connection: psycopg.AsyncConnection) -> None:
    """Turn all chunks into columns."""
    for table in ("reading_dust", "rollup_dust_1m"):
        for (chunk,) in await (await connection.execute("SELECT show_chunks(%s)::text", [table])).fetchall():
            await connection.execute("CALL convert_to_columnstore(%s::regclass)", [chunk])


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


async def test_the_policy_packs_seven_hours_into_one_value(connection: psycopg.AsyncConnection) -> None:
    number = await device(connection)
    await connection.execute(
        "INSERT INTO reading_dust (device_id, time, flags, pm10) "
        "SELECT %s, moment, 0, 1 FROM generate_series(%s, %s + interval '59999 s', interval '10 s') AS moment",
        [number, OLD, OLD],
    )
    query = "SELECT job_id FROM timescaledb_information.jobs WHERE hypertable_name = 'reading_dust'"
    for (job,) in await (await connection.execute(query)).fetchall():
        # A session of its own, as the server's workers are.
        async with await psycopg.AsyncConnection.connect(connection.info.dsn, autocommit=True) as own:
            await own.execute("CALL run_job(%s)", [job])
    query = "SELECT numrows_pre_compression, numrows_post_compression FROM _timescaledb_catalog.compression_chunk_size"
    assert await (await connection.execute(query)).fetchall() == [(6000, 2)]


async def test_an_own_batch_size_is_left_alone(connection: psycopg.AsyncConnection, settings: Settings) -> None:
    database = sql.Identifier(connection.info.dbname)
    option = sql.SQL("timescaledb.compression_batch_size_limit")
    role = sql.SQL("ALTER ROLE CURRENT_USER IN DATABASE {}").format(database)

    async def reconciled() -> list[str]:
        # What is set counts from the next session on.
        async with await connect(settings.database, application="test") as own:
            return await tables.reconcile(own, PROFILES)

    await connection.execute(sql.SQL("{} RESET {}").format(role, option))
    for whose in (role, sql.SQL("ALTER DATABASE {}").format(database)):
        await connection.execute(sql.SQL("{} SET {} = 2000").format(whose, option))
        assert await reconciled() == []
        await connection.execute(sql.SQL("{} RESET {}").format(whose, option))
    assert await reconciled() == ["TimescaleDB packs columns by 5000 rows"]
    assert await reconciled() == []


async def test_late_readings_go_into_columns(connection: psycopg.AsyncConnection) -> None:
    number = await device(connection)
    rows = [{"time": OLD + timedelta(seconds=30 * n), "pm10": float(n), "laeq": 50.0} for n in range(300)]
    await store(connection, number, rows)
    rollups = Rollups(PROFILES, FakeClock())
    await rollups.run(connection)
    await columns_of(connection)
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


async def test_more_columns_change_than_the_server_would_let(settings: Settings, database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as admin:
        name = sql.Identifier(admin.info.dbname)
        await admin.execute(
            sql.SQL("ALTER DATABASE {} SET timescaledb.max_tuples_decompressed_per_dml_transaction = 10").format(name)
        )
    async with await connect(settings.database, application="test") as connection:
        number = await device(connection)
        rows = [{"time": OLD + timedelta(seconds=30 * n), "pm10": float(n), "laeq": 50.0} for n in range(300)]
        await store(connection, number, rows)
        rollups = Rollups(PROFILES, FakeClock())
        await rollups.run(connection)
        await columns_of(connection)
        await store(
            connection, number, [{"time": OLD + timedelta(seconds=30 * n + 10), "pm10": 7.5} for n in range(300)]
        )
        await connection.execute("UPDATE reading_dust SET tsp = 5 WHERE device_id = %s AND laeq = 50", [number])
        await rollups.run(connection)
        await expect_exact(connection)


async def test_the_policy_makes_columns_and_retention_drops_them(connection: psycopg.AsyncConnection) -> None:
    number = await device(connection)
    for at in (OLD, NOW):
        await store(connection, number, [{"time": at + timedelta(seconds=10 * n), "pm10": 1.0} for n in range(60)])
    await Rollups(PROFILES, FakeClock()).run(connection)
    of_dust = "hypertable_name IN ('reading_dust', 'rollup_dust_1m')"
    query = f"SELECT job_id FROM timescaledb_information.jobs WHERE {of_dust}"
    jobs = await (await connection.execute(query)).fetchall()
    assert len(jobs) == 2
    for (job,) in jobs:
        await connection.execute("CALL run_job(%s)", [job])

    found = await storage.stored(connection, PROFILES)
    assert {one.resolution for one in found if one.columnar} == {"raw", "1m"}
    kept = tables.Retention(readings=timedelta(weeks=2), rollups={"1m": timedelta(weeks=2)})
    await tables.maintain(connection, PROFILES, NOW + timedelta(weeks=8), kept)
    assert await read(connection, "reading_dust", "time") == await read(connection, "rollup_dust_1m", "time") == []
    assert len(await read(connection, "rollup_dust_15m", "time")) == 2
