"""How much of what devices should have sent is there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from sensors.profiles import Profile
from sensors.rollups import QUARTER, SQL, table_of


@dataclass(frozen=True, slots=True)
class Received:
    """Readings of normal quality in a period, and how many the device's interval lets expect."""

    device_id: int
    site_id: int
    code: str
    name: str
    name_en: str
    kind: str
    readings: int
    expected: float

    @property
    def share(self) -> float:
        """0 to 1; a device that sends more often than it should is not more than there."""
        return min(self.readings / self.expected, 1.0)


async def received(
    connection: psycopg.AsyncConnection[Any],
    profiles: Iterable[Profile],
    *,
    since: datetime,
    until: datetime,
    site_id: int | None = None,
) -> list[Received]:
    """Every enabled device of a site, or of all, by site and code; from the roll-ups, so that raw readings may be gone.

    `since` and `until` lie on quarters of an hour, as midnights of all time zones do.
    """
    found: list[Received] = []
    for profile in profiles:
        counts = [sql.SQL("coalesce({}, 0)").format(sql.Identifier(f"{one.name}_n")) for one in profile.channels]
        statement = sql.SQL(SQL["received"]).format(
            table=sql.Identifier(table_of(profile, QUARTER)), readings=sql.SQL(", ").join(counts)
        )
        async with connection.cursor(row_factory=class_row(Received)) as cursor:
            await cursor.execute(statement, {"kind": profile.kind, "site_id": site_id, "since": since, "until": until})
            found += await cursor.fetchall()
    return sorted(found, key=lambda one: (one.site_id, one.code))
