"""What can be wrong with a row: stable codes, and what each says in English.

Programs show a fault in their own language by its code and values; what pydantic itself finds has pydantic's codes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic_core import ErrorDetails, PydanticCustomError

FAULTS = {
    # Files and their lines.
    "unreadable": "cannot be read: {reason}",
    "no_text": "{reason}",
    "no_utf8": "is not UTF-8 (byte {byte}); save it again as a UTF-8 text file",
    "no_registry_file": "is neither .toml nor .csv; rename it",
    "no_toml": "is not TOML: {reason}",
    "no_section": "is not a section; there are {sections}",
    "no_list": "write [[{section}]], with two brackets, before each row",
    "no_titles": "is not a line of column titles: {reason}",
    "empty_file": "is not a line of column titles: the file is empty",
    "column_twice": "column {column} appears twice; columns are {columns}",
    "column_unknown": "column {column} is not known; columns are {columns}",
    "column_missing": "column {column} is missing; columns are {columns}",
    "no_csv": "is not CSV: {reason}; a quotation mark inside a cell is written twice",
    "too_many_cells": "has more cells than the {columns} columns; a comma inside a cell needs quotes around it",
    # A row in itself.
    "unprintable": "holds a control character or a line break; remove it",
    "no_time_zone": "'{zone}' is not an IANA time zone; write for example Asia/Shanghai",
    "no_json": 'write the options as JSON, for example {"crc": "either"}',
    "no_options": "{reason}",
    "no_contact": "a contact is an apprise URL such as mailto://..., dingtalk://... or json://...",
    "half_a_place": "give both latitude and longitude, or neither",
    "password_alone": "a password needs a login",
    "half_an_offset": "give both from and to an offset, or neither",
    "far_time": "the year {year} is none of a site; correct it",
    "backwards": "from must lie before to",
    # A row among others and in the registry.
    "given_twice": "'{key}' was already given in {other}, {place}; remove one",
    "no_unit": "there is no unit '{key}'; add it, correct the code, or mend the errors of its own row",
    "no_site": "there is no site '{key}'; add it, correct the code, or mend the errors of its own row",
    "no_device": "there is no device '{key}'; add it, correct the code, or mend the errors of its own row",
    "stage_began": "is when stage '{stage}' began; write when '{new}' did, or leave it out",
    "login_taken": "log-in '{login}' belongs to {person}; choose another",
    "no_kind": "'{kind}' is no kind of device; kinds are {kinds}",
    "other_kind": "is {kind} in the registry and cannot change; give the new device a code of its own",
    "mn_taken": "{mn} is the MN of {device}; correct it, or take it from that device first",
    "not_simulated": "the file has no site '{key}'; add it",
    "secret_needed": "is missing; the simulated device must know it",
    "own_gateway": "is the device itself; leave it out",
    # What pydantic finds, where we say it better.
    "missing": "is missing; give it a value",
    "extra_forbidden": "is not a field of this section; correct its name or remove it",
}


def message(code: str, values: Mapping[str, Any]) -> str:
    """A fault of ours in English."""
    return re.sub(r"\{(\w+)\}", lambda found: str(values[found[1]]), FAULTS[code])


def fault(code: str, **values: str) -> PydanticCustomError:
    """A fault for a validator to raise."""
    return PydanticCustomError(code, FAULTS[code], values)


def explained(found: ErrorDetails) -> tuple[str, dict[str, str], str]:
    """Code, values and message of what pydantic found; never the input, which may be a secret."""
    code = found["type"]
    values = {name: str(value) for name, value in found.get("ctx", {}).items() if name != "error"}
    return code, values, message(code, values) if code in FAULTS else found["msg"].removeprefix("Value error, ")
