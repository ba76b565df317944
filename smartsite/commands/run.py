"""``smartsite run ROOM``: one room in the foreground, as the supervisor and docker-compose start it."""

from __future__ import annotations

import argparse
from functools import partial

from core import logs
from core.settings import Settings

HELP = "run one room in the foreground"
DESCRIPTION = """\
Runs one room until it is told to stop (SIGINT or SIGTERM): ingest takes readings, vision watches cameras, alerts
applies rules and delivers violations, api serves the page, keeper does the house-keeping of the database.
The database must be reachable at database.url and migrated (`smartsite migrate`). `smartsite up` runs all of them.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    from smartsite.rooms import SERVICES

    parser.add_argument("room", choices=sorted(SERVICES), metavar="ROOM", help=", ".join(sorted(SERVICES)))


def run(options: argparse.Namespace, settings: Settings) -> int:
    from smartsite.rooms import PATIENCE_S, serve
    from smartsite.running import run_until_signal

    logs.setup(settings.log, process=options.room)
    run_until_signal(partial(serve, options.room, settings), patience_s=PATIENCE_S)
    return 0
