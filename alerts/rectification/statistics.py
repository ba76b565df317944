"""How orders are dealt with, by site or responsible unit, of those given in a period."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import psycopg
from psycopg.rows import dict_row

from core.sql import queries

_SQL = queries(__package__)


async def count(
    connection: psycopg.AsyncConnection[Any],
    *,
    by: Literal["site", "unit"],
    scope: list[int] | None,
    since: datetime,
    until: datetime,
    now: datetime,
) -> list[dict[str, Any]]:
    """A row a site or unit that has orders; `scope` are the sites that count, None: all."""
    statement = _SQL[f"statistics_by_{by}"].replace("{columns}", _SQL["statistics_columns"])
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement.encode(), {"sites": scope, "since": since, "until": until, "now": now})
        return await cursor.fetchall()
