"""Rows of a batch against rows that are in the table already: which are new, which fill, which repeat or contradict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import sql

from ingest.merge import Cells, compare
from ingest.rows import Rows, column_of
from sensors.batch import NORMAL
from sensors.profiles import Profile

_TYPES = {"real": "real", "double": "float8", "bigint": "bigint", "enum": "smallint"}
_EPOCH = sql.SQL("timestamptz 'epoch' + k.time * interval '1 microsecond'")


@dataclass(frozen=True, slots=True)
class Sorted:
    """Rows by what the table says of them.

    `new` have a free key; `fill` holds only the cells that go into empty ones. The others are places in the rows given.
    """

    new: Rows
    fill: Rows
    duplicates: npt.NDArray[np.intp]
    conflicts: npt.NDArray[np.intp]
    filled: npt.NDArray[np.intp]


class Overtaken(Exception):
    """Another transaction filled a cell between the comparison and the update: compare again."""


async def sort_out(connection: psycopg.AsyncConnection, rows: Rows) -> Sorted:
    """Compare rows (each key once) with the table."""
    profile = rows.profile
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(_select(profile), {"device": rows.device.tolist(), "time": rows.time.tolist()})
        found = await cursor.fetchall()
    places = np.array([row[0] for row in found], dtype=np.intp)
    known: npt.NDArray[np.bool_] = np.zeros(len(rows), dtype=bool)
    known[places] = True
    width = len(profile.channels)
    values = np.array([row[1 : 1 + width] for row in found], dtype=np.float64).reshape(-1, width)
    letters = np.array([row[1 + width :] for row in found], dtype=np.uint8).reshape(-1, width)
    # The table writes NULL for normal: a value without a letter is N.
    there = Cells(values, np.where((letters == 0) & ~np.isnan(values), NORMAL, letters).astype(np.uint8))
    old = rows.pick(places)
    comparison = compare(profile, there, Cells(old.values, old.quality))
    fills, conflicts = comparison.fill.any(axis=1), comparison.conflict.any(axis=1)
    fill = old.with_cells(
        np.where(comparison.fill, old.values, np.nan),
        np.where(comparison.fill, old.quality, 0).astype(np.uint8),
        old.flags,
    )
    return Sorted(
        new=rows.pick(np.flatnonzero(~known)),
        fill=fill.pick(np.flatnonzero(fills)),
        duplicates=places[~fills & ~conflicts],
        conflicts=places[conflicts],
        filled=places[fills & ~conflicts],
    )


async def write_fill(connection: psycopg.AsyncConnection, fill: Rows) -> None:
    """Put cells into rows that are there. Raises Overtaken where one of them is no longer empty."""
    profile = fill.profile
    parameters: dict[str, object] = {
        "device": fill.device.tolist(),
        "time": fill.time.tolist(),
        "flags": fill.flags.tolist(),
    }
    for place, channel in enumerate(profile.channels):
        values, quality = fill.values[:, place], fill.quality[:, place]
        parameters[channel.name] = column_of(channel, values)
        parameters[f"{channel.name}_q"] = [
            None if letter == 0 or (letter == NORMAL and value == value) else chr(letter)
            for letter, value in zip(quality.tolist(), values.tolist(), strict=True)
        ]
    cursor = await connection.execute(_update(profile), parameters)
    if cursor.rowcount != len(fill):
        raise Overtaken


def _select(profile: Profile) -> sql.Composed:
    names = [channel.name for channel in profile.channels]
    columns = [sql.SQL("t.{}::float8").format(sql.Identifier(name)) for name in names]
    columns += [sql.SQL("coalesce(ascii(t.{}::text), 0)").format(sql.Identifier(f"{name}_q")) for name in names]
    return sql.SQL(
        "SELECT k.place - 1, {columns}"
        " FROM unnest(%(device)s::int[], %(time)s::bigint[]) WITH ORDINALITY AS k (device, time, place)"
        " JOIN {table} t ON t.device_id = k.device AND t.time = {time}"
    ).format(columns=sql.SQL(", ").join(columns), table=sql.Identifier(profile.table), time=_EPOCH)


def _update(profile: Profile) -> sql.Composed:
    arrays: list[sql.Composable] = [
        sql.SQL("%(device)s::int[]"),
        sql.SQL("%(time)s::bigint[]"),
        sql.SQL("%(flags)s::smallint[]"),
    ]
    names = [sql.Identifier("device"), sql.Identifier("time"), sql.Identifier("flags")]
    empty: list[sql.Composable] = []
    sets: list[sql.Composable] = [sql.SQL("flags = t.flags | k.flags")]
    for channel in profile.channels:
        name, letter = sql.Identifier(channel.name), sql.Identifier(f"{channel.name}_q")
        arrays.append(sql.SQL("{}::{}[]").format(sql.Placeholder(channel.name), sql.SQL(_TYPES[channel.type])))
        arrays.append(sql.SQL('{}::"char"[]').format(sql.Placeholder(f"{channel.name}_q")))
        names += [name, letter]
        empty.append(sql.SQL("(t.{name} IS NULL OR k.{name} IS NULL)").format(name=name))
        sets.append(sql.SQL("{name} = coalesce(t.{name}, k.{name})").format(name=name))
        sets.append(
            sql.SQL(
                "{letter} = CASE WHEN t.{name} IS NULL AND (k.{name} IS NOT NULL OR k.{letter} IS NOT NULL)"
                " THEN k.{letter} ELSE t.{letter} END"
            ).format(name=name, letter=letter)
        )
    return sql.SQL(
        "UPDATE {table} t SET {sets} FROM unnest({arrays}) AS k ({names})"
        " WHERE t.device_id = k.device AND t.time = {time} AND {empty}"
    ).format(
        empty=sql.SQL(" AND ").join(empty),
        table=sql.Identifier(profile.table),
        sets=sql.SQL(", ").join(sets),
        arrays=sql.SQL(", ").join(arrays),
        names=sql.SQL(", ").join(names),
        time=_EPOCH,
    )
