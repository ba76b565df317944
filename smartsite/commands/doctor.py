"""``smartsite doctor``: what is wrong with a set-up, and how to mend it."""

from __future__ import annotations

import argparse
import asyncio
import json
from dataclasses import asdict

from core.settings import Settings

HELP = "tell what is wrong with this set-up and how to mend it"
DESCRIPTION = """\
Looks at data directory, disk, clock, ports, database, schema, processes, broker, provider of log-ins, cameras,
regulators, rules, model and web page. Changes nothing. Exit status 1 when something does not work.
"""
_MARKS = {"ok": " ok ", "warn": "WARN", "fail": "FAIL"}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(options: argparse.Namespace, settings: Settings) -> int:
    from core.clock import SystemClock
    from smartsite.console import say
    from smartsite.doctor.checkup import checkup

    findings = asyncio.run(checkup(settings, clock=SystemClock()))
    broken = any(finding.level == "fail" for finding in findings)
    if options.json:
        say(json.dumps({"ok": not broken, "findings": [asdict(finding) for finding in findings]}, indent=2))
        return int(broken)
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        say(f"[{_MARKS[finding.level]}] {finding.subject:<{width}}  {finding.fact}")
        if finding.remedy:
            say(f"       {'':<{width}}  -> {finding.remedy}")
    return int(broken)
