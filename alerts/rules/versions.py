"""Rules in force: every version of every rule that ever was, so that an alert can say by what it was judged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from alerts.rules.model import AnyRule
from core.clock import Clock
from core.sql import queries

_SQL = queries("alerts")


async def put_in_force(
    connection: psycopg.AsyncConnection[Any], rules: Iterable[AnyRule], *, clock: Clock
) -> dict[str, int]:
    """Record rules whose definition differs from their newest version; return the version of each rule by id.

    Runs in the caller's transaction. Only one engine runs at a time, so two callers never number the same version.
    """
    versions: dict[str, int] = {}
    for rule in rules:
        cursor = await connection.execute(
            _SQL["rule_version_put"],
            {"rule": rule.id, "definition": Jsonb(rule.definition()), "sha256": rule.digest(), "now": clock.now()},
        )
        row = await cursor.fetchone()
        assert row is not None
        versions[rule.id] = row[0]
    return versions
