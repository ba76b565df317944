"""What an adapter is given and what it answers: the wall between the outbox and a regulator's API."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

import httpx

OutcomeKind = Literal["accepted", "validated", "rejected", "pending", "temporary", "config_error", "no_reply"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event on its way to one target. `payload` is the canonical event (alerts/event.py), not yet mapped."""

    id: int
    alert_id: int
    target: str
    phase: Literal["raise", "end"]
    idempotency_key: str
    payload: dict[str, Any]
    state: Literal["pending", "accepted"]
    reason: str
    attempts: int  # calls made so far
    pending_since: datetime
    accepted_at: datetime | None
    receipt: str | None
    doubted_since: datetime | None  # receivers without keys: an earlier send may have arrived


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one call came to.

    accepted: the regulator has it (with `receipt` where its result comes later). validated, rejected: the result.
    pending: no result yet. temporary: it surely does not have it, and a later call may succeed. config_error: it
    surely does not have it, and only a person can change that. no_reply: nobody knows whether it has it.
    """

    kind: OutcomeKind
    reason: str = ""
    status: int | None = None
    receipt: str | None = None
    retry_after_s: float | None = None
    request: dict[str, Any] = field(default_factory=dict)  # secrets masked
    response: str = ""  # cut at 2 KB


class Adapter(Protocol):
    """Speaks one regulator's API for one target. Whatever it raises counts as `no_reply`."""

    asynchronous: bool
    """Whether an acceptance is followed by a result that must be asked for with `poll`."""

    async def send(self, client: httpx.AsyncClient, delivery: Delivery) -> Outcome:
        """Deliver the event: accepted, temporary, config_error or no_reply."""
        ...

    async def poll(self, client: httpx.AsyncClient, delivery: Delivery) -> Outcome:
        """Ask for the result behind `delivery.receipt`: validated, rejected, pending, or why it cannot be had."""
        ...
