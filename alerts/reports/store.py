"""Stored reports, read again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import psycopg
from psycopg.rows import dict_row

from alerts.reports.model import Figures, Report
from core.sql import queries

_SQL = queries(__package__)


async def load_many(connection: psycopg.AsyncConnection[Any], ids: Sequence[int]) -> list[Report]:
    """The reports of these ids that exist."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["by_id"], {"ids": list(ids)})
        return [of_row(row) for row in await cursor.fetchall()]


def of_row(row: dict[str, Any]) -> Report:
    """A report from its row."""
    return Report(**{**row, "figures": msgspec.convert(row["figures"], Figures)})
