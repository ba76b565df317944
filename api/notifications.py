"""Messages to people: every one that was sent or withheld, and why."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.access import SQL, Seen
from api.alert_models import Notification
from api.context import Database, Millis, rows
from api.errors import documented

router = APIRouter(prefix="/notifications", tags=["notifications"])

State = Literal["pending", "sent", "withheld", "failed", "uncertain"]


class ListedNotification(Notification):
    """A message with what it is about and how it went out."""

    alert_id: int | None
    rectification_id: int | None
    report_id: int | None
    site_id: int | None = Field(description="null: a report of all sites.")
    about: str = Field(
        description="The alert's rule, the order's number, or the report's kind and first day.", examples=["pm10-high"]
    )
    step: int = Field(description="Step of the escalation table; 0: none.")
    digest: bool = Field(description="Gathered with others into one message.")
    message: str = Field(description="Those with the same one went out together; empty: not tried yet.")
    next_attempt_at: Millis = Field(description="Of a pending one: not before.")


class NotificationPage(BaseModel):
    """Newest first."""

    items: list[ListedNotification]
    next: int | None = Field(description="`before` of the next page; null on the last.")


@router.get("", summary="List messages to people", responses=documented(401, 422))
async def page(
    viewer: Seen,
    database: Database,
    state: Annotated[list[State] | None, Query(description="One or more; none: all.")] = None,
    alert_id: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
    person: Annotated[str | None, Query(max_length=64, description="A person's code.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    before: Annotated[int | None, Query(ge=1, lt=2**63, description="`next` of the page before.")] = None,
) -> NotificationPage:
    """Messages about what belongs to the person's sites, each with the reason why it was sent or withheld."""
    asked = {
        "sites": viewer.scope,
        "states": state,
        "alert_id": alert_id,
        "person": person,
        "before": before,
        "limit": limit,
    }
    found = await rows(database, SQL["notifications"], asked)
    return NotificationPage(
        items=[ListedNotification(**one) for one in found], next=found[-1]["id"] if len(found) == limit else None
    )
