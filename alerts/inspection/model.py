"""An inspection: its states, its row, and what it consists of.

open -> finished, or cancelled. While it is open its inspector, and nobody else, judges items, takes and marks pictures,
and files findings; a finished one is a record, and its report is signed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import msgspec
import psycopg
from psycopg.rows import dict_row

from core.errors import NotFound
from core.sql import queries

State = Literal["open", "finished", "cancelled"]
Result = Literal["open", "pass", "fail", "not_applicable"]

_SQL = queries(__package__)


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `inspection`. Times are UTC aware; `version` grows with every step."""

    id: int
    number: str
    site_id: int
    checklist: str
    name: str
    name_en: str
    state: State
    version: int
    begun_at: datetime
    begun_by: str
    ended_at: datetime | None
    conclusion: str
    report_sha256: str | None


@dataclass(frozen=True, slots=True)
class Contents:
    """What an inspection consists of, as rows."""

    items: list[dict[str, Any]]
    looks: list[dict[str, Any]]
    pictures: list[dict[str, Any]]
    findings: list[dict[str, Any]]


async def lock(connection: psycopg.AsyncConnection[Any], inspection_id: int) -> Inspection:
    """The inspection, whose row is locked until the caller's transaction ends.

    Raises:
        NotFound: there is no such inspection.
    """
    found = await _rows(connection, "lock", inspection_id)
    if not found:
        raise NotFound(f"there is no inspection {inspection_id}")
    return Inspection(**found[0])


async def contents(connection: psycopg.AsyncConnection[Any], inspection_id: int) -> Contents:
    """Items, cameras that were looked through, pictures and findings, each in its order."""
    return Contents(
        items=await _rows(connection, "items", inspection_id),
        looks=await _rows(connection, "looks", inspection_id),
        pictures=await _rows(connection, "pictures", inspection_id),
        findings=await _rows(connection, "findings", inspection_id),
    )


async def _rows(connection: psycopg.AsyncConnection[Any], name: str, inspection_id: int) -> list[dict[str, Any]]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL[name], {"id": inspection_id})
        return await cursor.fetchall()
