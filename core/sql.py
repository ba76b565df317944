"""Named SQL: every room keeps its statements in a `queries.sql` beside its code.

A statement starts with a line `-- name --`; comment lines below the header belong to the statement's reader.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import LiteralString, cast

_HEADER = re.compile(r"^-- (?P<name>[a-z][a-z0-9_]*) --$", re.MULTILINE)


@cache
def queries(package: str) -> Mapping[str, LiteralString]:
    """Statements of `<package>/queries.sql` by name.

    The text comes from the program's own files, never from a user, hence the LiteralString.
    """
    text = resources.files(package).joinpath("queries.sql").read_text(encoding="utf-8")
    parts = _HEADER.split(text)
    names, bodies = parts[1::2], parts[2::2]
    if len(set(names)) != len(names):
        doubled = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"{package}/queries.sql names a statement twice: {', '.join(doubled)}")
    return MappingProxyType(
        {name: cast("LiteralString", body.strip()) for name, body in zip(names, bodies, strict=True)}
    )
