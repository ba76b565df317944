"""Reads registry files into rows: TOML with all sections, CSV with devices. What is wrong goes into the report."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import ValidationError

from sensors.provision.faults import explained
from sensors.provision.report import Report, RowError
from sensors.provision.rows import CameraRow, DeviceRow, PermitRow, PersonRow, Row, SiteRow, UnitRow
from sensors.provision.sheets import NoText, columns_of, records, text_of

R_co = TypeVar("R_co", bound=Row, covariant=True)

# In the order in which they are applied: a row refers only to sections before its own.
SECTIONS: dict[str, type[Row]] = {
    "units": UnitRow,
    "sites": SiteRow,
    "people": PersonRow,
    "devices": DeviceRow,
    "cameras": CameraRow,
    "permits": PermitRow,
}


@dataclass(frozen=True, slots=True)
class Sourced(Generic[R_co]):
    """A row that is right in itself, and where it stands; `line` of a CSV file."""

    file: str
    place: str
    row: R_co
    line: int | None = None

    @property
    def key(self) -> str:
        """What makes the row one thing within its section."""
        return identity(self.row)

    def error(self, field: str, code: str, **values: object) -> RowError:
        """An error of this row."""
        return RowError.of(self.file, self.place, self.line, field, code, **values)


@dataclass(slots=True)
class Rows:
    """The rows of all files by section, in the order of the files."""

    units: list[Sourced[UnitRow]] = field(default_factory=list)
    sites: list[Sourced[SiteRow]] = field(default_factory=list)
    people: list[Sourced[PersonRow]] = field(default_factory=list)
    devices: list[Sourced[DeviceRow]] = field(default_factory=list)
    cameras: list[Sourced[CameraRow]] = field(default_factory=list)
    permits: list[Sourced[PermitRow]] = field(default_factory=list)


def read_files(paths: Sequence[Path], report: Report) -> Rows:
    """Read all files; the second row of the same thing is an error, the first one stays."""
    found: dict[str, list[Sourced[Any]]] = {section: [] for section in SECTIONS}
    seen: dict[tuple[str, str], Sourced[Row]] = {}
    for path in paths:
        for raw in _raw_rows(path, report):
            section, sourced = raw.section, _check(str(path), raw, report)
            if sourced is None:
                continue
            first = seen.setdefault((section, identity(sourced.row)), sourced)
            if first is not sourced:
                report.errors.append(
                    sourced.error("code", "given_twice", key=first.key, other=first.file, place=first.place)
                )
            else:
                found[section].append(sourced)
    return Rows(**found)


def identity(row: Row) -> str:
    """What makes a row one thing within its section."""
    if isinstance(row, PermitRow):
        return f"{row.site}/{row.reference}"
    return f"{row.site}/{row.code}" if isinstance(row, DeviceRow | CameraRow) else str(getattr(row, "code", ""))


class _Raw(NamedTuple):
    """A row as it was read."""

    section: str
    place: str
    values: Any
    line: int | None = None


def _raw_rows(path: Path, report: Report) -> list[_Raw]:
    def refuse(code: str, row: str = "", **values: object) -> list[_Raw]:
        report.errors.append(RowError.of(str(path), row, None, "", code, **values))
        return []

    try:
        raw = path.read_bytes()
        if path.suffix == ".csv":
            return _csv_rows(path, text_of(raw), report)
        text = raw.decode("utf-8-sig")
    except OSError as error:
        return refuse("unreadable", reason=error.strerror)
    except NoText as error:
        return refuse("no_text", reason=error)
    except UnicodeDecodeError as error:
        return refuse("no_utf8", byte=error.start)
    if path.suffix != ".toml":
        return refuse("no_registry_file")
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return refuse("no_toml", reason=error)
    rows = []
    for section, items in content.items():
        if section not in SECTIONS:
            refuse("no_section", section, sections=", ".join(f"[[{name}]]" for name in SECTIONS))
        elif not isinstance(items, list):
            refuse("no_list", section, section=section)
        else:
            rows += [_Raw(section, f"{section}[{number}]", item) for number, item in enumerate(items, start=1)]
    return rows


def _csv_rows(path: Path, text: str, report: Report) -> list[_Raw]:
    def refuse(code: str, line: int, field: str = "", **values: object) -> None:
        report.errors.append(RowError.of(str(path), f"line {line}", line, field, code, **values))

    found = records(text)
    first, title = next(found, (1, ""))
    if isinstance(title, str):
        refuse("no_titles", first, reason=title) if title else refuse("empty_file", first)
        return []
    columns = columns_of(title)
    while columns and not columns[-1]:
        columns.pop()  # spreadsheet programs write what was once touched
    doubled = [name for name in columns if columns.count(name) > 1]
    unknown = [name for name in columns if name not in DeviceRow.model_fields]
    missing = [name for name, field in DeviceRow.model_fields.items() if field.is_required() and name not in columns]
    for code, names in (("column_twice", doubled), ("column_unknown", unknown), ("column_missing", missing)):
        if names:
            refuse(code, first, names[0], column=names[0], columns=", ".join(DeviceRow.model_fields))
    if doubled or unknown or missing:
        return []
    rows = []
    for line, cells in found:
        if isinstance(cells, str):
            refuse("no_csv", line, reason=cells)
        elif any(cell.strip() for cell in cells[len(columns) :]):
            refuse("too_many_cells", line, columns=len(columns))
        # An empty cell says nothing, as a field that a TOML row leaves out.
        elif given := {name: cell.strip() for name, cell in zip(columns, cells, strict=False) if cell.strip()}:
            rows.append(_Raw("devices", f"line {line}", given, line))
    return rows


def _check(file: str, raw: _Raw, report: Report) -> Sourced[Row] | None:
    place = raw.place
    if isinstance(raw.values, dict) and isinstance(code := raw.values.get("code"), str):
        place = f"{place} ({code[:64]})"
    try:
        return Sourced(file, place, SECTIONS[raw.section].model_validate(raw.values), raw.line)
    except ValidationError as error:
        # The input is left out: it may be a secret.
        for fault in error.errors(include_url=False, include_input=False):
            field = ".".join(str(part) for part in fault["loc"])
            code, values, message = explained(fault)
            report.errors.append(
                RowError(file=file, row=place, line=raw.line, field=field, code=code, values=values, message=message)
            )
        return None
