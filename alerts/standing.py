"""How each target stands, for people to look at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import class_row

from core.sql import queries

_SQL = queries("alerts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A target's circuit and clock: `opened_at` is set while it does not answer, `skew_s` is its clock minus ours."""

    target: str
    failures: int
    opened_at: datetime | None
    paused_until: datetime | None
    reason: str
    skew_s: float | None
    skew_at: datetime | None


async def standing(connection: psycopg.AsyncConnection[Any]) -> list[Standing]:
    """Every target that was ever called, by name."""
    async with connection.cursor(row_factory=class_row(Standing)) as cursor:
        await cursor.execute(_SQL["targets_seen"])
        return await cursor.fetchall()
