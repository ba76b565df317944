"""``smartsite db``: what the history takes and whether its upkeep is in order."""

from __future__ import annotations

import argparse
import asyncio
import json
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from core.settings import Settings

HELP = "size, parts, retention and roll-ups of the history; evidence"
DESCRIPTION = """\
Shows each table of readings and roll-ups: size, rows (estimated), weeks or chunks, how many of them are columns
(TimescaleDB), how long it is kept and from when on it is complete; how far roll-ups are behind, what evidence takes,
and what the log holds.
Tables without rows are left out, except with --all.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="tables without rows as well")
    parser.add_argument("--json", action="store_true", help="one JSON object, with all tables")


def run(options: argparse.Namespace, settings: Settings) -> int:
    from smartsite.console import say
    from smartsite.database_part import database_at_hand

    with database_at_hand(settings) as reachable:
        found = asyncio.run(_look(reachable))
    say(json.dumps(found, default=_plain, indent=2) if options.json else _text(found, everything=options.all))
    return 0


async def _look(settings: Settings) -> dict[str, Any]:
    from core import log
    from core.clock import SystemClock
    from core.database import connect
    from sensors import rollup_work, storage
    from sensors.profiles import load_profiles
    from smartsite import sweep

    database = settings.database
    days = {
        "raw": database.retention_days,
        "1m": database.rollup_1m_days,
        "15m": database.rollup_15m_days,
        "1h": database.rollup_1h_days,
        "1d": database.rollup_1d_days,
    }
    async with await connect(database, application="db") as connection:
        evidence = asdict(await sweep.state(connection, settings))
        tables = await storage.stored(connection, load_profiles(settings.kinds_dir))
        through = await rollup_work.through(connection)
        return {
            "tables": [asdict(table) | {"keep_days": days[table.resolution]} for table in tables],
            "rollups": {
                "through": through,
                "lag_s": None if through is None else round((SystemClock().now() - through).total_seconds(), 1),
                "rebuilds": [asdict(rebuild) for rebuild in await storage.rebuilds(connection)],
            },
            "evidence": evidence | {"keep_days": settings.evidence.keep_days},
            "log": {"bytes": await log.size(connection), "behind": await log.lag(connection)},
        }


def _plain(value: object) -> str:
    assert isinstance(value, datetime | timedelta)
    return str(value)


def _text(found: dict[str, Any], *, everything: bool) -> str:
    shown = [table for table in found["tables"] if everything or table["rows"]]
    lines = [f"{'table':<28}{'MB':>10}{'rows':>14}{'parts':>7}{'columnar':>10}{'kept':>9}  complete from"]
    for table in shown:
        since = f"{table['since']:%Y-%m-%d}" if table["since"] else "the first"
        lines.append(
            f"{table['table']:<28}{table['bytes'] / 1e6:>10.1f}{table['rows']:>14}{table['parts']:>7}"
            f"{table['columnar']:>10}{table['keep_days']:>7} d  {since}"
        )
    if empty := len(found["tables"]) - len(shown):
        lines.append(f"{empty} tables with no rows counted yet (--all shows them)")
    rollups = found["rollups"]
    if rollups["through"] is None:
        lines.append("roll-ups: none yet, the keeper makes them")
    else:
        lines.append(f"roll-ups: up to {rollups['through']:%Y-%m-%d %H:%M:%S} UTC, {rollups['lag_s']:.0f} s ago")
    lines += [
        f"rebuilding {one['kind']}: {one['low']:%Y-%m-%d %H:%M} to {one['high']:%Y-%m-%d %H:%M}"
        for one in rollups["rebuilds"]
    ]
    behind = ", ".join(f"{reader} {count} entries behind" for reader, count in sorted(found["log"]["behind"].items()))
    evidence = found["evidence"]
    lines.append(
        f"evidence: {evidence['files']} files, {evidence['bytes'] / 1e9:.2f} GB, {evidence['pinned_files']} in use, "
        f"kept {evidence['keep_days']:g} d; {evidence['free_bytes'] / 1e9:.1f} GB free"
        + (f", {evidence['short_bytes'] / 1e9:.2f} GB short" if evidence["short_bytes"] else "")
    )
    lines.append(f"log: {found['log']['bytes'] / 1e6:.1f} MB; {behind or 'no reader yet'}")
    return "\n".join(lines)
