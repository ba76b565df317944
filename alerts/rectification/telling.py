"""Who is told of a step of an order: rows of notification, sent by the same worker as word of alerts."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Literal

import psycopg

from alerts.notices.contacts import by_channel
from alerts.outbox import ring
from alerts.rectification.model import Order
from core.clock import Clock
from core.sql import queries
from sensors.registry import Person, Registry

OrderPhase = Literal[
    "ordered",
    "submitted",
    "returned",
    "passed",
    "deadline",
    "reminder",
    "overdue",
    "listed",
    "stop_work",
    "resumed",
    "withdrawn",
]
OrderReason = Literal[
    "responsible",  # sent: the person has to act, or had to
    "reviewer",  # sent: the person has to review
    "by_role",  # sent: the person's role is told of this step
    "no_contact",  # withheld: the person has no channel
    "closed",  # withheld: submitted or closed before it was sent
]

_SQL = queries("alerts.notices")
_SITE_SIDE = ("officer", "supervisor")
_ROLES: dict[str, tuple[str, ...]] = {
    "submitted": ("supervisor",),
    "listed": (*_SITE_SIDE, "leader"),
    "stop_work": _SITE_SIDE,
    "resumed": _SITE_SIDE,
}
_PRIORITY = {"minor": 1, "general": 2, "serious": 3}


async def tell(
    connection: psycopg.AsyncConnection[Any],
    order: Order,
    phase: OrderPhase,
    *,
    registry: Registry,
    actor: str,
    clock: Clock,
    roles: Collection[str] = (),
    step: int | None = None,
) -> None:
    """Write a row for every channel of everybody who is told; whoever took the step is not. Twice does nothing more."""
    rows = []
    for person, reason in _who(order, phase, registry, {*roles, *_ROLES.get(phase, ())}):
        if person.code == actor:
            continue
        rows += [
            (person.id, channel, "pending" if channel else "withheld", reason if channel else "no_contact")
            for channel in by_channel(person.contacts) or [""]
        ]
    if not rows:
        return
    people, channels, states, reasons = zip(*rows, strict=True)
    now = clock.now()
    await connection.execute(
        _SQL["notifications_put_order"],
        {
            "rectification_id": order.id,
            "phase": phase,
            "step": order.version if step is None else step,
            "priority": 3 if phase == "stop_work" else _PRIORITY[order.level],
            "now": now,
            "people": list(people),
            "channels": list(channels),
            "states": list(states),
            "reasons": list(reasons),
        },
    )
    await ring(connection)


def _who(
    order: Order, phase: OrderPhase, registry: Registry, roles: Collection[str]
) -> Iterator[tuple[Person, OrderReason]]:
    for person in registry.people.values():
        if not person.may_see(order.site_id):
            continue
        if phase == "submitted":
            if person.code == order.ordered_by or person.role in roles:
                yield person, "reviewer"
        elif person.id == order.person_id or person.code == order.submitted_by:
            yield person, "responsible"
        elif person.role in roles:
            yield person, "by_role"
