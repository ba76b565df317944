"""Deliveries to regulators: what stopped, every call that was made, and a person's decision."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from alerts import outbox
from api import audit
from api.access import SQL, Seen, Viewer, Writer
from api.alert_models import Delivery
from api.context import Database, Here, Millis, Row, Text, row, rows
from api.errors import documented
from core.errors import NotFound
from sensors.registry import load_registry

router = APIRouter(prefix="/deliveries", tags=["deliveries"])

DeliveryId = Annotated[int, Path(ge=1, lt=2**63, description="The delivery's number.", examples=[7])]
State = Literal[
    "held", "pending", "accepted", "validated", "rejected", "config_error", "uncertain", "dead", "withdrawn"
]


class Attempt(BaseModel):
    """One call to the regulator."""

    at: Millis
    kind: Literal["send", "poll"]
    status: int | None = Field(description="HTTP status; null where no answer came.")
    outcome: str = Field(examples=["accepted"])
    error: str
    request: dict[str, Any] = Field(description="What was sent, secrets masked and cut to a size.")
    response: str = Field(description="The first 2 KB of the answer.")
    duration_ms: float | None


class ListedDelivery(Delivery):
    """A delivery with its alert."""

    alert_id: int
    site_id: int
    rule: str


class DeliveryDetail(ListedDelivery):
    """A delivery with every call made for it."""

    attempts_made: list[Attempt]


class DeliveryPage(BaseModel):
    """Newest first."""

    items: list[ListedDelivery]
    next: int | None = Field(description="`before` of the next page; null on the last.")


class Decision(BaseModel):
    """What a person found out about a delivery in doubt."""

    model_config = ConfigDict(extra="forbid")

    reason: Text = Field(min_length=1, max_length=500, examples=["局方来电确认已收到"])


@router.get("", summary="List deliveries", responses=documented(401, 422))
async def page(
    viewer: Seen,
    database: Database,
    state: Annotated[list[State] | None, Query(description="One or more; none: all.")] = None,
    target: Annotated[str | None, Query(max_length=32)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    before: Annotated[int | None, Query(ge=1, lt=2**63, description="`next` of the page before.")] = None,
) -> DeliveryPage:
    """Deliveries of the sites that the person may see, newest first."""
    asked = {"sites": viewer.scope, "states": state, "target": target, "before": before, "limit": limit, "id": None}
    found = await rows(database, SQL["deliveries"], asked)
    return DeliveryPage(
        items=[ListedDelivery(**one) for one in found], next=found[-1]["id"] if len(found) == limit else None
    )


@router.get("/{delivery_id}", summary="One delivery with its calls", responses=documented(401, 404, 422))
async def read(delivery_id: DeliveryId, viewer: Seen, database: Database) -> DeliveryDetail:
    """The delivery and every call made for it, oldest first."""
    found = await _load(database, viewer, delivery_id)
    made = await rows(database, SQL["delivery_attempts"], {"id": delivery_id, "sites": viewer.scope})
    return DeliveryDetail(**found, attempts_made=[Attempt(**one) for one in made])


@router.post("/{delivery_id}/resend", summary="Send a delivery again", responses=documented(401, 403, 404, 409, 422))
async def resend(delivery_id: DeliveryId, viewer: Writer, context: Here, database: Database) -> ListedDelivery:
    """Take up a delivery again that stopped at `config_error`, `uncertain` or `dead`, under the same key."""
    await _load(database, viewer, delivery_id)
    registry = await load_registry(database)
    async with database.transaction():
        targets = context.settings.alerts.targets
        state = await outbox.resend(database, delivery_id, registry, targets, context.clock)
        await _audit(context, database, viewer, "delivery.resend", delivery_id, {"state": state})
    return ListedDelivery(**await _load(database, viewer, delivery_id))


@router.post(
    "/{delivery_id}/confirm",
    summary="Say that the regulator has a delivery in doubt",
    responses=documented(401, 403, 404, 409, 422),
)
async def confirm(
    delivery_id: DeliveryId, decision: Decision, viewer: Writer, context: Here, database: Database
) -> ListedDelivery:
    """Settle an `uncertain` delivery that the regulator was found to have: it counts as accepted and is not sent."""
    async with database.transaction():
        await _load(database, viewer, delivery_id)
        await outbox.confirm(database, delivery_id, viewer.code, decision.reason, context.clock)
        await _audit(context, database, viewer, "delivery.confirm", delivery_id, decision.model_dump())
    return ListedDelivery(**await _load(database, viewer, delivery_id))


async def _load(database: Database, viewer: Viewer, delivery_id: int) -> Row:
    asked = {"sites": viewer.scope, "states": None, "target": None, "before": None, "limit": 1, "id": delivery_id}
    found = await row(database, SQL["deliveries"], asked)
    if found is None:
        raise NotFound(f"there is no delivery {delivery_id}")
    return found


async def _audit(
    context: Here, database: Database, viewer: Viewer, action: str, delivery_id: int, detail: dict[str, Any]
) -> None:
    await audit.append(
        database,
        at=context.clock.now(),
        actor=viewer.code,
        action=action,
        thing=f"delivery:{delivery_id}",
        detail=detail,
    )
