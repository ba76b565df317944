"""What the history takes: size, rows, parts and age of each table of readings and roll-ups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import dict_row

from core.sql import queries
from sensors.profiles import Profile
from sensors.tables import tables_of

SQL = queries(__package__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A table: `parts` are weeks or chunks, of which `columnar` are columns (TimescaleDB); `rows` is an estimate.

    `since` is where dropping by age has come to, None where nothing was dropped yet.
    """

    table: str
    kind: str
    resolution: str
    bytes: int
    rows: int
    parts: int
    columnar: int
    since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuild:
    """A span of a kind's roll-ups that is being computed anew."""

    kind: str
    low: datetime
    high: datetime


async def stored(connection: psycopg.AsyncConnection, profiles: Mapping[str, Profile]) -> list[Stored]:
    """All tables of the kinds, readings first."""
    row = await (await connection.execute(SQL["tables_timescaledb"])).fetchone()
    timescaledb = row is not None and row[0]
    found = []
    async with connection.cursor(row_factory=dict_row) as cursor:
        for profile in profiles.values():
            for table in tables_of(profile):
                name = "storage_parts"
                if timescaledb:
                    is_hypertable = await (
                        await cursor.execute(SQL["storage_is_hypertable"], {"table": table.name})
                    ).fetchone()
                    if is_hypertable and is_hypertable["exists"]:
                        name = "storage_chunks"
                sizes = await (await cursor.execute(SQL[name], {"table": table.name})).fetchone()
                scope = {"kind": table.kind, "resolution": table.resolution}
                since = await (await connection.execute(SQL["storage_since"], scope)).fetchone()
                assert sizes is not None
                found.append(
                    Stored(
                        **sizes,
                        table=table.name,
                        kind=table.kind,
                        resolution=table.resolution,
                        since=None if since is None else since[0],
                    )
                )
    return found


async def rebuilds(connection: psycopg.AsyncConnection) -> list[Rebuild]:
    """What is being computed anew."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        return [Rebuild(**row) for row in await (await cursor.execute(SQL["storage_rebuilds"])).fetchall()]
