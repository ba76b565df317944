"""What a run of provisioning did, and what it could not do."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sensors.provision.faults import message

Outcome = Literal["created", "updated", "unchanged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowError:
    """One fault: `row` is a line of a CSV file or a place like `devices[3]` in TOML; `message` says what to do.

    `code` and `values` say the same to programs: those of sensors.provision.faults, or pydantic's. `line` is that of a
    CSV file, None elsewhere and where the whole file is at fault.
    """

    file: str
    row: str
    field: str
    code: str
    values: Mapping[str, str]
    message: str
    line: int | None = None

    @classmethod
    def of(cls, file: str, row: str, line: int | None, field: str, code: str, **values: object) -> RowError:
        """A fault of ours."""
        said = {name: str(value) for name, value in values.items()}
        return cls(file=file, row=row, line=line, field=field, code=code, values=said, message=message(code, said))

    def __str__(self) -> str:
        place = ": ".join(part for part in (self.file, self.row, self.field) if part)
        return f"{place}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowResult:
    """What became of a row that was applied; `key` is its code, of devices and cameras `site/code`."""

    file: str
    row: str
    section: str
    key: str
    outcome: Outcome
    line: int | None = None


@dataclass(frozen=True, slots=True)
class GeneratedSecret:
    """A secret that was made because the row named none. It is not kept anywhere else: hand it to the device."""

    user: str
    secret: str = field(repr=False)


@dataclass(slots=True)
class Report:
    """Counts by section, what became of each row, errors, and the secrets that were generated."""

    outcomes: dict[str, Counter[Outcome]] = field(default_factory=dict)
    results: list[RowResult] = field(default_factory=list)
    errors: list[RowError] = field(default_factory=list)
    secrets: list[GeneratedSecret] = field(default_factory=list)

    def applied(self, result: RowResult) -> None:
        """Note and count a row."""
        self.results.append(result)
        self.outcomes.setdefault(result.section, Counter())[result.outcome] += 1

    @property
    def changed(self) -> bool:
        """Whether anything in the registry was created or updated."""
        return any(counter["created"] or counter["updated"] for counter in self.outcomes.values())

    def write_results(self, path: Path) -> None:
        """Write a CSV file (with a mark, for spreadsheet programs) of a line a row and what became of it: `created`,
        `updated`, `unchanged`, or `error` with field and message. A row with two faults has two lines."""
        with path.open("w", encoding="utf-8-sig", newline="") as sheet:
            writer = csv.writer(sheet)
            writer.writerow(["file", "row", "key", "result", "field", "message"])
            writer.writerows([one.file, one.row, one.key, one.outcome, "", ""] for one in self.results)
            writer.writerows([one.file, one.row, "", "error", one.field, one.message] for one in self.errors)

    def write_secrets(self, path: Path) -> None:
        """Write the generated secrets as a CSV file that only its owner may read; an existing file is not touched.

        Raises:
            FileExistsError: a file of that name is there, and may hold the secrets of an earlier run.
        """
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as sheet:
            sheet.write("user,secret\n")
            sheet.writelines(f"{made.user},{made.secret}\n" for made in self.secrets)

    def __str__(self) -> str:
        lines = [
            f"{section}: {counter['created']} created, {counter['updated']} updated, {counter['unchanged']} unchanged"
            for section, counter in self.outcomes.items()
        ]
        if self.errors:
            lines.append(f"{len(self.errors)} errors; the rows they name were left out")
        if not lines:
            lines.append("no rows")
        return "\n".join(lines)
