"""Reading rule files: TOML in, rules and located problems out. Every fault of a file is reported, not the first only.

[[rules]]
id = "pm10-high"
name = "PM10 超限"
name_en = "PM10 over the limit"
kind = "threshold"
severity = "major"
scope = { device_kind = "dust" }
metric = "pm10"
unit = "µg/m³"
raise_above = 150
clear_below = 120
clear_after = "2 min"
targets = ["bureau"]
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from alerts.rules.model import RULE, AnyRule

_HEADER = re.compile(r"^\s*\[\[\s*rules\s*\]\]")
_TABLE = re.compile(r"^\s*\[")
_TOML_LINE = re.compile(r"at line (\d+)")
_PYDANTIC_NOISE = re.compile(r"^Value error, ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something wrong in a rule file. `line` counts from 1, 0 where no line can be named; `rule` may be empty."""

    file: str
    line: int
    rule: str
    reason: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: rule {self.rule}: {self.reason}" if self.rule else f"{place}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Block:
    """Where one `[[rules]]` table lies in its file: its header's line and the lines of its keys."""

    file: str
    line: int
    keys: dict[str, int]

    def problem(self, rule: str, reason: str, *keys: str) -> Problem:
        """A problem of this rule, at the first of `keys` that is written in it, or at its header."""
        line = next((self.keys[key] for key in keys if key in self.keys), self.line)
        return Problem(file=self.file, line=line, rule=rule, reason=reason)


def builtin_packs() -> list[Path]:
    """The rule files that come with the program."""
    folder = resources.files("alerts").joinpath("packs")
    return [
        Path(str(entry))
        for entry in sorted(folder.iterdir(), key=lambda item: item.name)
        if entry.name.endswith(".toml")
    ]


def read(paths: Iterable[Path]) -> tuple[list[tuple[AnyRule, Block]], list[Problem]]:
    """The rules of all files that hold as they stand, with their places, and the problems of the others.

    A path may be a folder: its `*.toml` are read in the order of their names.
    """
    rules: list[tuple[AnyRule, Block]] = []
    problems: list[Problem] = []
    for path in paths:
        found = sorted(path.glob("*.toml")) if path.is_dir() else [path]
        if not found:
            problems.append(Problem(file=str(path), line=0, rule="", reason="the folder holds no .toml file"))
        for file in found:
            _read_file(file, rules, problems)
    return rules, problems


def _read_file(file: Path, rules: list[tuple[AnyRule, Block]], problems: list[Problem]) -> None:
    text = ""
    try:
        text = file.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        match = _TOML_LINE.search(str(error))
        reason = error.strerror or str(error) if isinstance(error, OSError) else f"not valid TOML: {error}"
        line = int(match[1]) if match else len(text.splitlines()) if "end of document" in reason else 0
        problems.append(Problem(file=str(file), line=line, rule="", reason=reason))
        return
    problems.extend(
        Problem(file=str(file), line=0, rule="", reason=f"unknown table or key {key!r}; rules are [[rules]]")
        for key in sorted(document.keys() - {"rules"})
    )
    tables = document.get("rules", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        problems.append(Problem(file=str(file), line=0, rule="", reason="rules are written as [[rules]] tables"))
        return
    if not tables:
        problems.append(Problem(file=str(file), line=0, rule="", reason="the file holds no [[rules]]"))
    blocks = _blocks(str(file), text)
    for place, table in enumerate(tables):
        block = blocks[place] if place < len(blocks) else Block(str(file), 0, {})
        _read_rule(table, block, rules, problems)


def _read_rule(
    table: dict[str, Any], block: Block, rules: list[tuple[AnyRule, Block]], problems: list[Problem]
) -> None:
    name = str(table.get("id", ""))
    try:
        rules.append((RULE.validate_python(table), block))
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            # The first part of a location is the kind that chose the class; without it none could be chosen.
            keys = [str(part) for part in fault["loc"][1:]] if fault["loc"] else ["kind"]
            reason = _PYDANTIC_NOISE.sub("", fault["msg"])
            reason = f"{'.'.join(keys)}: {reason}" if keys else reason
            problems.append(block.problem(name, reason, *keys[:1]))


def _blocks(file: str, text: str) -> list[Block]:
    """The `[[rules]]` tables of a text, found by their headers; inline forms have no place of their own."""
    blocks: list[Block] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if _HEADER.match(line):
            blocks.append(Block(file, number, {}))
        elif blocks and not _TABLE.match(line) and "=" in line:
            key = line.split("=", 1)[0].strip().split(".", 1)[0]
            blocks[-1].keys.setdefault(key, number)
    return blocks
