"""The audit log: every action of a person as a row of a hash chain.

hash = SHA-256(previous hash + canonical JSON of the row), so that a row changed, removed or slipped in later shows.
"""

from __future__ import annotations

import hashlib
import json
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from core.clock import micros
from core.sql import queries

SQL = queries("api")
_LOCK = 0x5317E0A2
# From here on a float's shortest form has an exponent, which jsonb writes out as a whole number.
_EXPONENT_FROM = 1e16
_GENESIS = "0" * 64
TOKEN: ContextVar[int | None] = ContextVar("token", default=None)
"""The machine's token that the request came with: what is done with it is told from what its owner does."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` found: rows looked at, the head's hash, and the first broken row or None."""

    rows: int
    head: str
    broken_at: int | None


def _chained(
    previous: str, number: int, at: datetime, actor: str, action: str, thing: str, detail: dict[str, Any]
) -> str:
    row = [number, micros(at), actor, action, thing, detail]
    canonical = json.dumps(row, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{previous}{canonical}".encode()).hexdigest()


def _as_stored(value: Any) -> Any:
    """The value as jsonb gives it back, which has no negative zero and writes no exponents: what is hashed is what
    `verify` reads."""
    if isinstance(value, dict):
        return {name: _as_stored(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_as_stored(part) for part in value]
    if isinstance(value, float) and value.is_integer():
        return int(value) if abs(value) >= _EXPONENT_FROM else value + 0.0
    return value


async def append(
    connection: AsyncConnection,
    *,
    at: datetime,
    actor: str,
    action: str,
    thing: str,
    detail: dict[str, Any] | None = None,
) -> None:
    """Add one row in the caller's transaction, or in one of its own.

    `actor` is a person's code, `action` a dotted verb (`alert.acknowledge`), `thing` what it was done to (`alert:7`).
    Writers wait for each other until commit: a chain has one head.
    """
    detail = _as_stored(detail or {})
    if (token := TOKEN.get()) is not None:
        detail = {**detail, "token": token}
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        last = await (await connection.execute(SQL["audit_head"])).fetchone()
        number, previous = (last[0] + 1, last[1]) if last else (1, _GENESIS)
        row = {"id": number, "at": at, "actor": actor, "action": action, "object": thing, "previous_hash": previous}
        digest = _chained(previous, number, at, actor, action, thing, detail)
        await connection.execute(SQL["audit_append"], row | {"detail": Jsonb(detail), "hash": digest})


async def verify(connection: AsyncConnection) -> Verdict:
    """Walk the whole chain; any change made past `append` breaks it at the row that was touched."""
    rows, previous = 0, _GENESIS
    async with connection.transaction(), connection.cursor(name="audit_verify") as cursor:
        await cursor.execute(SQL["audit_all"])
        async for number, at, actor, action, thing, detail, previous_hash, digest in cursor:
            expected = _chained(previous, rows + 1, at, actor, action, thing, detail)
            if number != rows + 1 or previous_hash != previous or digest != expected:
                return Verdict(rows, previous, number)
            rows, previous = rows + 1, digest
    return Verdict(rows, previous, None)
