"""``smartsite provision``: sites, units, people, devices and cameras from files."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from core.errors import ConfigurationError
from core.settings import Settings

HELP = "bring sites, people, devices and cameras into the registry"
DESCRIPTION = """\
Reads TOML or CSV files and makes the registry agree with them. Running it again changes nothing. Rows that are wrong
are named with file and place and left out; the others are applied, and the exit status is 1.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a .toml or .csv file")
    parser.add_argument("--results", type=Path, metavar="CSV", help="write what became of each row into this file")
    parser.add_argument(
        "--secrets", type=Path, metavar="CSV", help="write secrets that are made into this new file, not to the screen"
    )


def run(options: argparse.Namespace, settings: Settings) -> int:
    from core import logs
    from smartsite.database_part import database_at_hand

    logs.setup(settings.log, process="provision")
    with database_at_hand(settings) as reachable:
        return asyncio.run(_provision(reachable, options))


async def _provision(settings: Settings, options: argparse.Namespace) -> int:
    from core.database import connect
    from sensors import provision
    from sensors.profiles import load_profiles
    from smartsite.console import complain, say

    if options.secrets is not None and options.secrets.exists():
        # Found out before anything is changed: secrets that cannot be written down would be lost.
        raise ConfigurationError(
            f"{options.secrets} is there already, and may hold secrets of an earlier run", hint="name another file"
        )
    async with await connect(settings.database, application="provision") as connection:
        report = await provision.apply(connection, options.files, profiles=load_profiles(settings.kinds_dir))
    for error in report.errors:
        complain(f"smartsite: {error}")
    say(str(report))
    if options.results is not None:
        report.write_results(options.results)
    if report.secrets and options.secrets is not None:
        report.write_secrets(options.secrets)
        say(f"{len(report.secrets)} secrets were made; {options.secrets} holds them, for its owner alone to read.")
    elif report.secrets:
        say("\nSecrets that were made now. They are shown once and kept nowhere else: hand them to the devices.")
        for made in report.secrets:
            say(f"  user {made.user}  password {made.secret}")
    return 1 if report.errors else 0
