"""Devices and their readings, put into the database as ingest does."""

from __future__ import annotations

from typing import Any

import numpy as np
import psycopg
import pytest

from core import log
from core.clock import micros
from core.log import Kind, NewEntry, shard_of
from sensors import batch


async def device(connection: psycopg.AsyncConnection, kind: str = "dust", zone: str = "Asia/Shanghai") -> int:
    """A device of a site of its own, one reading in ten seconds."""
    row = await (
        await connection.execute(
            "WITH s AS (INSERT INTO site (code, name, time_zone) "
            "VALUES ('s' || (SELECT count(*) FROM site), 's', %s) RETURNING id) "
            "INSERT INTO device (site_id, code, kind, name, interval_s) "
            "SELECT id, 'd', %s, 'd', 10 FROM s RETURNING id",
            [zone, kind],
        )
    ).fetchone()
    assert row is not None
    return int(row[0])


async def store(
    connection: psycopg.AsyncConnection, number: int, rows: list[dict[str, Any]], kind: str = "dust"
) -> None:
    """Rows of the columns that the first has, and their entry of the log in one transaction, as ingest stores them."""
    async with connection.transaction():
        columns = ", ".join(["device_id", "flags", *rows[0]])
        await connection.cursor().executemany(
            f"INSERT INTO reading_{kind} ({columns}) VALUES (%s, 0{', %s' * len(rows[0])})",
            [[number, *(row.get(name) for name in rows[0])] for row in rows],
        )
        readings = batch.ReadingBatch(
            kind=kind,
            device=np.full(len(rows), number, np.int32),
            site=np.full(len(rows), 1, np.int32),
            time=np.array([micros(row["time"]) for row in rows], np.int64),
            values={},
            quality={},
            flags=np.zeros(len(rows), np.uint8),
            arrived=0,
        )
        await log.append(connection, "ingest-1", [NewEntry(shard_of(1), Kind.READINGS, batch.encode([readings]))])


async def read(connection: psycopg.AsyncConnection, table: str, *columns: str) -> list[tuple[Any, ...]]:
    return await (
        await connection.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY device_id, time")
    ).fetchall()


async def expect_exact(connection: psycopg.AsyncConnection, zone: str = "Asia/Shanghai") -> None:
    """Every roll-up of dust is what grouping all readings gives."""
    for name, bucket in (
        ("1m", "date_bin('1 min', time, '2000-01-01 00:00+00')"),
        ("15m", "date_bin('15 min', time, '2000-01-01 00:00+00')"),
        ("1h", "date_bin('1 h', time, '2000-01-01 00:00+00')"),
        ("1d", f"(time AT TIME ZONE '{zone}')::date"),
    ):
        good = "FILTER (WHERE {}_q IS NULL)"
        wanted = await (
            await connection.execute(
                f"SELECT device_id, {bucket} AS b, count(*), count(pm10) {good.format('pm10')}, "
                f"sum(pm10::float8) {good.format('pm10')}, min(pm10) {good.format('pm10')}, "
                f"max(pm10) {good.format('pm10')}, count(laeq) {good.format('laeq')}, "
                f"sum(power(10, laeq::float8 / 10)) {good.format('laeq')} "
                "FROM reading_dust GROUP BY 1, 2 ORDER BY 1, 2"
            )
        ).fetchall()
        found = await read(
            connection, f"rollup_dust_{name}", "device_id", "day" if name == "1d" else "time", "messages",
            "pm10_n", "pm10_sum", "pm10_min", "pm10_max", "laeq_n", "laeq_pow",
        )  # fmt: skip
        assert len(found) == len(wanted) > 0, name
        for have, want in zip(found, wanted, strict=True):
            assert have[:4] + have[5:8] == want[:4] + want[5:8], name
            for place in (4, 8):  # sums, in another order
                assert (have[place] is None) == (want[place] is None), name
                assert have[place] is None or have[place] == pytest.approx(want[place], rel=1e-12), name
