"""How devices stand with their linkages, for people to see, and their word about it: take over, give back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

from core.sql import queries

_SQL = queries(__package__)


async def take_over(
    connection: psycopg.AsyncConnection, device: int, *, by: str, at: datetime, until: datetime
) -> None:
    """Linkages keep their hands off the device until a time; `until` = `at` gives it back to them."""
    await connection.execute(_SQL["linkage_take_over"], {"device": device, "by": by, "at": at, "until": until})


async def standing(
    connection: psycopg.AsyncConnection, devices: Sequence[int], *, now: datetime
) -> dict[int, dict[str, Any]]:
    """By device the columns of `linkage_device` that people care for (NULL where nothing is held) and its override."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["linkage_standing"], {"devices": list(devices), "now": now})
        return {row.pop("device_id"): row for row in await cursor.fetchall()}


async def decisions(connection: psycopg.AsyncConnection, devices: Sequence[int], *, limit: int) -> list[dict[str, Any]]:
    """What was decided about devices, newest first."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["linkage_decisions"], {"devices": list(devices), "limit": limit})
        return await cursor.fetchall()
