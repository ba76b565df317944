"""The import law of the house, read off the source: a room knows the rooms below it and no other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

BELOW = {
    "core": set[str](),
    "sensors": {"core"},
    "ingest": {"core", "sensors"},
    "vision": {"core", "sensors"},
    "alerts": {"core", "sensors"},
    "api": {"core", "sensors", "vision", "alerts"},
    "smartsite": {"core", "sensors", "ingest", "vision", "alerts", "api"},
}


def imported(module: Path) -> Iterator[tuple[int, str]]:
    """Line and top-level package of every import of a file, those inside functions too."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: imports are absolute"
            yield node.lineno, (node.module or "").split(".")[0]


@pytest.mark.parametrize("room", BELOW)
def test_room_imports_only_rooms_below(room: str) -> None:
    allowed = BELOW[room] | {room}
    wrong = [
        f"{module.relative_to(ROOT)}:{line} imports {package}"
        for module in sorted((ROOT / room).rglob("*.py"))
        for line, package in imported(module)
        if package in BELOW and package not in allowed
    ]
    assert wrong == []


def test_no_room_imports_the_tests() -> None:
    wrong = [
        f"{module.relative_to(ROOT)}:{line}"
        for room in BELOW
        for module in sorted((ROOT / room).rglob("*.py"))
        for line, package in imported(module)
        if package in {"tests", "benchmarks"}
    ]
    assert wrong == []


def test_architecture_page_tells_the_same_law() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for room, below in BELOW.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{room}/` |"))
        named = {word.strip("` ") for word in row.strip("| ").split("|")[-1].split(",")} - {"nothing", ""}
        assert named == below, f"docs/architecture.md says something else of {room}"
