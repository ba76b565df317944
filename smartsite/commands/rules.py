"""``smartsite rules check FILE...``: whether rule files can be put in force."""

from __future__ import annotations

import argparse
from pathlib import Path

from core.settings import Settings

HELP = "check rule files"
DESCRIPTION = "Checks rule files against the device kinds, without touching the installation that runs."


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    check = actions.add_parser("check", help="name every fault with file, line and rule")
    check.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="rule files or folders; none: those in force"
    )


def run(options: argparse.Namespace, settings: Settings) -> int:
    from alerts.rules import builtin_packs, check, load
    from sensors.profiles import load_profiles
    from smartsite.console import complain, say

    paths = options.files or settings.alerts.rules or builtin_packs()
    profiles = load_profiles(settings.kinds_dir)
    problems = check(paths, profiles)
    for problem in problems:
        complain(str(problem))
    if problems:
        return 1
    count = len(load(paths, profiles))
    say(f"{count} rule{'' if count == 1 else 's'}, no fault")
    return 0
