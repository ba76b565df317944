"""Alerts: the list, one with its story, acknowledgement and review."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from psycopg import AsyncConnection
from pydantic import BaseModel, ConfigDict, Field, model_validator

from alerts import desk
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
from api.context import Context, Database, Here, Row, Text, row, rows
from api.errors import documented
from api.keys import MayKey
from api.states import Severity
from core.errors import InvalidInput, NotFound, SmartsiteError
from sensors.registry import load_registry

router = APIRouter(prefix="/alerts", tags=["alerts"])

AlertId = Annotated[int, Path(ge=1, lt=2**63, description="The alert's number.", examples=[7])]


class Acknowledgement(BaseModel):
    """What the person says on taking note."""

    model_config = ConfigDict(extra="forbid")

    comment: Text = Field(default="", max_length=1000, examples=["洒水车已到位"])


class ManyAcknowledged(Acknowledgement):
    """Several alerts at once."""

    ids: list[Annotated[int, Field(ge=1, lt=2**63)]] = Field(
        min_length=1, max_length=500, description="Numbers of alerts.", examples=[[7, 8]]
    )


class Refused(BaseModel):
    """An alert of several that nothing was done with."""

    id: int
    code: str = Field(description="As that of an error.", examples=["not_found"])
    message: str


class Outcomes(BaseModel):
    """What became of each of several alerts."""

    done: list[int] = Field(description="Numbers, those included that were acknowledged before.")
    refused: list[Refused]


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


class Remark(BaseModel):
    """What a person writes into the alert's history."""

    model_config = ConfigDict(extra="forbid")

    comment: Text = Field(min_length=1, max_length=1000, examples=["已通知分包单位"])


class Assignment(BaseModel):
    """Who shall deal with an alert."""

    model_config = ConfigDict(extra="forbid")

    person: Text | None = Field(max_length=100, description="The person's code; null: nobody.", examples=["li"])


class NewSeverity(BaseModel):
    """A person's severity."""

    model_config = ConfigDict(extra="forbid")

    severity: Severity
    reason: Text = Field(default="", max_length=1000, examples=["紧邻学校"])


class Assignee(BaseModel):
    """Someone who may deal with an alert."""

    code: str
    name: str
    name_en: str
    role: str


@router.get("", summary="List alerts", responses=documented(401, 422))
async def page(
    viewer: Seen,
    database: Database,
    state: Annotated[Literal["open", "all"], Query(description="open: not cleared yet.")] = "all",
    site_id: Annotated[int | None, Query(ge=1, lt=2**31)] = None,
    severity: Annotated[list[Severity] | None, Query(description="One or more; none: all.")] = None,
    mine: Annotated[bool, Query(description="Only those that the person was told of or is to deal with.")] = False,
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
        person_id=viewer.id if mine else None,
        before=position(cursor) if cursor else None,
    )
    following = cursor_of(found[-1]) if len(found) == limit else None
    return AlertPage(items=[Alert(**alert_fields(one)) for one in found], next=following)


@router.post("/acknowledge", summary="Take note of several alerts", responses=documented(401, 403, 422))
async def acknowledge_many(said: ManyAcknowledged, viewer: Writer, context: Here, database: Database) -> Outcomes:
    """As one by one: each is done or refused by itself, and sending it again changes nothing."""
    outcomes = Outcomes(done=[], refused=[])
    for number in dict.fromkeys(said.ids):
        try:
            await _take_note(database, context, viewer, number, said.comment, None)
        except SmartsiteError as error:
            if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
            outcomes.refused.append(Refused(id=number, code=error.code, message=error.message))
        else:
            outcomes.done.append(number)
    return outcomes


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
    alert_id: AlertId,
    viewer: Writer,
    context: Here,
    database: Database,
    said: Acknowledgement | None = None,
    key: MayKey = None,
) -> Alert:
    """Record that the person knows. The first to acknowledge is kept; sending it again changes nothing.

    A remark that comes with a later acknowledgement is kept as a remark.
    """
    await _take_note(database, context, viewer, alert_id, said.comment if said else "", key)
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
    async with database.transaction():
        await _must_see(database, viewer, alert_id)
        await desk.review(
            database, alert_id, decision.verdict, viewer.code, decision.reason, context.clock, seen=decision.seen
        )
        await _audit(context, database, viewer, "alert.review", alert_id, decision.model_dump(exclude_none=True))
    return Alert(**alert_fields(await _load(database, viewer, alert_id)))


