"""Rectification orders over the API: ordered, submitted with photos, reviewed, supervised, counted.

Every write names the `version` that the person looked at and a key in the header Idempotency-Key: sent again under the
same key it changes nothing and is answered with the order as it stands.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query
from psycopg import AsyncConnection

from alerts.rectification import requests, statistics
from alerts.rectification.desk import Desk, Draft
from alerts.rectification.model import Order, State
from api import audit
from api.access import SQL, Seen, Viewer, Writer
from api.context import Context, Database, Here, Row, row, rows
from api.errors import documented
from api.rectification_models import (
    Assignment,
    NewDeadline,
    NewOrder,
    OrderDetail,
    OrderEvent,
    OrderId,
    OrderPage,
    OrderPhoto,
    Rectification,
    Remark,
    Review,
    Statistics,
    StatisticsRow,
    Step,
    StopWork,
    Submission,
    Supervision,
    order_fields,
)
from core.clock import from_micros
from core.errors import InvalidInput, NotFound
from sensors.registry import load_registry

router = APIRouter(prefix="/rectifications", tags=["rectifications"])

Key = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        min_length=8,
        max_length=100,
        pattern=r"^[!-~]+$",
        description="Chosen by the caller, new for every new request.",
    ),
]
Work = Callable[[Desk], Awaitable[Order]]


@router.get("", summary="List orders", responses=documented(401, 422))
async def page(
    viewer: Seen,
    context: Here,
    database: Database,
    state: Annotated[list[State] | None, Query(description="One or more; none: all.")] = None,
    site_id: Annotated[int | None, Query(ge=1, lt=2**31)] = None,
    overdue: Annotated[bool, Query(description="Only those past their deadline.")] = False,
    mine: Annotated[bool, Query(description="Only those that the person is responsible for.")] = False,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    before: Annotated[int | None, Query(ge=1, lt=2**63, description="`next` of the page before.")] = None,
) -> OrderPage:
    """Orders of the sites that the person may see, newest first."""
    found = await _find(
        database,
        viewer,
        context,
        states=state,
        site_id=site_id,
        overdue=overdue,
        person_id=viewer.id if mine else None,
        before=before,
        limit=limit,
    )
    return OrderPage(
        items=[Rectification(**order_fields(one)) for one in found],
        next=found[-1]["id"] if len(found) == limit else None,
    )


@router.post("", summary="Order a rectification", responses=documented(401, 403, 404, 409, 422))
async def order(wanted: NewOrder, viewer: Writer, context: Here, database: Database, key: Key) -> OrderDetail:
    """Order the rectification of a hazard, found by an alert, an inspection or otherwise; the person is told."""
    viewer.must_see(wanted.site_id)
    if wanted.alert_id is not None:
        asked = {"id": wanted.alert_id, "sites": viewer.scope}
        found = await row(database, SQL["alert_site"], asked)
        if found is None or found["site_id"] != wanted.site_id:
            raise NotFound(f"there is no alert {wanted.alert_id}")
    people = await _by_code(database, wanted)

    async def work(desk: Desk) -> Order:
        return await desk.order(
            Draft(
                **wanted.model_dump(exclude={"person", "unit", "source", "deadline_at"}),
                **people,
                source="alert" if wanted.alert_id is not None else wanted.source,
                deadline_at=None if wanted.deadline_at is None else from_micros(wanted.deadline_at * 1000),
            )
        )

    return await _write(database, context, viewer, key, "order", wanted.model_dump(), work)


@router.get("/statistics", summary="How orders are dealt with", responses=documented(401, 422))
async def count(
    viewer: Seen,
    context: Here,
    database: Database,
    by: Annotated[Literal["site", "unit"], Query(description="What the rows are.")] = "site",
    since: Annotated[int | None, Query(ge=0, lt=10**14, description="ms; none: 30 days ago.")] = None,
    until: Annotated[int | None, Query(ge=0, lt=10**14, description="ms; none: now.")] = None,
) -> Statistics:
    """Orders that were given in a period, by site or responsible unit: how many, how they ended, how long they took."""
    now = context.clock.now()
    end = from_micros(until * 1000) if until is not None else now + timedelta(seconds=1)
    begin = from_micros(since * 1000) if since is not None else now - timedelta(days=30)
    if begin >= end:
        raise InvalidInput("the period ends before it begins", hint="choose an earlier `since`")
    found = await statistics.count(database, by=by, scope=viewer.scope, since=begin, until=end, now=now)
    return Statistics(since=begin, until=end, rows=[StatisticsRow(**one) for one in found])


@router.get("/{order_id}", summary="One order with its history", responses=documented(401, 404, 422))
async def read(order_id: OrderId, viewer: Seen, context: Here, database: Database) -> OrderDetail:
    """The order, every step that was taken, and its photos."""
    return await _detail(database, viewer, context, order_id)


@router.post("/{order_id}/start", summary="Begin to rectify", responses=documented(401, 403, 404, 409, 422))
async def start(
    order_id: OrderId, said: Step, viewer: Writer, context: Here, database: Database, key: Key
) -> OrderDetail:
    """The responsible side has begun."""
    await _responsible(database, viewer, context, order_id)
    return await _step(
        database, context, viewer, key, order_id, "start", said, lambda desk: desk.start(order_id, said.version)
    )


@router.post("/{order_id}/submit", summary="Submit for review", responses=documented(401, 403, 404, 409, 422))
async def submit(
    order_id: OrderId, said: Submission, viewer: Writer, context: Here, database: Database, key: Key
) -> OrderDetail:
    """Report the hazard as removed, with photos that were uploaded for this order."""
    await _responsible(database, viewer, context, order_id)

    def work(desk: Desk) -> Awaitable[Order]:
        return desk.submit(order_id, said.version, said.text, said.photos)

    return await _step(database, context, viewer, key, order_id, "submit", said, work)


@router.post("/{order_id}/review", summary="Pass or return", responses=documented(401, 403, 404, 409, 422))
async def review(
    order_id: OrderId, said: Review, viewer: Writer, context: Here, database: Database, key: Key
) -> OrderDetail:
    """Pass what was submitted, or return it with a reason, and a new deadline where the old one has passed.

    Nobody reviews what they submitted. Orders under listed supervision are passed by those who may supervise.
    """
    found = await load_order(database, viewer, context, order_id)
    if said.passed and found["listed_at"] is not None:
        viewer.must("supervise")

    def work(desk: Desk) -> Awaitable[Order]:
        return desk.review(
            order_id,
            said.version,
            passed=said.passed,
            text=said.text,
            photos=said.photos,
            deadline_at=_moment(said.deadline_at),
        )

    return await _step(database, context, viewer, key, order_id, "review", said, work)


@router.post("/{order_id}/deadline", summary="Set another deadline", responses=documented(401, 403, 404, 409, 422))
async def deadline(
    order_id: OrderId, said: NewDeadline, viewer: Writer, context: Here, database: Database, key: Key
) -> OrderDetail:
    """Set another deadline; reminders count from now."""
    await load_order(database, viewer, context, order_id)

    def work(desk: Desk) -> Awaitable[Order]:
        return desk.set_deadline(order_id, said.version, from_micros(said.deadline_at * 1000), said.text)

    return await _step(database, context, viewer, key, order_id, "deadline", said, work)


@router.post("/{order_id}/assign", summary="Give to somebody else", responses=documented(401, 403, 404, 409, 422))
async def assign(
    order_id: OrderId, said: Assignment, viewer: Writer, context: Here, database: Database, key: Key
) -> OrderDetail:
    """Make another person, and perhaps another unit, responsible."""
    await load_order(database, viewer, context, order_id)
    people = await _by_code(database, said)

    def work(desk: Desk) -> Awaitable[Order]:
        return desk.reassign(order_id, said.version, people["person_id"], people["unit_id"], said.text)

    return await _step(database, context, viewer, key, order_id, "assign", said, work)


@router.post("/{order_id}/comment", summary="Add a remark", responses=documented(401, 403, 404, 409, 422))
async def comment(
    order_id: OrderId, said: Remark, viewer: Writer, context: Here, database: Database, key: Key
) -> OrderDetail:
    """Add a remark, with photos or without."""
    await load_order(database, viewer, context, order_id)

    def work(desk: Desk) -> Awaitable[Order]:
        return desk.comment(order_id, said.version, said.text, said.photos)

    return await _step(database, context, viewer, key, order_id, "comment", said, work)


@router.post(
    "/{order_id}/supervision", summary="Listed supervision (挂牌督办)", responses=documented(401, 403, 404, 409, 422)
)
async def supervise(
    order_id: OrderId, said: Supervision, viewer: Writer, context: Here, database: Database, key: Key
) -> OrderDetail:
    """Put the order under listed supervision, or take it off the list."""
    await load_order(database, viewer, context, order_id)

    def work(desk: Desk) -> Awaitable[Order]:
        return desk.list_(order_id, said.version, listed=said.listed, text=said.text)

    return await _step(database, context, viewer, key, order_id, "supervision", said, work)


@router.post("/{order_id}/stop-work", summary="Stop work", responses=documented(401, 403, 404, 409, 422))
async def stop_work(
    order_id: OrderId, said: StopWork, viewer: Writer, context: Here, database: Database, key: Key
) -> OrderDetail:
    """Stop work on the site or a part of it until that is lifted."""
    await load_order(database, viewer, context, order_id)

    def work(desk: Desk) -> Awaitable[Order]:
        return desk.stop_work(order_id, said.version, said.scope, said.text)

    return await _step(database, context, viewer, key, order_id, "stop_work", said, work)


@router.post("/{order_id}/resume-work", summary="Let work go on", responses=documented(401, 403, 404, 409, 422))
async def resume_work(
    order_id: OrderId, said: Remark, viewer: Writer, context: Here, database: Database, key: Key
) -> OrderDetail:
    """Lift the stop of work."""
    await load_order(database, viewer, context, order_id)

    def work(desk: Desk) -> Awaitable[Order]:
        return desk.resume_work(order_id, said.version, said.text)

    return await _step(database, context, viewer, key, order_id, "resume_work", said, work)


@router.post("/{order_id}/withdraw", summary="Withdraw an order", responses=documented(401, 403, 404, 409, 422))
async def withdraw(
    order_id: OrderId, said: Remark, viewer: Writer, context: Here, database: Database, key: Key
) -> OrderDetail:
    """Close an order that should not have been given."""
    await load_order(database, viewer, context, order_id)

    def work(desk: Desk) -> Awaitable[Order]:
        return desk.withdraw(order_id, said.version, said.text)

    return await _step(database, context, viewer, key, order_id, "withdraw", said, work)


async def _step(
    database: AsyncConnection[Any],
    context: Context,
    viewer: Viewer,
    key: str,
    order_id: int,
    action: str,
    said: Step,
    work: Work,
) -> OrderDetail:
    return await _write(database, context, viewer, key, action, {"order": order_id, **said.model_dump()}, work)


async def _write(
    database: AsyncConnection[Any],
    context: Context,
    viewer: Viewer,
    key: str,
    action: str,
    asked: dict[str, Any],
    work: Work,
) -> OrderDetail:
    """Do it once, however often it is sent, and answer with the order as it stands."""
    registry = await load_registry(database)
    now = context.clock.now()
    async with database.transaction():
        request = {"action": action, **asked}
        order_id = await requests.done_before(database, viewer.code, key, request, at=now)
        if order_id is None:
            desk = Desk(
                connection=database,
                actor=viewer.code,
                registry=registry,
                settings=context.settings,
                clock=context.clock,
            )
            done = await work(desk)
            order_id = done.id
            await requests.note(database, viewer.code, key, order_id)
            detail = {"version": done.version, **{name: value for name, value in asked.items() if value}}
            await audit_step(database, context, viewer, f"rectification.{action}", order_id, detail)
    return await _detail(database, viewer, context, order_id)


async def _detail(database: AsyncConnection[Any], viewer: Viewer, context: Context, order_id: int) -> OrderDetail:
    found = await load_order(database, viewer, context, order_id)
    asked = {"id": order_id, "sites": viewer.scope}
    events = await rows(database, SQL["rectification_events"], asked)
    shown = await rows(database, SQL["rectification_photos"], asked)
    return OrderDetail(
        **order_fields(found),
        events=[OrderEvent(**one) for one in events],
        photos=[OrderPhoto(**one) for one in shown],
    )


async def load_order(database: AsyncConnection[Any], viewer: Viewer, context: Context, order_id: int) -> Row:
    """The order, if the viewer may see it; raise NotFound otherwise."""
    found = await _find(database, viewer, context, order_id=order_id, limit=1)
    if not found:
        raise NotFound(f"there is no rectification order {order_id}")
    return found[0]


async def _responsible(database: AsyncConnection[Any], viewer: Viewer, context: Context, order_id: int) -> None:
    """Whoever is responsible may act, and whoever's role rectifies on the site."""
    found = await load_order(database, viewer, context, order_id)
    if found["person_id"] != viewer.id:
        viewer.must("rectify")


