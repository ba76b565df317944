"""A person's switch of a target: while it is off, nothing is sent and nothing is asked of it; everything waits."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

from alerts.outbox import ring
from core.sql import queries

_SQL = queries("alerts")


async def lock(connection: psycopg.AsyncConnection[Any], target: str) -> None:
    """Let nobody else switch the target until the caller's transaction ends."""
    await connection.execute(_SQL["target_make"], {"target": target})
    await connection.execute(_SQL["target_lock"], {"target": target})


async def switch(
    connection: psycopg.AsyncConnection[Any], target: str, *, on: bool, reason: str, by: str, now: datetime
) -> None:
    """Switch a target on or off, in the caller's transaction. `by` is a person's code.

    Calls under way when it goes off still finish. When it goes on, what waited is due at once, and the time that it was
    off does not count towards `give_up_days`.
    """
    await lock(connection, target)
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["target_read"], {"target": target})
        found = await cursor.fetchone()
        assert found is not None
        off_since = found["off_since"]
        since = None if on else off_since or now
        await cursor.execute(_SQL["target_switch"], {"target": target, "off_since": since, "by": by, "reason": reason})
        if on and off_since is not None:
            await cursor.execute(_SQL["delivery_shift"], {"target": target, "off_since": off_since, "now": now})
            await ring(connection)
