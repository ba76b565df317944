"""The sender's side: what waits, who sends it, what arrived."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import psycopg
from psycopg.rows import class_row

from core.sql import queries
from core.workers import BEAT_S
from sensors.commands.model import Command

# A worker that has missed this many beats is taken for gone.
_MISSED = 5
_SQL = queries(__package__)


async def waiting(connection: psycopg.AsyncConnection, *, now: datetime) -> list[tuple[int, int, bool]]:
    """(command, device, whether it was sent before and did not arrive), oldest first."""
    return await (await connection.execute(_SQL["command_waiting"], {"now": now})).fetchall()


async def claim(
    connection: psycopg.AsyncConnection, ids: Sequence[int], again: Sequence[int], *, worker: str, now: datetime
) -> list[Command]:
    """Take commands for sending, in the order of their ids; of `ids` those in `again` even if they were sent before."""
    async with connection.cursor(row_factory=class_row(Command)) as cursor:
        await cursor.execute(
            _SQL["command_claim"], {"ids": list(ids), "again": list(again), "worker": worker, "now": now}
        )
        return sorted(await cursor.fetchall(), key=lambda command: command.id)


async def release(connection: psycopg.AsyncConnection, unsent: Sequence[tuple[int, str]], *, worker: str) -> None:
    """Put back what was claimed and did not come through: (command, why), with an empty reason where that is usual."""
    await connection.execute(
        _SQL["command_release"],
        {"ids": [number for number, _ in unsent], "reasons": [reason for _, reason in unsent], "worker": worker},
    )


async def mark_delivered(connection: psycopg.AsyncConnection, ids: Sequence[int], *, now: datetime) -> None:
    """Note that the device, or its broker, has these."""
    await connection.execute(_SQL["command_delivered"], {"ids": list(ids), "now": now})


async def requeue_abandoned(connection: psycopg.AsyncConnection, *, now: datetime) -> int:
    """Queue what a worker claimed that is gone since; returns how many."""
    alive = now - timedelta(seconds=_MISSED * BEAT_S)
    return (await connection.execute(_SQL["command_abandoned"], {"now": now, "alive": alive})).rowcount
