"""Looks into answers by JSON pointers (RFC 6901)."""

from __future__ import annotations

from typing import Any

import msgspec


def json_of(body: bytes) -> Any:
    """The body as JSON; None where it is anything else."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def at(value: Any, pointer: str) -> Any:
    """What stands at the pointer; None where there is nothing. The empty pointer is the whole."""
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and name.isdecimal() and len(name) < 10 and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value
