"""What the rooms need of their own: rules that hold, a detector that loads, cameras that answer, a part that runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from alerts.rules import builtin_packs, check
from alerts.rules.files import RuleText
from core.errors import SmartsiteError
from core.settings import Settings
from sensors.profiles import load_profiles
from smartsite.doctor.finding import Finding, fail, ok, warn


def examine_rules(settings: Settings, written: Sequence[RuleText]) -> Iterator[Finding]:
    """Whether the rules of files and people can be put in force, with the regulators that are configured."""
    paths = settings.alerts.rules or builtin_packs()
    targets = [target.name for target in settings.alerts.targets]
    problems = check(paths, load_profiles(settings.kinds_dir), targets, written)
    if not problems:
        own = [f"{len(written)} written on the platform"] if written else []
        yield ok("rules", ", ".join([*(path.name for path in paths), *own]))
    for problem in problems:
        yield fail("rules", str(problem), "correct the rule; `smartsite rules check` tells whether it holds")


async def examine_model(settings: Settings) -> Finding:
    """Whether the detector loads."""
    from vision.detectors import load_detector

    try:
        detector = await asyncio.to_thread(load_detector, settings.vision)
    except SmartsiteError as error:
        return fail("detector", error.message, error.hint)
    return ok("detector", detector.name)


def examine_parts(board: Path) -> Iterator[Finding]:
    """What the supervisor of a running installation says of its parts."""
    if not board.exists():
        return
    for part in json.loads(board.read_text())["parts"]:
        if part["state"] in {"failing", "waiting"}:
            fact = f"{part['last_end']}, started again {part['restarts']} times"
            level = fail if part["state"] == "failing" else warn
            yield level(part["name"], fact, "its lines in the log of `smartsite up` tell why")
