"""Plain numbered SQL migrations, forward only, kept by each room in `<room>/migrations/NNNN_name.sql`.

Rooms are migrated in the order of their import law, so that a table may refer to one of a room below. A migration
runs in one transaction with its record; an advisory lock lets several processes start at once.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import LiteralString

import psycopg

from core.errors import ConfigurationError

logger = logging.getLogger(__name__)

ROOMS: tuple[str, ...] = ("core", "sensors", "ingest", "vision", "alerts", "api")
_NAME = re.compile(r"^(?P<number>\d{4})_[a-z0-9_]+\.sql$")
_LOCK = 0x5317E001
_RECORD = """
CREATE TABLE IF NOT EXISTS migration (
    room text NOT NULL,
    number integer NOT NULL,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (room, number)
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its room, number, file name, text and the SHA-256 of the text."""

    room: str
    number: int
    name: str
    sql: LiteralString

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def available(rooms: Sequence[str] = ROOMS) -> list[Migration]:
    """All migrations of the rooms, in the order in which they apply."""
    found: list[Migration] = []
    for room in rooms:
        folder = resources.files(room).joinpath("migrations")
        files = (
            sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql")) if folder.is_dir() else []
        )
        for expected, name in enumerate(files, start=1):
            match = _NAME.match(name)
            if match is None or int(match["number"]) != expected:
                raise ConfigurationError(
                    f"{room}/migrations/{name} breaks the numbering", hint=f"call it {expected:04d}_..."
                )
            found.append(Migration(room, expected, name, folder.joinpath(name).read_text(encoding="utf-8")))
    return found


async def pending(connection: psycopg.AsyncConnection, rooms: Sequence[str] = ROOMS) -> list[Migration]:
    """Migrations that the database has not seen; raise where one that it has seen was changed afterwards."""
    there = await (await connection.execute("SELECT to_regclass('migration') IS NOT NULL")).fetchone()
    applied: dict[tuple[str, int], str] = {}
    if there is not None and there[0]:
        rows = await (await connection.execute("SELECT room, number, sha256 FROM migration")).fetchall()
        applied = {(room, number): sha256 for room, number, sha256 in rows}
    todo = []
    for migration in available(rooms):
        known = applied.get((migration.room, migration.number))
        if known is None:
            todo.append(migration)
        elif known != migration.sha256:
            raise ConfigurationError(
                f"{migration.room}/migrations/{migration.name} differs from what this database was migrated with",
                hint="released migrations are never edited: add a new file; on a throw-away database, delete its data",
            )
    return todo


async def migrate(connection: psycopg.AsyncConnection, rooms: Sequence[str] = ROOMS) -> list[Migration]:
    """Apply what is pending; return what was applied."""
    await connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
    try:
        await connection.execute(_RECORD)
        todo = await pending(connection, rooms)
        for migration in todo:
            async with connection.transaction():
                await connection.execute(migration.sql)
                await connection.execute(
                    "INSERT INTO migration (room, number, name, sha256) VALUES (%s, %s, %s, %s)",
                    [migration.room, migration.number, migration.name, migration.sha256],
                )
            logger.info("migrated", extra={"room": migration.room, "migration": migration.name})
        return todo
    finally:
        if not connection.closed:
            await connection.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])
