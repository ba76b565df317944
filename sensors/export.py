"""Readings and roll-ups as CSV or Parquet, streamed: a kind's whole history needs no memory here."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import psycopg
from psycopg import sql

from core.errors import NotFound
from core.sql import queries
from sensors.profiles import Profile
from sensors.rollups import RESOLUTIONS

SQL = queries(__package__)

Format = Literal["csv", "parquet"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The columns of the view `report.KIND` or `report.KIND_RESOLUTION`, ordered by site, device, time.

    [start, end); `resolution` is `raw` or one of 1m, 15m, 1h, 1d; `site` and `device` are codes, None: all.
    """

    profile: Profile
    resolution: str
    start: datetime
    end: datetime
    site: str | None = None
    device: str | None = None

    def __post_init__(self) -> None:
        if self.resolution != "raw" and self.resolution not in {each.name for each in RESOLUTIONS}:
            raise NotFound(f"there is no resolution {self.resolution!r}", hint="raw, 1m, 15m, 1h or 1d")

    @property
    def view(self) -> str:
        """The view that is read."""
        kind = self.profile.kind
        return kind if self.resolution == "raw" else f"{kind}_{self.resolution}"

    def statement(self) -> sql.Composed:
        """The query."""
        return sql.SQL(SQL["export"]).format(
            view=sql.Identifier(self.view),
            start=sql.Literal(self.start),
            end=sql.Literal(self.end),
            site=sql.Literal(self.site),
            device=sql.Literal(self.device),
        )


def export(
    connection: psycopg.Connection, selection: Selection, *, format_: Format = "csv"
) -> Generator[bytes, None, None]:
    """Pieces of a file: CSV with a header line, or Parquet (sensors/parquet.py).

    Whoever does not read them to the end must close them before the connection, which waits for them otherwise.

    Raises:
        ConfigurationError: Parquet is asked for and pyarrow is not installed.
    """
    if format_ == "parquet":
        from sensors.parquet import pieces

        return pieces(connection, selection)
    return _csv(connection, selection)


def _csv(connection: psycopg.Connection, selection: Selection) -> Generator[bytes, None, None]:
    statement = sql.SQL("COPY ({}) TO STDOUT WITH (FORMAT csv, HEADER)").format(selection.statement())
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for piece in copy:
            yield bytes(piece)
