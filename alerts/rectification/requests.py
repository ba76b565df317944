"""Writes that may come twice: done once, however often they are sent under the key that their caller chose."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import psycopg

from core.errors import Conflict
from core.sql import queries

_SQL = queries(__package__)
_KEPT = timedelta(days=14)


async def done_before(
    connection: psycopg.AsyncConnection[Any], actor: str, key: str, asked: Mapping[str, Any], *, at: datetime
) -> int | None:
    """The order of a write that was done under this key; None: it is new, and noted in the caller's transaction.

    Raises:
        Conflict: under this key something else was asked for.
    """
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()
    wanted = {"actor": actor, "key": key, "digest": digest, "now": at}
    if await (await connection.execute(_SQL["request_put"], wanted)).fetchone() is not None:
        return None
    row = await (await connection.execute(_SQL["request_get"], wanted)).fetchone()
    if row is None or row[0] != digest or row[1] is None:
        raise Conflict("the idempotency key was used for something else", hint="choose a new key for a new request")
    return int(row[1])


async def note(connection: psycopg.AsyncConnection[Any], actor: str, key: str, order_id: int) -> None:
    """Remember which order the write was about."""
    await connection.execute(_SQL["request_done"], {"actor": actor, "key": key, "id": order_id})


async def forget_old(connection: psycopg.AsyncConnection[Any], *, now: datetime) -> None:
    """Drop keys that nobody will send again."""
    await connection.execute(_SQL["old_requests"], {"before": now - _KEPT})
