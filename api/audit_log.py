"""The audit log to be read: who did what to what, newest first."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.access import SQL, Seen
from api.context import Database, Millis, Text, rows
from api.errors import documented

router = APIRouter(prefix="/audit", tags=["administration"])


class Deed(BaseModel):
    """One row of the log."""

    id: int = Field(examples=[812])
    at: Millis
    actor: str = Field(description="Code of the person; empty: nobody was logged in.", examples=["op-li"])
    actor_name: str | None
    actor_name_en: str | None
    action: str = Field(examples=["alert.acknowledge"])
    object: str = Field(description="What it was done to.", examples=["alert:7"])
    detail: dict[str, Any]


class DeedList(BaseModel):
    """Rows of the log, newest first."""

    items: list[Deed]
    next: int | None = Field(description="Send it as `before` for the rows before these; null: there are none.")


@router.get("", summary="The audit log", responses=documented(401, 403, 422))
async def page(
    _viewer: Seen,
    database: Database,
    actor: Annotated[Text | None, Query(max_length=64, description="Code of the person.")] = None,
    action: Annotated[Text | None, Query(max_length=64, description="The action, or how it begins.")] = None,
    before: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> DeedList:
    """What people and machines did. `smartsite audit verify` tells whether it is as it was written."""
    asked = {"actor": actor, "action": action, "before": before, "limit": limit + 1}
    found = await rows(database, SQL["audit_page"], asked)
    more = len(found) > limit
    return DeedList(items=[Deed(**one) for one in found[:limit]], next=found[limit - 1]["id"] if more else None)
