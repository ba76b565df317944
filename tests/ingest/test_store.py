"""One batch, one transaction: what lies in the tables, the log and the counts afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import errors as pg

from core.clock import from_micros
from core.database import connect
from core.settings import DatabaseSettings
from ingest.message import CONNECTED, DISCONNECTED, Leaf, Message
from ingest.prepare import Prepared, Preparer
from ingest.rows import Rows, copy_bytes, copy_columns
from ingest.store import Outcome, Seen, Store
from sensors.batch import ReadingBatch, decode
from sensors.entries import decode as decode_entry
from tests.ingest.messages import NOW, PROFILES, device, message
from tests.ingest.plant import furnish

MS = NOW // 1000


class Bench:
    """A store on a fresh database, fed by hand."""

    def __init__(self, connection: psycopg.AsyncConnection) -> None:
        self.connection = connection
        self.preparer = Preparer(PROFILES, max_age=timedelta(days=30), max_ahead=timedelta(minutes=5))
        self.number = 0

    async def write(self, *messages: Message, worker: str = "1", keep: int = 1000) -> Outcome:
        """Write as the writer does: straight, and with a comparison where a row is there."""
        prepared = self.preparer.prepare(messages)
        self.number += 1
        store = Store(worker=worker, quarantine_rows=keep)
        try:
            return await store.write(self.connection, prepared, number=self.number, seen={}, merge=False)
        except pg.UniqueViolation:
            return await store.write(self.connection, prepared, number=self.number, seen={}, merge=True)

    async def heard(self, seen: Seen) -> None:
        """Write nothing but when devices were heard."""
        store = Store(worker="1", quarantine_rows=1)
        await store.write(self.connection, Prepared(()), number=self.number, seen=seen, merge=False)

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        return await (await self.connection.execute(query)).fetchall()  # type: ignore[arg-type]

    async def logged(self) -> list[ReadingBatch]:
        """All readings of the log, oldest first."""
        rows = await self.rows("SELECT payload FROM log_entry WHERE kind = 1 ORDER BY shard, sequence")
        return [batch for (payload,) in rows for batch in decode(payload)]


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    await furnish(database_url)
    # Partitions of the test's tables are made for the time of the tests' own messages.
    async with await connect(DatabaseSettings(url=database_url), application="test") as connection:
        from sensors.tables import maintain

        await maintain(connection, PROFILES, from_micros(NOW))
        yield Bench(connection)


def reading(values: dict[str, Any], *, ts: int = MS, flags: dict[str, str] | None = None, **fields: Any) -> Message:
    return message({"ts": ts, "values": values, "flags": flags or {}}, **fields)


async def test_a_row_its_count_and_its_log_entry(bench: Bench) -> None:
    outcome = await bench.write(reading({"pm10": 152.3, "laeq": 63.2}, flags={"laeq": "M"}))
    assert (outcome.messages, outcome.stored) == (1, 1)
    rows = await bench.rows("SELECT device_id, time, flags, pm10, pm10_q, laeq, laeq_q, tsp, tsp_q FROM reading_dust")
    (row,) = rows
    assert row[:3] == (1, from_micros(NOW), 0)
    assert row[3] == pytest.approx(152.3)
    assert row[4:] == (None, pytest.approx(63.2), "M", None, None)
    (batch,) = await bench.logged()
    assert (batch.kind, batch.device.tolist(), batch.time.tolist(), batch.arrived) == ("dust", [1], [NOW], NOW)
    assert batch.values["pm10"].tolist() == [152.3]
    assert chr(batch.quality["laeq"][0]) == "M"
    assert batch.quality["tsp"].tolist() == [0]
    assert await bench.rows("SELECT worker, messages, stored, batch FROM ingest_count") == [("1", 1, 1, 1)]


async def test_the_same_again_is_a_duplicate_and_not_logged(bench: Bench) -> None:
    await bench.write(reading({"pm10": 152.3}))
    outcome = await bench.write(reading({"pm10": 152.3}), reading({"pm10": 7}, ts=MS + 1))
    assert (outcome.stored, outcome.duplicates, outcome.filled, outcome.quarantined) == (1, 1, 0, 0)
    assert [batch.time.tolist() for batch in await bench.logged()] == [[NOW], [NOW + 1000]]


async def test_an_empty_channel_is_filled_and_only_it_is_logged(bench: Bench) -> None:
    await bench.write(reading({"pm10": 1, "tsp": 9}, flags={"laeq": "D"}))
    outcome = await bench.write(reading({"pm10": 1, "pm2_5": 2, "laeq": 55, "humidity": 200}))
    assert (outcome.stored, outcome.duplicates, outcome.filled, outcome.quarantined) == (0, 0, 1, 0)
    (row,) = await bench.rows("SELECT pm10, pm2_5, tsp, laeq, laeq_q, humidity, humidity_q FROM reading_dust")
    assert row == (1, 2, 9, 55, None, 200, "T")
    _, fill = await bench.logged()
    assert {name for name, quality in fill.quality.items() if quality[0]} == {"pm2_5", "laeq", "humidity"}
    assert np.isnan(fill.values["pm10"][0])


async def test_a_different_value_keeps_the_first_and_is_set_aside(bench: Bench) -> None:
    await bench.write(reading({"pm10": 1}))
    outcome = await bench.write(reading({"pm10": 2, "tsp": 3}))
    assert (outcome.stored, outcome.duplicates, outcome.filled, outcome.quarantined) == (0, 0, 0, 1)
    assert await bench.rows("SELECT pm10, tsp FROM reading_dust") == [(1, 3)]
    ((reason, detail, payload),) = await bench.rows("SELECT reason, detail, payload FROM quarantine")
    assert reason == "conflict"
    assert "2026-08-06T" in detail
    assert b'"pm10": 2' in payload


async def test_the_same_reading_twice_in_a_batch(bench: Bench) -> None:
    outcome = await bench.write(reading({"pm10": 1}), reading({"pm10": 1}), reading({"tsp": 2}), reading({"tsp": 3}))
    assert (outcome.stored, outcome.duplicates, outcome.filled, outcome.quarantined) == (1, 1, 1, 1)
    assert await bench.rows("SELECT pm10, tsp FROM reading_dust") == [(1, 2)]
    (batch,) = await bench.logged()
    assert (batch.values["pm10"].tolist(), batch.values["tsp"].tolist()) == ([1], [2])


async def test_kinds_and_shards_in_one_batch(bench: Bench) -> None:
    hoist = device(4, kind="hoist")
    await bench.write(
        reading({"pm10": 1}),
        reading({"load": 2.5, "persons": 4, "door": 1}, of=hoist),
        reading({"pm10": 3}, of=device(5, site=2)),
    )
    assert await bench.rows("SELECT load, persons FROM reading_hoist") == [(2.5, 4)]
    found = await bench.rows("SELECT shard, sequence FROM log_entry ORDER BY shard")
    assert found == [(1, 1), (2, 1)]
    assert [(batch.kind, batch.site.tolist()) for batch in await bench.logged()] == [
        ("dust", [1]),
        ("hoist", [1]),
        ("dust", [2]),
    ]


async def test_unknown_metrics(bench: Bench) -> None:
    for _ in range(2):
        await bench.write(reading({"radon": 1.5}), reading({"radon": 1.5}))
    assert await bench.rows("SELECT device_id, metric, time, value FROM reading_unknown") == [
        (1, "radon", from_micros(NOW), 1.5)
    ]
    assert await bench.rows("SELECT count(*) FROM reading_dust") == [(0,)]


async def test_rows_of_the_quarantine_are_capped_and_counts_are_not(bench: Bench) -> None:
    for start in range(0, 30, 10):
        await bench.write(*[message(f"bad {n}".encode()) for n in range(start, start + 10)], keep=12)
    rows = await bench.rows("SELECT convert_from(payload, 'UTF8') FROM quarantine ORDER BY id")
    assert [payload for (payload,) in rows] == [f"bad {n}" for n in range(18, 30)]
    assert await bench.rows("SELECT device_id, reason, count FROM quarantine_count") == [(1, "malformed", 30)]
    await bench.write(*[message(b"x" * 5000 + b"\0") for _ in range(20)], keep=12)
    assert await bench.rows("SELECT DISTINCT length(payload), payload_bytes FROM quarantine") == [(4096, 5001)]
    assert await bench.rows("SELECT count(*) FROM quarantine") == [(12,)]


async def test_presence_is_logged_when_it_changes(bench: Bench) -> None:
    def word(payload: bytes, at: int) -> Message:
        return message(payload, leaf=Leaf.PRESENCE, arrived=NOW + at)

    for payload, at in [(CONNECTED, 0), (CONNECTED, 1), (DISCONNECTED, 2)]:
        await bench.write(word(payload, at))
    entries = [decode_entry(payload) for (payload,) in await bench.rows("SELECT payload FROM log_entry")]
    assert [(entry.event, entry.time - NOW) for entry in entries] == [("connected", 0), ("disconnected", 2)]  # type: ignore[union-attr]
    assert await bench.rows("SELECT device_id, last_time, connected FROM device_seen") == [(1, None, False)]


async def test_last_seen_never_goes_back(bench: Bench) -> None:
    await bench.heard({1: (NOW, NOW + 5), 2: (NOW, NOW), 99: (NOW, NOW)})
    await bench.heard({1: (NOW - 10, NOW + 9)})
    rows = await bench.rows("SELECT device_id, last_time, last_seen_at FROM device_seen ORDER BY device_id")
    assert rows == [(1, from_micros(NOW), from_micros(NOW + 9)), (2, from_micros(NOW), from_micros(NOW))]


async def test_a_batch_that_fails_leaves_nothing(bench: Bench) -> None:
    await bench.connection.execute("DROP TABLE log_entry")
    with pytest.raises(pg.UndefinedTable):
        await bench.write(reading({"pm10": 1}), message(b"bad"))
    assert await bench.rows("SELECT count(*) FROM reading_dust") == [(0,)]
    assert await bench.rows("SELECT count(*) FROM quarantine") == [(0,)]
    assert await bench.rows("SELECT count(*) FROM ingest_count") == [(0,)]


def rows_of(kind: str, cells: Sequence[Sequence[tuple[float, int]]]) -> Rows:
    count = len(cells)
    return Rows(
        profile=PROFILES[kind],
        device=np.arange(count, dtype=np.int32),
        site=np.ones(count, dtype=np.int32),
        time=np.full(count, NOW, dtype=np.int64) - np.arange(count),
        flags=(np.arange(count) % 8).astype(np.uint8),
        values=np.array([[value for value, _ in row] for row in cells]),
        quality=np.array([[letter for _, letter in row] for row in cells], dtype=np.uint8),
        message=np.zeros(count, dtype=np.int32),
        arrived=np.zeros(count, dtype=np.int64),
    )


NONE = (float("nan"), 0)


def _cells(kind: str) -> st.SearchStrategy[list[list[tuple[float, int]]]]:
    columns = []
    for channel in PROFILES[kind].channels:
        numbers: st.SearchStrategy[float] = {
            "real": st.floats(width=32, allow_nan=False, allow_infinity=False),
            "double": st.floats(allow_nan=False, allow_infinity=False),
            "bigint": st.integers(-(2**53), 2**53).map(float),
            "enum": st.integers(0, max(0, len(channel.symbols) - 1)).map(float),
        }[channel.type]
        columns.append(
            st.just(NONE)
            | st.tuples(numbers, st.sampled_from([ord("N"), ord("T")]))
            | st.just((float("nan"), ord("D")))
        )
    return st.lists(st.tuples(*columns).map(list), min_size=1, max_size=5)


@pytest.mark.parametrize("kind", sorted(PROFILES))
def test_every_column_survives_the_binary_copy(kind: str, database_url: str) -> None:
    names = [channel.name for channel in PROFILES[kind].channels]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"CREATE TEMP TABLE reading_copy (LIKE reading_{kind})")

        @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(_cells(kind))
        def check(cells: list[list[tuple[float, int]]]) -> None:
            rows = rows_of(kind, cells)
            connection.execute("TRUNCATE reading_copy")
            columns = ", ".join(copy_columns(rows.profile))
            with connection.cursor().copy(f"COPY reading_copy ({columns}) FROM STDIN (FORMAT binary)") as copy:
                copy.write(copy_bytes(rows))
            # Read as binary too: text would round `real` to its shortest form.
            found = (
                connection.cursor(binary=True)
                .execute(
                    f"SELECT {columns.replace('time', 'extract(epoch FROM time) * 1000000', 1)}"
                    " FROM reading_copy ORDER BY device_id"
                )
                .fetchall()
            )
            assert [row[:3] for row in found] == [(n, NOW - n, n % 8) for n in range(len(cells))]
            for row, expected in zip(found, cells, strict=True):
                values, letters = row[3 : 3 + len(names)], row[3 + len(names) :]
                assert list(values) == [None if value != value else value for value, _ in expected]
                assert [letter and ord(letter) for letter in letters] == [
                    None if letter == 0 or letter == ord("N") else letter for _, letter in expected
                ]

        check()
