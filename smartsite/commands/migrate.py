"""``smartsite migrate``: brings the database to this version."""

from __future__ import annotations

import argparse
import asyncio

from core.settings import Settings

HELP = "bring the database to this version"
DESCRIPTION = """\
Applies pending migrations and makes or widens the tables of the device kinds. Safe while the previous version still
runs, and does nothing when there is nothing to do. Without database.url it works on the embedded database.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="only say what is pending (exit status 1)")


def run(options: argparse.Namespace, settings: Settings) -> int:
    from core import logs
    from core.clock import SystemClock
    from smartsite.console import say
    from smartsite.database_part import database_at_hand
    from smartsite.schema import bring_up_to_date

    logs.setup(settings.log, process="migrate")
    with database_at_hand(settings) as reachable:
        if options.check:
            names = asyncio.run(_pending(reachable))
            say("\n".join(["pending:", *names]) if names else "nothing is pending")
            return 1 if names else 0
        applied = asyncio.run(bring_up_to_date(reachable, clock=SystemClock()))
    say("\n".join(["applied:", *applied]) if applied else "nothing was pending")
    return 0


async def _pending(settings: Settings) -> list[str]:
    from core.database import connect
    from core.migrate import pending

    async with await connect(settings.database, application="migrate") as connection:
        return [f"{migration.room}/{migration.name}" for migration in await pending(connection)]
