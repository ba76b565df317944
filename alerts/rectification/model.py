"""An order to rectify a hazard: its states, its row, and how it is read.

ordered -> rectifying -> submitted -> passed, or returned -> rectifying -> submitted ...; withdrawn from any open state.
Listed supervision and a stop of work are facts beside the state.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
import psycopg
from psycopg.rows import dict_row

from core.errors import NotFound
from core.settings.rectification import Level
from core.sql import queries

State = Literal["ordered", "rectifying", "submitted", "returned", "passed", "withdrawn"]
Source = Literal["alert", "inspection", "free"]
Kind = Literal[
    "ordered",
    "started",
    "submitted",
    "passed",
    "returned",
    "deadline",  # another deadline
    "reassigned",
    "commented",
    "listed",  # put under listed supervision
    "delisted",
    "stop_work",
    "resumed",  # work may go on
    "withdrawn",
    "reminded",
]
OPEN: frozenset[State] = frozenset({"ordered", "rectifying", "submitted", "returned"})
"""States in which an order is not closed."""
IN_HAND: frozenset[State] = frozenset({"ordered", "rectifying", "returned"})
"""States in which the responsible person is to act; in `submitted` the reviewer is."""

CLOCK = "clock"
"""Actor of what no person did."""

_SQL = queries(__package__)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `rectification`. Times are UTC aware; `version` grows with every step."""

    id: int
    number: str
    site_id: int
    source: Source
    alert_id: int | None
    level: Level
    title: str
    description: str
    location: str
    requirement: str
    unit_id: int | None
    person_id: int
    state: State
    version: int
    rounds: int
    ordered_at: datetime
    ordered_by: str
    term_from: datetime
    deadline_at: datetime
    submitted_at: datetime | None
    submitted_by: str | None
    closed_at: datetime | None
    listed_at: datetime | None
    stop_work_at: datetime | None
    stop_work_scope: str

    def overdue(self, now: datetime) -> bool:
        """Whether the deadline has passed and nothing waits for review."""
        return self.state in IN_HAND and now >= self.deadline_at


async def load(connection: psycopg.AsyncConnection[Any], order_id: int, *, lock: bool = False) -> Order:
    """One order; with `lock` its row is locked until the caller's transaction ends.

    Raises:
        NotFound: there is no such order.
    """
    if lock:
        await connection.execute(_SQL["order_lock"], {"id": order_id})
    found = await load_many(connection, [order_id])
    if order_id not in found:
        raise NotFound(f"there is no rectification order {order_id}")
    return found[order_id]


async def load_many(connection: psycopg.AsyncConnection[Any], ids: Sequence[int]) -> dict[int, Order]:
    """The orders of these ids that exist, by id."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["orders"], {"ids": list(ids)})
        return {values["id"]: Order(**values) for values in await cursor.fetchall()}