async def _find(
    database: AsyncConnection[Any],
    viewer: Viewer,
    context: Context,
    *,
    limit: int,
    order_id: int | None = None,
    states: list[State] | None = None,
    site_id: int | None = None,
    overdue: bool = False,
    person_id: int | None = None,
    before: int | None = None,
) -> list[Row]:
    asked = {
        "sites": viewer.scope,
        "id": order_id,
        "states": states,
        "site_id": site_id,
        "overdue": overdue,
        "person_id": person_id,
        "before": before,
        "limit": limit,
        "now": context.clock.now(),
    }
    return await rows(database, SQL["rectifications"], asked)


async def _by_code(database: AsyncConnection[Any], named: NewOrder | Assignment) -> dict[str, Any]:
    found = await row(database, SQL["person_and_unit"], {"person": named.person, "unit": named.unit})
    assert found is not None
    if found["person_id"] is None or (named.unit is not None and found["unit_id"] is None):
        what = named.unit if found["person_id"] is not None else named.person
        raise InvalidInput(f"there is no {what!r} on this site", hint="see GET /sites/{id}/people")
    return found


def _moment(value: int | None) -> datetime | None:
    return None if value is None else from_micros(value * 1000)


async def audit_step(
    database: AsyncConnection[Any],
    context: Context,
    viewer: Viewer,
    action: str,
    order_id: int,
    detail: dict[str, Any],
) -> None:
    """Note in the audit log, inside the caller's transaction, what was done with an order."""
    await audit.append(
        database,
        at=context.clock.now(),
        actor=viewer.code,
        action=action,
        thing=f"rectification:{order_id}",
        detail=detail,
    )
