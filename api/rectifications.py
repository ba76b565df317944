"""Rectification orders over the API: listed, given, read, counted.

Every write names a key in the header Idempotency-Key: sent again under the same key it changes nothing and is answered
with the order as it stands.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query

from alerts.rectification import statistics
from alerts.rectification.desk import Desk, Draft
from alerts.rectification.model import Order, State
from api.access import SQL, Seen, Writer
from api.context import Database, Here, row
from api.errors import documented
from api.keys import Key
from api.rectification_models import (
    NewOrder,
    OrderDetail,
    OrderId,
    OrderPage,
    Rectification,
    Statistics,
    StatisticsRow,
    order_fields,
)
from api.rectification_orders import by_code, detail, find, write
from core.clock import from_micros
from core.errors import InvalidInput, NotFound

router = APIRouter(prefix="/rectifications", tags=["rectifications"])


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
    found = await find(
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
    people = await by_code(database, wanted.person, wanted.unit)

    async def work(desk: Desk) -> Order:
        return await desk.order(
            Draft(
                **wanted.model_dump(exclude={"person", "unit", "source", "deadline_at"}),
                **people,
                source="alert" if wanted.alert_id is not None else wanted.source,
                deadline_at=None if wanted.deadline_at is None else from_micros(wanted.deadline_at * 1000),
            )
        )

    return await write(database, context, viewer, key, "order", wanted.model_dump(), work)


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
    return await detail(database, viewer, context, order_id)
