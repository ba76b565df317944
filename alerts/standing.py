"""How each target stands, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import class_row

from core.sql import queries

_SQL = queries("alerts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A target's switch, circuit and clock.

    `off_since` is set while a person has it switched off (`switched_by`: who used the switch last; the name of one who
    is gone is the code), `opened_at` while it does not answer; `skew_s` is its clock minus ours.
    """

    target: str
    failures: int
    opened_at: datetime | None
    paused_until: datetime | None
    reason: str
    skew_s: float | None
    skew_at: datetime | None
    off_since: datetime | None
    switched_by: str
    switched_by_name: str
    switched_by_name_en: str
    switch_reason: str
    failed_at: datetime | None
    failed_reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What waits for a target (`oldest`: since when), what waits for a person, and when it last took something."""

    target: str
    accepted_at: datetime | None
    pending: int
    oldest: datetime | None
    stopped: int


async def standing(connection: psycopg.AsyncConnection[Any]) -> list[Standing]:
    """Every target that was ever called, by name."""
    async with connection.cursor(row_factory=class_row(Standing)) as cursor:
        await cursor.execute(_SQL["targets_seen"])
        return await cursor.fetchall()


async def backlogs(connection: psycopg.AsyncConnection[Any], targets: Sequence[str]) -> dict[str, Backlog]:
    """By name, for each of the targets."""
    async with connection.cursor(row_factory=class_row(Backlog)) as cursor:
        await cursor.execute(_SQL["targets_counted"], {"targets": list(targets)})
        return {found.target: found for found in await cursor.fetchall()}
