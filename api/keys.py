"""The header Idempotency-Key: what is sent again under the same key is done once."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header

_HEADER = Header(
    alias="Idempotency-Key",
    min_length=8,
    max_length=100,
    pattern=r"^[!-~]+$",
    description="Chosen by the caller, new for every new request.",
)

Key = Annotated[str, _HEADER]
MayKey = Annotated[str | None, _HEADER]
