"""Orders as the routes read and write them: found within the viewer's scope, changed once however often it is sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from psycopg import AsyncConnection

from alerts.rectification import requests
from alerts.rectification.desk import Desk
from alerts.rectification.model import Order, State
from api import audit
from api.access import SQL, Viewer
from api.context import Context, Row, row, rows
from api.rectification_models import OrderDetail, OrderEvent, OrderPhoto, order_fields
from core.errors import InvalidInput, NotFound
from sensors.registry import load_registry

Work = Callable[[Desk], Awaitable[Order]]


async def write(
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
            changed = {"version": done.version, **{name: value for name, value in asked.items() if value}}
            await audit_step(database, context, viewer, f"rectification.{action}", order_id, changed)
    return await detail(database, viewer, context, order_id)


async def detail(database: AsyncConnection[Any], viewer: Viewer, context: Context, order_id: int) -> OrderDetail:
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
    found = await find(database, viewer, context, order_id=order_id, limit=1)
    if not found:
        raise NotFound(f"there is no rectification order {order_id}")
    return found[0]


async def find(
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


async def by_code(database: AsyncConnection[Any], person: str, unit: str | None) -> dict[str, Any]:
    """`person_id` and `unit_id` of these codes; raise InvalidInput where there is no such person or unit."""
    found = await row(database, SQL["person_and_unit"], {"person": person, "unit": unit})
    assert found is not None
    if found["person_id"] is None or (unit is not None and found["unit_id"] is None):
        what = unit if found["person_id"] is not None else person
        raise InvalidInput(f"there is no {what!r} on this site", hint="see GET /sites/{id}/people")
    return found


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
