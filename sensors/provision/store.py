"""The registry's rows during one provisioning: read once, compared in memory, written one by one where they differ."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from core.sql import queries
from sensors.provision.report import Outcome

SQL = queries("sensors")

# Statements that read each table; the column `key` is what rows of files are known by.
_TABLES: Mapping[str, str] = {
    "unit": "provision_units",
    "site": "provision_sites",
    "person": "provision_people",
    "device": "provision_devices",
    "camera": "provision_cameras",
    "permit": "provision_permits",
}


class Store:
    """All rows by table and key (`code`, or `site/code` of devices and cameras)."""

    def __init__(self, connection: psycopg.AsyncConnection, tables: dict[str, dict[str, dict[str, Any]]]) -> None:
        self._connection = connection
        self._tables = tables

    @classmethod
    async def load(cls, connection: psycopg.AsyncConnection) -> Store:
        """Read the registry, inside the caller's transaction."""
        tables = {}
        async with connection.cursor(row_factory=dict_row) as cursor:
            for table, name in _TABLES.items():
                await cursor.execute(SQL[name])
                tables[table] = {row.pop("key"): row for row in await cursor.fetchall()}
        return cls(connection, tables)

    def values(self, table: str, key: str) -> Mapping[str, Any] | None:
        """The row of that key, None where there is none."""
        return self._tables[table].get(key)

    def id(self, table: str, key: str) -> int | None:
        """The id of that key's row, None where there is none."""
        row = self._tables[table].get(key)
        return None if row is None else int(row["id"])

    def need(self, table: str, key: str) -> int:
        """The id of a row that is known to be there."""
        return int(self._tables[table][key]["id"])

    def logins(self) -> dict[str, str]:
        """Log-in names and the codes of their people."""
        return {row["login"]: code for code, row in self._tables["person"].items() if row["login"] is not None}

    def mns(self) -> dict[str, str]:
        """MNs and the keys of their devices."""
        return {row["mn"]: key for key, row in self._tables["device"].items() if row["mn"] is not None}

    async def put(self, table: str, key: str, values: Mapping[str, Any]) -> Outcome:
        """Create the row, or update the columns that differ."""
        present = self._tables[table].get(key)
        if present is None:
            self._tables[table][key] = dict(values) | {"id": await self._insert(table, values)}
            return "created"
        changes = {name: value for name, value in values.items() if present[name] != value}
        if not changes:
            return "unchanged"
        await self._connection.execute(
            sql.SQL("UPDATE {} SET {} WHERE id = %s").format(
                sql.Identifier(table), sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(c)) for c in changes)
            ),
            [*map(_adapt, changes.values()), present["id"]],
        )
        present.update(changes)
        return "updated"

    async def _insert(self, table: str, values: Mapping[str, Any]) -> int:
        cursor = await self._connection.execute(
            sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING id").format(
                sql.Identifier(table),
                sql.SQL(", ").join(map(sql.Identifier, values)),
                sql.SQL(", ").join(sql.Placeholder() * len(values)),
            ),
            [*map(_adapt, values.values())],
        )
        row = await cursor.fetchone()
        assert row is not None
        return int(row[0])

    async def link_units(self, site: int, wanted: AbstractSet[tuple[int, str]]) -> bool:
        """Make a site's list of (unit, role) the wanted one; True where it was another."""
        rows = await (await self._connection.execute(SQL["provision_site_units"], [site])).fetchall()
        present = {(int(unit), str(role)) for unit, role in rows}
        for unit, role in sorted(wanted - present):
            await self._connection.execute(SQL["provision_link_unit"], [site, unit, role])
        for unit, role in sorted(present - wanted):
            await self._connection.execute(SQL["provision_unlink_unit"], [site, unit, role])
        return wanted != present

    async def link_sites(self, person: int, wanted: AbstractSet[int]) -> bool:
        """Make a person's list of sites the wanted one; True where it was another."""
        rows = await (await self._connection.execute(SQL["provision_person_sites"], [person])).fetchall()
        present = {int(site) for (site,) in rows}
        for site in sorted(wanted - present):
            await self._connection.execute(SQL["provision_link_site"], [person, site])
        for site in sorted(present - wanted):
            await self._connection.execute(SQL["provision_unlink_site"], [person, site])
        return wanted != present


def _adapt(value: Any) -> Any:
    return Jsonb(value) if isinstance(value, dict) else value
