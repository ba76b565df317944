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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from dataclasses import field as field_
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from alerts.rules.faults import message
from alerts.rules.model import RULE, AnyRule
from sensors.provision.faults import explained

_HEADER = re.compile(r"^\s*\[\[\s*rules\s*\]\]")
_TABLE = re.compile(r"^\s*\[")
_TOML_LINE = re.compile(r"at line (\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something wrong in a rule file. `line` counts from 1, 0 where no line can be named; `rule` may be empty.

    `field` is the key of the rule that is at fault, empty where it is the rule as a whole. `reason` is English; `code`
    and `values` say the same to programs, the code is empty where there are no better words than the reason.
    """

    file: str
    line: int
    rule: str
    reason: str
    field: str = ""
    code: str = ""
    values: Mapping[str, str] = field_(default_factory=dict)

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: rule {self.rule}: {self.reason}" if self.rule else f"{place}: {self.reason}"


@dataclass(frozen=True, slots=True)
class RuleText:
    """Rules as somebody writes them, in no file yet; `name` is what its problems call it."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Block:
    """Where one `[[rules]]` table lies in its file: its header's line and the lines of its keys."""

    file: str
    line: int
    keys: dict[str, int]

    def problem(self, rule: str, code: str, *keys: str, reason: str = "", **values: str) -> Problem:
        """A problem of this rule, at the first of `keys` that is written in it, or at its header.

        `reason` says it better than the code's own words, or where the code is pydantic's.
        """
        line = next((self.keys[key] for key in keys if key in self.keys), self.line)
        field = keys[0] if keys else ""
        reason = reason or message(code, values)
        return Problem(file=self.file, line=line, rule=rule, reason=reason, field=field, code=code, values=values)


def builtin_packs() -> list[Path]:
    """The rule files that come with the program."""
    folder = resources.files("alerts").joinpath("packs")
    return [
        Path(str(entry))
        for entry in sorted(folder.iterdir(), key=lambda item: item.name)
        if entry.name.endswith(".toml")
    ]


def read(sources: Iterable[Path | RuleText]) -> tuple[list[tuple[AnyRule, Block]], list[Problem]]:
    """The rules of all files and texts that hold as they stand, with their places, and the problems of the others.

    A path may be a folder: its `*.toml` are read in the order of their names.
    """
    rules: list[tuple[AnyRule, Block]] = []
    problems: list[Problem] = []
    for path in sources:
        if isinstance(path, RuleText):
            _read_text(path.name, path.text, rules, problems)
            continue
        found = sorted(path.glob("*.toml")) if path.is_dir() else [path]
        if not found:
            problems.append(_of_file(str(path), "rules_no_file"))
        for file in found:
            _read_file(file, rules, problems)
    return rules, problems


def read_over(paths: Iterable[Path], written: Iterable[RuleText]) -> tuple[list[tuple[AnyRule, Block]], list[Problem]]:
    """As `read`: the rules of the files, the texts' in the places of those whose ids they have, then the others'."""
    over, faults = read(written)
    rules, problems = read(paths)
    by_id = {rule.id: (rule, block) for rule, block in over}
    found: list[tuple[AnyRule, Block]] = []
    for rule, block in rules:
        if (own := by_id.get(rule.id)) is None:
            found.append((rule, block))
        elif own not in found:
            found.append(own)
    return [*found, *(own for own in over if own not in found)], [*problems, *faults]


def _of_file(file: str, code: str, *, line: int = 0, **values: str) -> Problem:
    return Problem(file=file, line=line, rule="", reason=message(code, values), code=code, values=values)


def _read_file(file: Path, rules: list[tuple[AnyRule, Block]], problems: list[Problem]) -> None:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        problems.append(_of_file(str(file), "rules_unreadable", reason=error.strerror or str(error)))
    except UnicodeDecodeError as error:
        problems.append(_of_file(str(file), "rules_no_toml", reason=str(error)))
    else:
        _read_text(str(file), text, rules, problems)


def _read_text(file: str, text: str, rules: list[tuple[AnyRule, Block]], problems: list[Problem]) -> None:
    try:
        document = tomllib.loads(text)
    # Beside its own error the parser lets through that of a number with thousands of digits, and of deep nesting.
    except (ValueError, RecursionError) as error:
        match = _TOML_LINE.search(str(error))
        line = int(match[1]) if match else len(text.splitlines()) if "end of document" in str(error) else 0
        problems.append(_of_file(file, "rules_no_toml", line=line, reason=str(error)))
        return
    problems.extend(_of_file(file, "rules_unknown_key", key=key) for key in sorted(document.keys() - {"rules"}))
    tables = document.get("rules", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        problems.append(_of_file(file, "rules_no_tables"))
        return
    if not tables:
        problems.append(_of_file(file, "rules_none"))
    blocks = _blocks(file, text)
    for place, table in enumerate(tables):
        block = blocks[place] if place < len(blocks) else Block(file, 0, {})
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
            code, values, reason = explained(fault)
            place = ".".join(keys)
            reason = f"{place}: {reason}" if keys else reason
            problems.append(block.problem(name, code, *keys[:1], reason=reason, **values, at=place))


def excerpt(text: str, line: int) -> str:
    """The `[[rules]]` table whose header is on this line (from 1), without the comments before the next one."""
    lines = text.splitlines()
    end = next((place for place in range(line, len(lines)) if _HEADER.match(lines[place])), len(lines))
    while end > line and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    return "\n".join(lines[line - 1 : end]) + "\n"


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
