"""What is done with an order: begun, submitted, reviewed, put off, given to others, supervised, stopped, withdrawn.

Every step names the `version` that the person looked at and a key in the header Idempotency-Key.
"""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from psycopg import AsyncConnection

from alerts.rectification.desk import Desk
from alerts.rectification.model import Order
from api.access import Viewer, Writer
from api.context import Context, Database, Here
from api.errors import documented
from api.keys import Key
from api.rectification_models import (
    Assignment,
    NewDeadline,
    OrderDetail,
    OrderId,
    Remark,
    Review,
    Step,
    StopWork,
    Submission,
    Supervision,
)
from api.rectification_orders import Work, by_code, load_order, write
from core.clock import from_micros

router = APIRouter(prefix="/rectifications", tags=["rectifications"])


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
    people = await by_code(database, said.person, said.unit)

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
    return await write(database, context, viewer, key, action, {"order": order_id, **said.model_dump()}, work)


async def _responsible(database: AsyncConnection[Any], viewer: Viewer, context: Context, order_id: int) -> None:
    """Whoever is responsible may act, and whoever's role rectifies on the site."""
    found = await load_order(database, viewer, context, order_id)
    if found["person_id"] != viewer.id:
        viewer.must("rectify")


def _moment(value: int | None) -> datetime | None:
    return None if value is None else from_micros(value * 1000)
