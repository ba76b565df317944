"""Devices and their readings, put into the database as ingest does."""

from __future__ import annotations

from typing import Any

import numpy as np
import psycopg

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
