"""``smartsite config``: the settings in force."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

from core.logs import redact
from core.settings import Settings

HELP = "show the settings in force"
DESCRIPTION = """\
Prints every setting with the value in force, as SECTION.FIELD = VALUE (or as JSON). Secrets are masked.
What each one means is in docs/settings.md.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(options: argparse.Namespace, settings: Settings) -> int:
    from smartsite.console import say

    values = settings.model_dump(mode="json")
    if options.json:
        say(redact(json.dumps(values, indent=2, ensure_ascii=False)))
    else:
        for name, value in flat(values):
            say(redact(f"{name} = {json.dumps(value, ensure_ascii=False)}"))
    return 0


def flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values of a nested table."""
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
