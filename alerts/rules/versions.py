"""Rules in force, and every version of every rule that ever was, so that an alert can say by what it was judged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from alerts.rules.model import AnyRule, RuleSet, from_definition
from core.clock import Clock
from core.sql import queries

_SQL = queries("alerts")


async def put_in_force(
    connection: psycopg.AsyncConnection[Any], rules: Iterable[AnyRule], *, clock: Clock
) -> dict[str, int]:
    """Put exactly these rules in force; return the version of each by id.

    A rule whose definition differs from its newest version gets the next number. Runs in the caller's transaction,
    which holds a lock, so that two callers never number the same version.
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
    await connection.execute(_SQL["rules_in_force_put"], {"rules": list(versions), "versions": list(versions.values())})
    return versions


async def in_force(connection: psycopg.AsyncConnection[Any]) -> RuleSet:
    """The rules that were put in force last."""
    cursor = await connection.execute(_SQL["rules_in_force"])
    return RuleSet(tuple(from_definition(definition) for (definition,) in await cursor.fetchall()))
