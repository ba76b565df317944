"""Writes docs/settings.md from the settings tree, so that no field can be left out (`make docs`)."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from core.settings import Settings

_HEAD = """\
# Settings

Every setting, in the order of its section. A setting comes from the file `smartsite.toml` (or the one named by
`--config` or `SMARTSITE_CONFIG`), where a section is a table:

```toml
data_dir = "/srv/smartsite"

[api]
port = 8080
```

or from an environment variable, which wins over the file: `SMARTSITE_API__PORT=8080`, lists and tables as JSON. What is
in force is shown by `smartsite config`. A name that does not exist is an error in the file.

This page is written by `make docs` from `core/settings/`.
"""


def page() -> str:
    """The whole page."""
    return _HEAD + "".join(_section("", Settings))


def _section(prefix: str, model: type[BaseModel]) -> Iterator[str]:
    rows, inner = [], []
    for name, field in model.model_fields.items():
        nested = _nested(field.annotation)
        if nested is not None and field.default is not None and not isinstance(field.default, list):
            inner.append((f"{prefix}{name}.", nested))
            continue
        rows.append(_row(f"{prefix}{name}", field))
        if nested is not None:
            several = "[]" if isinstance(field.default, list) or field.is_required() else ""
            inner.append((f"{prefix}{name}{several}.", nested))
    title = prefix.rstrip(".") or "The root"
    yield f"\n## {title}\n\n{_summary(model)}\n\n| setting | value | default | meaning |\n|---|---|---|---|\n"
    yield from rows
    for deeper, nested_model in inner:
        yield from _section(deeper, nested_model)


def _row(name: str, field: FieldInfo) -> str:
    meaning = (field.description or "").replace("|", "\\|")
    return f"| `{name}` | {_type(field.annotation)} | {_default(field)} | {meaning} |\n"


def _nested(annotation: Any) -> type[BaseModel] | None:
    """The section behind an annotation: itself, or the items of a list of it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in typing.get_args(annotation):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part
    return None


def _type(annotation: Any) -> str:
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return " \\| ".join(f"`{part}`" for part in parts)
    if origin in (typing.Union, types.UnionType):
        return _type(next(part for part in parts if part is not types.NoneType))
    if origin in (list, tuple):
        return f"list of {_type(parts[0])}"
    if origin is dict or (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return "table"
    names = {str: "text", int: "whole number", float: "number", bool: "true, false", Path: "path", SecretStr: "secret"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if isinstance(value, Path | Enum):
        value = str(value)
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    return "" if value in (None, "", [], {}) else f"`{json.dumps(value, ensure_ascii=False, default=_plain)}`"


def _plain(value: BaseModel) -> dict[str, Any]:
    return value.model_dump(mode="json", exclude_defaults=True)


def _summary(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]


if __name__ == "__main__":
    Path("docs/settings.md").write_text(page(), encoding="utf-8")
