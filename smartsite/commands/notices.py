"""``smartsite notices``: what people were told, what they were not told, and why."""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import Any

from core.settings import Settings

HELP = "show why people were told of violations, or were not"
DESCRIPTION = """\
Shows the newest messages to people, each with its state (pending, sent, withheld, failed, uncertain) and the reason for
it; and the steps of the escalation table that are still to come.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--alert", type=int, metavar="ID", help="only those about one alert")
    parser.add_argument("--person", metavar="CODE", help="only those to one person")
    parser.add_argument(
        "--state", choices=("pending", "sent", "withheld", "failed", "uncertain"), help="only those in one state"
    )
    parser.add_argument("--limit", type=int, default=50, metavar="N", help="so many at most (%(default)s)")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(options: argparse.Namespace, settings: Settings) -> int:
    from smartsite.console import say
    from smartsite.database_part import database_at_hand

    with database_at_hand(settings) as reachable:
        found = asyncio.run(_look(reachable, options))
    say(json.dumps(found, default=str, indent=2, ensure_ascii=False) if options.json else _text(found))
    return 0


async def _look(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    from psycopg.rows import dict_row

    from core.database import connect
    from core.sql import queries

    sql = queries("smartsite")
    asked = {"alert": options.alert, "person": options.person, "state": options.state, "limit": options.limit}
    async with (
        await connect(settings.database, application="notices") as connection,
        connection.cursor(row_factory=dict_row) as cursor,
    ):
        await cursor.execute(sql["notices"], asked)
        notices = await cursor.fetchall()
        await cursor.execute(sql["escalations"], asked)
        return {"notices": notices, "escalations": await cursor.fetchall()}


def _text(found: dict[str, Any]) -> str:
    lines = [_line(one) for one in found["notices"]]
    lines += [
        f"alert {one['alert_id']} step {one['step']}: {', '.join(one['roles'])} will be told at"
        f" {one['due_at']:%Y-%m-%d %H:%M:%S}Z unless somebody acknowledges"
        for one in found["escalations"]
    ]
    return "\n".join([*lines, f"{len(found['notices'])} messages"])


def _line(one: dict[str, Any]) -> str:
    about = one["other"] or f"alert {one['alert_id']}"
    step = f" step {one['step']}" if one["phase"] == "escalated" else ""
    error = f" ({one['attempts']} attempts, {one['error']})" if one["error"] else ""
    return (
        f"{one['id']}  {one['created_at']:%Y-%m-%d %H:%M:%S}Z  {about} {one['phase']}{step} to {one['person']}"
        f" by {one['channel'] or '-'}: {one['state']}, {one['reason']}{error}"
    )
