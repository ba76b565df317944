"""Changing a thing only as it was read: entity tags and the headers If-Match and If-None-Match (RFC 9110, 13.1)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Header

from api.errors import FaultyFields, Stale
from core.errors import NotFound

IfMatch = Annotated[str | None, Header(description="The `etag` that was read.")]
IfNoneMatch = Annotated[str | None, Header(description="`*`: only where there is no such thing yet.")]


@dataclass(frozen=True, slots=True)
class Precondition:
    """What the caller has read: the etag, or nothing where something new is to be made."""

    if_match: str | None
    if_none_match: str | None

    def check(self, what: str, present: str | None) -> None:
        """Raise where the thing (`present`: its etag, None where there is none) is not as it was read."""
        if self.if_match is None and self.if_none_match != "*":
            raise FaultyFields(
                {"header.if-match": "send the etag that was read, or If-None-Match: * for something new"}
            )
        if present is None and self.if_match is not None:
            raise NotFound(f"there is no {what}")
        if present is not None and self.if_match != present:
            reason = "is there already" if self.if_match is None else "was changed meanwhile"
            raise Stale(f"{what} {reason}", hint="read it again")


def etag_of(facts: Mapping[str, Any]) -> str:
    """The entity tag of what a row tells."""
    text = json.dumps(facts, sort_keys=True, ensure_ascii=False, default=str)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
