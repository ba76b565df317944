"""A command's life beside its sending: requested, replied to, expired, looked at."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from core.sql import queries
from sensors.commands.model import CommandRow, Reply, Requested

CHANNEL = "smartsite_command"
"""Notified, at commit, when there is something to send."""

_SQL = queries(__package__)


async def request(connection: psycopg.AsyncConnection, wanted: Requested, *, now: datetime) -> int:
    """Queue a command in the caller's transaction; returns its id."""
    cursor = await connection.execute(
        _SQL["command_put"],
        {
            "device": wanted.device,
            "name": wanted.name,
            "arguments": Jsonb(wanted.arguments),
            "by": wanted.by,
            "cause": wanted.cause,
            "now": now,
            "expires": wanted.expires_at,
        },
    )
    row = await cursor.fetchone()
    assert row is not None
    await connection.execute(_SQL["command_ring"], {"channel": CHANNEL})
    return int(row[0])


async def settle(
    connection: psycopg.AsyncConnection, replies: Sequence[tuple[int, Reply, int]]
) -> set[tuple[int, int]]:
    """Take in (device, reply, arrival in microseconds); returns (device, command id) of those that belong together."""
    cursor = await connection.execute(
        _SQL["command_settle"],
        {
            "ids": [reply.id for _, reply, _ in replies],
            "devices": [device for device, _, _ in replies],
            "oks": [reply.ok for _, reply, _ in replies],
            "details": [reply.detail for _, reply, _ in replies],
            "ats": [at for _, _, at in replies],
        },
    )
    return {(device, command) for command, device in await cursor.fetchall()}


async def listed(
    connection: psycopg.AsyncConnection, devices: Sequence[int], *, limit: int, before: int | None = None
) -> list[CommandRow]:
    """Commands of devices, at most `limit` of each, newest first; with `before` those older than that id."""
    async with connection.cursor(row_factory=class_row(CommandRow)) as cursor:
        await cursor.execute(_SQL["command_list"], {"devices": list(devices), "limit": limit, "before": before})
        return await cursor.fetchall()


async def expire(connection: psycopg.AsyncConnection, *, now: datetime) -> int:
    """End what was not replied to in time; returns how many."""
    return (await connection.execute(_SQL["command_expire"], {"now": now})).rowcount