@router.post("/{alert_id}/comments", summary="Add a remark", responses=documented(401, 403, 404, 409, 422))
async def comment(
    alert_id: AlertId, remark: Remark, viewer: Writer, context: Here, database: Database, key: MayKey = None
) -> Alert:
    """Write a remark into the alert's history; sent again under the same key it is the same remark."""
    async with database.transaction():
        await _must_see(database, viewer, alert_id)
        if await desk.comment(database, alert_id, remark.comment, viewer.code, context.clock, key=key):
            await _audit(context, database, viewer, "alert.comment", alert_id, remark.model_dump())
    return Alert(**alert_fields(await _load(database, viewer, alert_id)))


@router.get("/{alert_id}/assignees", summary="Who may deal with an alert", responses=documented(401, 404, 422))
async def assignees(alert_id: AlertId, viewer: Seen, database: Database) -> list[Assignee]:
    """People who may see the alert's site."""
    found = await _load(database, viewer, alert_id)
    asked = {"site_id": found["site_id"], "sites": viewer.scope}
    return [Assignee(**one) for one in await rows(database, SQL["assignees"], asked)]


@router.put("/{alert_id}/assignee", summary="Assign an alert", responses=documented(401, 403, 404, 422))
async def assign(alert_id: AlertId, wanted: Assignment, viewer: Writer, context: Here, database: Database) -> Alert:
    """Say who deals with it, or with null that nobody does; the same again changes nothing."""
    async with database.transaction():
        site = await _must_see(database, viewer, alert_id)
        able = await rows(database, SQL["assignees"], {"site_id": site, "sites": viewer.scope})
        if wanted.person is not None and wanted.person not in {one["code"] for one in able}:
            raise InvalidInput(f"{wanted.person!r} is nobody who may see the site", hint="choose one of the assignees")
        await desk.assign(database, alert_id, wanted.person, viewer.code, context.clock)
        await _audit(context, database, viewer, "alert.assign", alert_id, wanted.model_dump())
    return Alert(**alert_fields(await _load(database, viewer, alert_id)))


@router.put("/{alert_id}/severity", summary="Set an alert's severity", responses=documented(401, 403, 404, 409, 422))
async def severity(alert_id: AlertId, wanted: NewSeverity, viewer: Writer, context: Here, database: Database) -> Alert:
    """Find it more or less severe than its rule does; it stays so until the rule says worse."""
    registry = await load_registry(database)
    async with database.transaction():
        await _must_see(database, viewer, alert_id)
        await desk.set_severity(
            database,
            alert_id,
            wanted.severity,
            viewer.code,
            wanted.reason,
            context.clock,
            registry=registry,
            settings=context.settings,
        )
        await _audit(context, database, viewer, "alert.severity", alert_id, wanted.model_dump())
    return Alert(**alert_fields(await _load(database, viewer, alert_id)))


@router.post("/{alert_id}/clear", summary="Clear an alert by hand", responses=documented(401, 403, 404, 409, 422))
async def clear(alert_id: AlertId, said: Remark, viewer: Writer, context: Here, database: Database) -> Alert:
    """End it although its rule does not; while the value is beyond the limit the next reading raises a new one."""
    registry = await load_registry(database)
    async with database.transaction():
        await _must_see(database, viewer, alert_id)
        await desk.clear(
            database,
            alert_id,
            viewer.code,
            context.clock,
            registry=registry,
            settings=context.settings,
            comment=said.comment,
        )
        await _audit(context, database, viewer, "alert.clear", alert_id, said.model_dump())
    return Alert(**alert_fields(await _load(database, viewer, alert_id)))


async def _take_note(
    database: AsyncConnection, context: Context, viewer: Viewer, alert_id: int, comment: str, key: str | None
) -> None:
    async with database.transaction():
        await _must_see(database, viewer, alert_id)
        _, written = await desk.acknowledge(database, alert_id, viewer.code, context.clock, comment=comment, key=key)
        if written:
            action = "alert.acknowledge" if written == "acknowledged" else "alert.comment"
            await _audit(context, database, viewer, action, alert_id, {"comment": comment})


async def _load(database: AsyncConnection, viewer: Viewer, alert_id: int) -> Row:
    found = await find_alerts(database, viewer.scope, ids=[alert_id], exempt=None, limit=1)
    if not found:
        raise NotFound(f"there is no alert {alert_id}")
    return found[0]


async def _must_see(database: AsyncConnection, viewer: Viewer, alert_id: int) -> int:
    """The alert's site."""
    found = await row(database, SQL["alert_site"], {"id": alert_id, "sites": viewer.scope})
    if found is None:
        raise NotFound(f"there is no alert {alert_id}")
    return int(found["site_id"])


async def _audit(
    context: Here, database: AsyncConnection, viewer: Viewer, action: str, alert_id: int, detail: dict[str, Any]
) -> None:
    await audit.append(
        database, at=context.clock.now(), actor=viewer.code, action=action, thing=f"alert:{alert_id}", detail=detail
    )
