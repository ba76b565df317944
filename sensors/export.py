"""Readings and roll-ups as CSV, streamed by the server: a kind's whole history needs no memory here."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import psycopg
from psycopg import sql

from core.errors import NotFound
from core.sql import queries
from sensors.profiles import Profile
from sensors.rollups import RESOLUTIONS

SQL = queries(__package__)


def export(
    connection: psycopg.Connection,
    profile: Profile,
    *,
    resolution: str,
    start: datetime,
    end: datetime,
    site: str | None,
    device: str | None,
) -> Iterator[bytes]:
    """Pieces of a CSV file with a header line: the columns of the view `report.KIND` or `report.KIND_RESOLUTION`.

    [start, end); `resolution` is `raw` or one of 1m, 15m, 1h, 1d; `site` and `device` are codes, None: all.

    Raises:
        NotFound: there is no such resolution.
    """
    if resolution != "raw" and resolution not in {each.name for each in RESOLUTIONS}:
        raise NotFound(f"there is no resolution {resolution!r}", hint="raw, 1m, 15m, 1h or 1d")
    view = profile.kind if resolution == "raw" else f"{profile.kind}_{resolution}"
    statement = sql.SQL(SQL["export"]).format(
        view=sql.Identifier(view),
        start=sql.Literal(start),
        end=sql.Literal(end),
        site=sql.Literal(site),
        device=sql.Literal(device),
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for piece in copy:
            yield bytes(piece)
