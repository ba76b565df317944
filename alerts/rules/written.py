"""Rules that people write on the platform, as numbered revisions: they replace the files' rules of their ids."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg

from alerts.rules.files import RuleText
from core.sql import queries

_SQL = queries("alerts")


async def written(connection: psycopg.AsyncConnection[Any]) -> tuple[RuleText, ...]:
    """The texts that count now, in the order of their rules' ids."""
    cursor = await connection.execute(_SQL["rules_written"])
    return tuple(RuleText(name_of(rule, revision), text) for rule, revision, text in await cursor.fetchall())


def name_of(rule: str, revision: int) -> str:
    """What problems call the text, where those of a rule file name the file."""
    return f"{rule} (written, revision {revision})"


async def lock(connection: psycopg.AsyncConnection[Any]) -> None:
    """Until the end of the transaction nobody else writes a rule: what was checked beside the others stays true."""
    await connection.execute(_SQL["rules_written_lock"])


async def write(
    connection: psycopg.AsyncConnection[Any], rule: str, text: str | None, *, reason: str, by: str, now: datetime
) -> int:
    """Add a revision, None: the files have the word again; return its number. Under `lock`."""
    values = {"rule": rule, "text": text, "reason": reason, "by": by, "now": now}
    row = await (await connection.execute(_SQL["rule_write"], values)).fetchone()
    assert row is not None
    return int(row[0])
