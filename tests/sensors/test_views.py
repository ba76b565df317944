"""Views, export and the account of what is stored."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from core.database import connect, connect_sync
from core.errors import ConfigurationError, NotFound
from core.settings import Settings
from sensors import storage, tables, views
from sensors.export import Selection, export
from sensors.profiles import Channel, Profile, load_profiles
from sensors.rollup_work import Rollups
from tests.sensors.stored import device, store
from tests.support.clock import FakeClock

PROFILES = {"dust": load_profiles()["dust"]}
NOW = FakeClock().now()


@pytest.fixture
async def connection(settings: Settings):
    async with await connect(settings.database, application="test") as connection:
        await tables.maintain(connection, PROFILES, NOW)
        number = await device(connection)
        rows = [{"time": NOW + timedelta(seconds=10 * n), "pm10": float(n), "laeq": 60.0} for n in range(6)]
        await store(connection, number, rows)
        await Rollups(PROFILES, FakeClock()).run(connection)
        yield connection


async def test_views_speak_in_codes(connection: psycopg.AsyncConnection) -> None:
    rows = await (await connection.execute("SELECT site, device, time, pm10 FROM report.dust ORDER BY time")).fetchall()
    assert rows[0] == ("s0", "d", NOW, 0.0)
    row = await (
        await connection.execute("SELECT pm10, pm10_min, pm10_max, pm10_valid, laeq FROM report.dust_1m")
    ).fetchone()
    assert row == (2.5, 0.0, 5.0, 1.0, pytest.approx(60.0))
    row = await (await connection.execute("SELECT messages, pm10_valid FROM report.dust_15m")).fetchone()
    assert row == (6, pytest.approx(6 / 90))


async def test_a_reader_sees_the_views_alone(connection: psycopg.AsyncConnection, settings: Settings) -> None:
    page = (Path(__file__).parents[2] / "docs" / "grafana.md").read_text(encoding="utf-8")
    block = re.search(r"```sql\n(CREATE ROLE.*?)```", page, re.DOTALL)
    assert block is not None
    database = connection.info.dbname
    role = f"grafana_{database}"
    script = block[1].replace("grafana", role).replace("DATABASE smartsite", f"DATABASE {database}")
    try:
        for statement in script.split(";"):
            if statement.strip():
                await connection.execute(statement)
        async with connection.transaction():
            await connection.execute(f"SET LOCAL ROLE {role}")
            await connection.execute("SELECT * FROM report.dust")
            await connection.execute("SELECT * FROM report.device")
        for secret in ("device", "person", "reading_dust"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                async with connection.transaction():
                    await connection.execute(f"SET LOCAL ROLE {role}")
                    await connection.execute(f"SELECT * FROM {secret}")
    finally:
        await connection.execute(f"DROP OWNED BY {role}")
        await connection.execute(f"DROP ROLE {role}")


def gauge(*names: str) -> dict[str, Profile]:
    channels = [
        msgspec.convert({"name": n, "type": "real", "unit": "mm", "label": n, "label_en": n}, Channel) for n in names
    ]
    return {"gauge": Profile(kind="gauge", name="测点", name_en="Gauge", channels=tuple(channels))}


async def test_views_follow_the_profiles(settings: Settings) -> None:
    async with await connect(settings.database, application="test") as connection:
        for names, count in ((("a",), 5), (("a",), 0), (("a", "b"), 5), (("b",), 5)):
            await tables.reconcile(connection, gauge(*names), now=NOW)
            done = await views.reconcile(connection, gauge(*names), FakeClock())
            assert len(done) == count
            await connection.execute(f"SELECT {', '.join(names)} FROM report.gauge_1h")
        await connection.execute("CREATE VIEW mine AS SELECT * FROM report.gauge")
        with pytest.raises(ConfigurationError, match="mine"):
            await views.reconcile(connection, gauge("c", "b"), FakeClock())


async def test_export_is_a_csv_file(connection: psycopg.AsyncConnection, settings: Settings) -> None:
    assert connection

    def select(**chosen: Any) -> Selection:
        return Selection(profile=PROFILES["dust"], start=NOW, end=NOW + timedelta(seconds=30), **chosen)

    with connect_sync(settings.database, application="test") as own:
        text = b"".join(export(own, select(resolution="raw", site="s0"))).decode()
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [row["pm10"] for row in rows] == ["0", "1", "2"]
        assert rows[0]["time"] == "2026-08-01 08:00:00+00"
        none = b"".join(export(own, select(resolution="1m", site="other", device="d'"))).decode()
        assert none.startswith("site,")
        assert none.count("\n") == 1
        with pytest.raises(NotFound):
            select(resolution="2m")


async def test_what_is_stored_is_counted(connection: psycopg.AsyncConnection) -> None:
    await connection.execute("ANALYZE reading_dust")
    found = {one.resolution: one for one in await storage.stored(connection, PROFILES)}
    assert set(found) == {"raw", "1m", "15m", "1h", "1d"}
    assert found["raw"].rows == 6
    assert found["raw"].bytes > 0
    assert found["raw"].parts >= 1
    assert (found["15m"].parts, found["15m"].since) == (1, None)
    assert await storage.rebuilds(connection) == []
