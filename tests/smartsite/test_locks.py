"""Advisory locks share one space of numbers in the database: two parts with the same number would block each other."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("core", "sensors", "ingest", "vision", "alerts", "api", "smartsite")


def test_every_advisory_lock_has_a_number_of_its_own() -> None:
    holders: dict[int, list[str]] = defaultdict(list)
    for room in ROOMS:
        for module in (ROOT / room).rglob("*.py"):
            for match in re.finditer(r"^_?[A-Z_]*LOCK[A-Z_]* = (0x[0-9A-Fa-f]+)", module.read_text(), re.MULTILINE):
                holders[int(match[1], 16)].append(str(module.relative_to(ROOT)))
    assert len(holders) >= 4
    assert {hex(number): where for number, where in holders.items() if len(where) > 1} == {}
