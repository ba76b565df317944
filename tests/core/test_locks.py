"""Advisory locks have one name space in the database: two parts with the same key would wait for each other."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_no_two_parts_share_an_advisory_lock() -> None:
    keys: dict[str, list[str]] = {}
    for room in ("core", "sensors", "ingest", "vision", "alerts", "api", "smartsite"):
        for path in (ROOT / room).rglob("*.py"):
            for key in re.findall(r"^_\w*LOCK = (0x[0-9A-Fa-f_]+)$", path.read_text(encoding="utf-8"), re.MULTILINE):
                keys.setdefault(key.lower(), []).append(str(path.relative_to(ROOT)))
    assert len(keys) >= 3
    assert {key: paths for key, paths in keys.items() if len(paths) > 1} == {}
