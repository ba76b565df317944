"""Alerts: the list, one with its story, acknowledgement and review."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from psycopg import AsyncConnection
from pydantic import BaseModel, ConfigDict, Field, model_validator

from alerts import life
from api import audit
from api.access import SQL, Seen, Viewer, Writer
from api.alert_models import (
    Alert,
    AlertDetail,
    AlertEvent,
    AlertPage,
    Delivery,
    Notification,
    Sighting,
    Verdict,
    alert_fields,
    cursor_of,
    find_alerts,
    position,
)
from api.context import Database, Here, Row, Text, row, rows
from api.errors import documented
from api.states import Severity
from core.errors import NotFound

router = APIRouter(prefix="/alerts", tags=["alerts"])

AlertId = Annotated[int, Path(ge=1, lt=2**63, description="The alert's number.", examples=[7])]


class Acknowledgement(BaseModel):
    """What the person says on taking note."""

    model_config = ConfigDict(extra="forbid")

    comment: Text = Field(default="", max_length=1000, examples=["洒水车已到位"])


class Review(BaseModel):
    """A reviewer's decision on what the machine saw."""

    model_config = ConfigDict(extra="forbid")

    verdict: Verdict
    reason: Text = Field(default="", max_length=1000, examples=["安全帽颜色与背景相近"])
    seen: Literal["helmet", "nothing"] | None = Field(
        default=None, description="What a false alarm really was: a head with a hard hat, or no head at all."
    )

    @model_validator(mode="after")
    def _only_of_a_false_alarm(self) -> Review:
        if self.seen is not None and self.verdict != "false_alarm":
            raise ValueError("`seen` belongs to a false alarm")
        return self


@router.get("", summary="List alerts", responses=documented(401, 422))
async def page(
    viewer: Seen,
    database: Database,
    state: Annotated[Literal["open", "all"], Query(description="open: not cleared yet.")] = "all",
    site_id: Annotated[int | None, Query(ge=1, lt=2**31)] = None,
    severity: Annotated[list[Severity] | None, Query(description="One or more; none: all.")] = None,
    exempt: Annotated[bool, Query(description="True: those of times in which their site was exempt.")] = False,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(max_length=100, description="`next` of the page before.")] = None,
) -> AlertPage:
    """Alerts of the sites that the person may see, newest first."""
    found = await find_alerts(
        database,
        viewer.scope,
        limit=limit,
        site_id=site_id,
        severities=severity,
        only_open=state == "open",
        exempt=exempt,
        before=position(cursor) if cursor else None,
    )
    following = cursor_of(found[-1]) if len(found) == limit else None
    return AlertPage(items=[Alert(**alert_fields(one)) for one in found], next=following)


@router.get("/{alert_id}", summary="One alert with its story", responses=documented(401, 404, 422))
async def read(alert_id: AlertId, viewer: Seen, database: Database) -> AlertDetail:
    """The alert, what happened to it, and each delivery and notification with its reason."""
    found = await _load(database, viewer, alert_id)
    asked = {"id": alert_id, "sites": viewer.scope}
    return AlertDetail(
        **alert_fields(found),
        sightings=[Sighting(**one) for one in await rows(database, SQL["alert_sightings"], asked)],
        events=[AlertEvent(**one) for one in await rows(database, SQL["alert_events"], asked)],
        deliveries=[Delivery(**one) for one in await rows(database, SQL["alert_deliveries"], asked)],
        notifications=[Notification(**one) for one in await rows(database, SQL["alert_notifications"], asked)],
    )


@router.post("/{alert_id}/acknowledge", summary="Take note of an alert", responses=documented(401, 403, 404, 409, 422))
async def acknowledge(
    alert_id: AlertId, viewer: Writer, context: Here, database: Database, said: Acknowledgement | None = None
) -> Alert:
    """Record that the person knows. The first to acknowledge is kept; sending it again changes nothing."""
    viewer.must("acknowledge")
    comment = said.comment if said else ""
    async with database.transaction():
        await _must_see(database, viewer, alert_id)
        await life.acknowledge(database, alert_id, viewer.code, context.clock, comment=comment)
        await _audit(context, database, viewer, "alert.acknowledge", alert_id, {"comment": comment})
    return Alert(**alert_fields(await _load(database, viewer, alert_id)))


@router.post(
    "/{alert_id}/review",
    summary="Confirm an alert or call it a false alarm",
    responses=documented(401, 403, 404, 409, 422),
)
async def review(alert_id: AlertId, decision: Review, viewer: Writer, context: Here, database: Database) -> Alert:
    """Decide on an alert: a confirmed one goes to the regulator, a false alarm does not.

    The same decision again is answered alike; another one is a conflict.
    """
    viewer.must("review")
    async with database.transaction():
        await _must_see(database, viewer, alert_id)
        await life.review(
            database, alert_id, decision.verdict, viewer.code, decision.reason, context.clock, seen=decision.seen
        )
        await _audit(context, database, viewer, "alert.review", alert_id, decision.model_dump(exclude_none=True))
    return Alert(**alert_fields(await _load(database, viewer, alert_id)))


async def _load(database: AsyncConnection, viewer: Viewer, alert_id: int) -> Row:
    found = await find_alerts(database, viewer.scope, ids=[alert_id], exempt=None, limit=1)
    if not found:
        raise NotFound(f"there is no alert {alert_id}")
    return found[0]


async def _must_see(database: AsyncConnection, viewer: Viewer, alert_id: int) -> None:
    if await row(database, SQL["alert_site"], {"id": alert_id, "sites": viewer.scope}) is None:
        raise NotFound(f"there is no alert {alert_id}")


async def _audit(
    context: Here, database: AsyncConnection, viewer: Viewer, action: str, alert_id: int, detail: dict[str, Any]
) -> None:
    await audit.append(
        database, at=context.clock.now(), actor=viewer.code, action=action, thing=f"alert:{alert_id}", detail=detail
    )
