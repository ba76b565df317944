"""Kind tables on a real PostgreSQL: made, widened, cut into weeks, never silently wrong."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import psycopg
import pytest

from core.database import connect
from core.errors import ConfigurationError, Unavailable
from core.settings import Settings
from sensors.profiles import Channel, Profile, load_profiles
from sensors.tables import Retention, accepted_span, maintain, reconcile, week_of

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


def small(*channels: Channel) -> dict[str, Profile]:
    profile = Profile(kind="gauge", name="测点", name_en="Gauge", channels=channels)
    return {profile.kind: profile}


def channel(name: str, type_: str = "real") -> Channel:
    return msgspec.convert({"name": name, "type": type_, "unit": "mm", "label": name, "label_en": name}, Channel)


async def partitions(connection: psycopg.AsyncConnection, table: str) -> list[str]:
    rows = await (
        await connection.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass ORDER BY 1", [table]
        )
    ).fetchall()
    return [name for (name,) in rows]


async def hypertables(connection: psycopg.AsyncConnection) -> bool:
    cursor = await connection.execute("SELECT FROM pg_extension WHERE extname = 'timescaledb'")
    return await cursor.fetchone() is not None


async def test_every_kind_has_its_columns(settings: Settings) -> None:
    async with await connect(settings.database, application="test") as connection:
        for profile in load_profiles().values():
            row = await connection.execute(f"SELECT * FROM {profile.table}")
            names = {column.name for column in row.description or ()}
            wanted = {"device_id", "time", "flags"}
            for item in profile.channels:
                wanted |= {item.name, f"{item.name}_q"}
            assert names == wanted


async def test_reconcile_again_changes_nothing(settings: Settings) -> None:
    async with await connect(settings.database, application="test") as connection:
        assert await reconcile(connection, load_profiles()) == []


async def test_a_new_channel_is_added_and_rows_stay(settings: Settings) -> None:
    async with await connect(settings.database, application="test") as connection:
        made = await reconcile(connection, small(channel("settlement")), now=NOW)
        assert [line for line in made if line.startswith("made table")] == [
            "made table reading_gauge",
            *(f"made table rollup_gauge_{width}" for width in ("1m", "15m", "1h", "1d")),
        ]
        await connection.execute(
            "INSERT INTO reading_gauge (device_id, time, flags, settlement) VALUES (1, %s, 0, 2.5)", [NOW]
        )
        wider = small(channel("settlement"), channel("cycles", "bigint"))
        assert await reconcile(connection, wider, now=NOW) == [
            "added reading_gauge.cycles",
            "added reading_gauge.cycles_q",
            *(
                f"added rollup_gauge_{width}.cycles_{what}"
                for width in ("1m", "15m", "1h", "1d")
                for what in ("n", "sum", "min", "max")
            ),
        ]
        row = await (await connection.execute("SELECT settlement, cycles, cycles_q FROM reading_gauge")).fetchone()
        assert row == (2.5, None, None)


async def test_a_dropped_channel_keeps_its_column(settings: Settings) -> None:
    async with await connect(settings.database, application="test") as connection:
        await reconcile(connection, small(channel("a"), channel("b")), now=NOW)
        assert await reconcile(connection, small(channel("a")), now=NOW) == []
        await connection.execute("SELECT b FROM reading_gauge")


async def test_a_changed_type_is_refused(settings: Settings) -> None:
    async with await connect(settings.database, application="test") as connection:
        await reconcile(connection, small(channel("a")), now=NOW)
        with pytest.raises(ConfigurationError, match=r"reading_gauge\.a holds real"):
            await reconcile(connection, small(channel("a", "bigint")), now=NOW)


async def test_weeks_cover_the_span_and_old_ones_go(settings: Settings) -> None:
    profiles = small(channel("a"))
    async with await connect(settings.database, application="test") as connection:
        if await hypertables(connection):
            pytest.skip("TimescaleDB cuts its tables itself")
        await reconcile(connection, profiles, now=NOW)
        start, end = accepted_span(NOW)
        assert start <= NOW - timedelta(days=35)
        assert end > NOW + timedelta(weeks=4)
        names = await partitions(connection, "reading_gauge")
        assert len(names) == (end - start) // timedelta(weeks=1)
        for inside in (start, end - timedelta(microseconds=1)):
            await connection.execute("INSERT INTO reading_gauge (device_id, time, flags) VALUES (1, %s, 0)", [inside])
        for outside in (start - timedelta(microseconds=1), end):
            with pytest.raises(psycopg.errors.CheckViolation):
                await connection.execute(
                    "INSERT INTO reading_gauge (device_id, time, flags) VALUES (1, %s, 0)", [outside]
                )

        later = NOW + timedelta(weeks=3)
        await maintain(connection, profiles, later, Retention(readings=timedelta(weeks=2)))
        names = await partitions(connection, "reading_gauge")
        first = accepted_span(later)[0]
        assert names[0] == f"reading_gauge_{first:%Y%m%d}", "what is accepted is never younger than what is kept"


@pytest.mark.needs("timescaledb")
async def test_a_hypertable_keeps_what_is_young(settings: Settings) -> None:
    profiles = small(channel("a"))
    async with await connect(settings.database, application="test") as connection:
        await reconcile(connection, profiles, now=NOW)
        assert await hypertables(connection)
        for age in (timedelta(weeks=9), timedelta(0)):
            await connection.execute(
                "INSERT INTO reading_gauge (device_id, time, flags) VALUES (1, %s, 0)", [NOW - age]
            )
        await maintain(connection, profiles, NOW, Retention(readings=timedelta(weeks=2)))
        rows = await (await connection.execute("SELECT time FROM reading_gauge")).fetchall()
        assert rows == [(NOW,)]


async def test_two_processes_may_reconcile_at_once(settings: Settings) -> None:
    async with (
        await connect(settings.database, application="one") as one,
        await connect(settings.database, application="two") as two,
    ):
        done = await asyncio.gather(*(reconcile(each, small(channel("a")), now=NOW) for each in (one, two)))
        made = [line for lines in done for line in lines if line.startswith("made table")]
        assert len(made) == len(set(made)) == 5


async def test_a_locked_table_is_tried_again(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sensors.tables._LOCK_TIMEOUT", "50ms")
    async with (
        await connect(settings.database, application="holder") as holder,
        await connect(settings.database, application="migrate") as other,
    ):
        await reconcile(other, small(channel("a")), now=NOW)

        locked = asyncio.Event()

        async def hold() -> None:
            async with holder.transaction():
                await holder.execute("LOCK TABLE reading_gauge IN SHARE MODE")
                locked.set()
                await asyncio.sleep(0.3)

        holding = asyncio.create_task(hold())
        await locked.wait()
        assert "added reading_gauge.b" in await reconcile(other, small(channel("a"), channel("b")), now=NOW)
        await holding


async def test_a_table_locked_for_long_is_reported(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sensors.tables._LOCK_TIMEOUT", "50ms")
    async with (
        await connect(settings.database, application="holder") as holder,
        await connect(settings.database, application="migrate") as other,
    ):
        await reconcile(other, small(channel("a")), now=NOW)
        async with holder.transaction():
            await holder.execute("LOCK TABLE reading_gauge IN SHARE MODE")
            with pytest.raises(Unavailable, match="reading_gauge"):
                await reconcile(other, small(channel("a"), channel("b")), now=NOW)


def test_weeks_begin_on_monday() -> None:
    assert week_of(NOW) == datetime(2026, 3, 2, tzinfo=UTC)
    assert week_of(datetime(2026, 3, 2, tzinfo=UTC)) == datetime(2026, 3, 2, tzinfo=UTC)
    assert week_of(datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC)) == datetime(2026, 2, 23, tzinfo=UTC)
