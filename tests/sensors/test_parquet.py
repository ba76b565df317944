"""Parquet files, read back by the library that others read them with."""

from __future__ import annotations

import io
import sys
from datetime import timedelta
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from pyarrow import parquet as files

from core.database import connect, connect_sync
from core.errors import ConfigurationError
from core.settings import Settings
from sensors import parquet, tables
from sensors.export import Selection, export
from sensors.profiles import load_profiles
from sensors.rollup_work import Rollups
from tests.sensors.stored import device, store
from tests.support.clock import FakeClock

PROFILES = {kind: load_profiles()[kind] for kind in ("dust", "hoist")}
NOW = FakeClock().now()
WORDS = pa.dictionary(pa.int32(), pa.string())


@pytest.fixture
async def connection(settings: Settings):
    async with await connect(settings.database, application="test") as connection:
        await tables.maintain(connection, PROFILES, NOW)
        number = await device(connection)
        rows: list[dict[str, Any]] = [
            {"time": NOW + timedelta(seconds=10 * n), "pm10": n + 0.1, "laeq": 60.0, "laeq_q": None} for n in range(5)
        ]
        rows.append({"time": NOW + timedelta(seconds=50), "pm10": None, "laeq": 61.0, "laeq_q": "M"})
        await store(connection, number, rows)
        hoist = await device(connection, "hoist")
        states = [{"time": NOW + timedelta(seconds=n), "persons": n, "door": n} for n in range(3)]
        await store(connection, hoist, states, "hoist")
        await Rollups(PROFILES, FakeClock()).run(connection)
        yield connection


def written(settings: Settings, kind: str, resolution: str = "raw", **chosen: Any) -> files.ParquetFile:
    selection = Selection(
        profile=PROFILES[kind],
        resolution=resolution,
        start=NOW - timedelta(days=1),
        end=NOW + timedelta(days=1),
        **chosen,
    )
    with connect_sync(settings.database, application="test") as own:
        return files.ParquetFile(io.BytesIO(b"".join(export(own, selection, format_="parquet"))))


async def test_readings_come_back_with_their_types(connection: psycopg.AsyncConnection, settings: Settings) -> None:
    file = written(settings, "dust")
    schema = file.schema_arrow
    assert schema.field("time").type == pa.timestamp("us", tz="UTC")
    assert schema.field("pm10").type == pa.float32()
    assert schema.field("pm10").metadata[b"unit"].decode() == "µg/m³"
    assert (schema.field("site").type, schema.field("laeq_q").type) == (WORDS, WORDS)
    assert schema.metadata[b"kind"] == b"dust"
    table = file.read().to_pydict()
    assert table["time"] == [NOW + timedelta(seconds=10 * n) for n in range(6)]
    assert table["pm10"] == [pytest.approx(n + 0.1, rel=1e-6) for n in range(5)] + [None]
    assert table["laeq_q"] == [None] * 5 + ["M"]
    assert set(table["device"]) == {"d"}


async def test_states_are_words_and_counts_whole(connection: psycopg.AsyncConnection, settings: Settings) -> None:
    file = written(settings, "hoist")
    assert (file.schema_arrow.field("persons").type, file.schema_arrow.field("door").type) == (pa.int64(), WORDS)
    table = file.read().to_pydict()
    assert (table["persons"], table["door"]) == ([0, 1, 2], ["closed", "open", "fault"])


async def test_rollups_come_back_too(connection: psycopg.AsyncConnection, settings: Settings) -> None:
    file = written(settings, "dust", "1m")
    fields = {name: file.schema_arrow.field(name).type for name in ("pm10", "pm10_min", "pm10_valid", "messages")}
    assert list(fields.values()) == [pa.float64(), pa.float32(), pa.float64(), pa.int64()]
    table = file.read().to_pydict()
    assert (table["messages"], table["pm10_min"]) == ([6], [pytest.approx(0.1, rel=1e-6)])
    assert written(settings, "hoist", "1d").read().to_pydict()["door"] == ["closed"]
    assert written(settings, "dust", "1h", site="none").read().num_rows == 0


async def test_it_is_written_in_row_groups(
    connection: psycopg.AsyncConnection, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "ROWS", 4)
    monkeypatch.setattr(parquet, "_FETCH", 2)
    file = written(settings, "dust")
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [4, 2]
    selection = Selection(profile=PROFILES["dust"], resolution="raw", start=NOW, end=NOW + timedelta(days=1))
    with connect_sync(settings.database, application="test") as own:
        pieces = list(export(own, selection, format_="parquet"))
    assert len(pieces) == 3  # two row groups and the footer
    assert all(pieces)


async def test_without_pyarrow_it_says_what_to_install(
    connection: psycopg.AsyncConnection, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'smartsite\[parquet\]'"):
        written(settings, "dust")
