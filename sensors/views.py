"""Views for Grafana and other readers of SQL: the schema `report`, in the words of the profiles and with codes for ids.

`report.dust` has the readings of a kind, `report.dust_15m` its roll-up with mean, extremes and valid share a channel,
`report.device` the devices. They hold nothing that a reader must not see: no secrets, no people.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import partial

import psycopg
from psycopg import errors as pg
from psycopg import sql

from core.clock import Clock
from core.errors import ConfigurationError
from core.sql import queries
from sensors.profiles import Channel, Profile
from sensors.rollups import RESOLUTIONS, mean, table_of
from sensors.tables import under_lock

SQL = queries(__package__)

SCHEMA = "report"


async def reconcile(connection: psycopg.AsyncConnection, profiles: Mapping[str, Profile], clock: Clock) -> list[str]:
    """Make the views agree with the profiles; return what was done, one line each.

    Raises:
        ConfigurationError: something that is not ours depends on a view that has to change.
        Unavailable: a view stayed locked by others through all attempts.
    """
    await connection.execute(SQL["views_schema"])
    done: list[str] = []
    wanted: dict[str, sql.Composable] = {"device": sql.SQL(SQL["views_device"])}
    for profile in profiles.values():
        wanted[profile.kind] = _readings(profile)
        for resolution in RESOLUTIONS:
            wanted[f"{profile.kind}_{resolution.name}"] = _rollup(profile, table_of(profile, resolution))
    for name, select in wanted.items():
        done += await under_lock(connection, f"{SCHEMA}.{name}", clock, partial(_make, connection, name, select))
    return done


async def _make(connection: psycopg.AsyncConnection, name: str, select: sql.Composable) -> list[str]:
    # What the server makes of a view's text cannot be compared with ours: its digest is kept as the view's comment.
    digest = hashlib.sha256(select.as_string(connection).encode()).hexdigest()
    row = await (await connection.execute(SQL["views_comment"], {"view": f'"{SCHEMA}"."{name}"'})).fetchone()
    if row is not None and row[0] == digest:
        return []
    view = sql.Identifier(SCHEMA, name)
    try:
        await connection.execute(sql.SQL("DROP VIEW IF EXISTS {}").format(view))
    except pg.DependentObjectsStillExist as error:
        raise ConfigurationError(
            f"view {SCHEMA}.{name} has to change, but others depend on it: {error.diag.message_detail}",
            hint="drop those views, migrate, and make them again",
        ) from error
    await connection.execute(sql.SQL("CREATE VIEW {} AS {}").format(view, select))
    await connection.execute(sql.SQL("COMMENT ON VIEW {} IS {}").format(view, sql.Literal(digest)))
    return [f"made view {SCHEMA}.{name}"]


def _readings(profile: Profile) -> sql.Composed:
    columns = [
        sql.SQL("r.{}, r.{}").format(sql.Identifier(channel.name), sql.Identifier(f"{channel.name}_q"))
        for channel in profile.channels
    ]
    return sql.SQL(SQL["views_readings"]).format(
        table=sql.Identifier(profile.table), columns=sql.SQL(", ").join(columns)
    )


def _rollup(profile: Profile, table: str) -> sql.Composed:
    columns = [column for channel in profile.channels for column in _channel(channel)]
    return sql.SQL(SQL["views_rollup"]).format(table=sql.Identifier(table), columns=sql.SQL(", ").join(columns))


def _channel(channel: Channel) -> list[sql.Composable]:
    name = channel.name
    found: list[sql.Composable] = [
        sql.SQL("{} AS {}").format(mean(channel, sql.Identifier), sql.Identifier(name)),
        sql.SQL("least(1, {} / r.expected) AS {}").format(sql.Identifier(f"{name}_n"), sql.Identifier(f"{name}_valid")),
    ]
    if not channel.circular and channel.type != "enum":
        found += [sql.Identifier(f"{name}_min"), sql.Identifier(f"{name}_max")]
    return found
