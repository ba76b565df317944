"""``smartsite export KIND``: readings or roll-ups as CSV or Parquet."""

from __future__ import annotations

import argparse
import contextlib
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from core.settings import Settings

if TYPE_CHECKING:
    import psycopg

    from sensors.export import Selection

HELP = "readings or means as CSV or Parquet"
DESCRIPTION = """\
Writes the history of a kind of device, in the columns of the view report.KIND (docs/grafana.md), ordered by site,
device and time. It is streamed: however much it is, it needs little memory. Times without an offset are UTC.
Parquet needs the package pyarrow: pip install 'smartsite[parquet]'.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", metavar="KIND", help="kind of device, such as dust")
    parser.add_argument(
        "--resolution", default="raw", choices=("raw", "1m", "15m", "1h", "1d"), help="readings, or means (default raw)"
    )
    parser.add_argument("--format", default="csv", choices=("csv", "parquet"), help="of the file (default csv)")
    parser.add_argument("--from", dest="start", type=_moment, required=True, metavar="TIME", help="2026-11-01 or later")
    parser.add_argument("--to", dest="end", type=_moment, required=True, metavar="TIME", help="exclusive")
    parser.add_argument("--site", metavar="CODE", help="only this site")
    parser.add_argument("--device", metavar="CODE", help="only devices of this code")
    parser.add_argument("--output", type=Path, metavar="FILE", help="instead of the standard output")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write 2026-11-01, or 2026-11-01T08:00+08:00") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def run(options: argparse.Namespace, settings: Settings) -> int:
    from core.database import connect_sync
    from core.errors import NotFound
    from sensors.export import Selection, export
    from sensors.profiles import load_profiles
    from smartsite.database_part import database_at_hand

    profiles = load_profiles(settings.kinds_dir)
    if options.kind not in profiles:
        raise NotFound(f"there is no kind {options.kind!r}", hint="kinds: " + ", ".join(profiles))
    selection = Selection(
        profile=profiles[options.kind],
        resolution=options.resolution,
        start=options.start,
        end=options.end,
        site=options.site,
        device=options.device,
    )
    with contextlib.ExitStack() as stack:
        reachable = stack.enter_context(database_at_hand(settings))
        connection = stack.enter_context(connect_sync(reachable.database, application="export"))
        _must_exist(connection, selection)
        pieces = stack.enter_context(contextlib.closing(export(connection, selection, format_=options.format)))
        target = stack.enter_context(options.output.open("wb")) if options.output else sys.stdout.buffer
        for piece in pieces:
            target.write(piece)
        target.flush()
    return 0


def _must_exist(connection: psycopg.Connection, selection: Selection) -> None:
    """A misspelt code must not look like a site or a device without readings."""
    from core.errors import NotFound
    from core.sql import queries

    statements = queries("smartsite")
    if selection.site and not connection.execute(statements["export_site"], {"site": selection.site}).fetchone():
        raise NotFound(f"there is no site {selection.site!r}", hint="--site takes the code that it is registered under")
    asked = {"site": selection.site, "device": selection.device, "kind": selection.profile.kind}
    if selection.device and not connection.execute(statements["export_device"], asked).fetchone():
        raise NotFound(
            f"there is no device {selection.device!r} of kind {selection.profile.kind}"
            + (f" on site {selection.site}" if selection.site else ""),
            hint="--device takes the code alone; --site names its site",
        )
