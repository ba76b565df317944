"""What an adapter is given and what it answers: the wall between the outbox and a regulator's API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import httpx
from pydantic import BaseModel, ValidationError

from core.errors import ConfigurationError
from core.settings import TargetSettings, settings_file

Options = TypeVar("Options", bound=BaseModel)

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
    skew_s: float | None = None  # the regulator's clock minus ours, by its Date header


@runtime_checkable
class BatchAdapter(Protocol):
    """An adapter whose API takes several events in one call."""

    batch_max: int
    """Events in one call at most."""

    async def send_batch(self, client: httpx.AsyncClient, deliveries: Sequence[Delivery]) -> list[Outcome]:
        """Deliver the events in one call; an outcome for each, in their order."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One report as the regulator has it; `times` is how often it was stored."""

    key: str
    arrived_at: datetime
    times: int
    status: Literal["pending", "validated", "rejected"]
    reason: str


@runtime_checkable
class ListingAdapter(Protocol):
    """An adapter whose regulator tells what it has of us. Both raise Unavailable where it does not answer."""

    def held(self, client: httpx.AsyncClient, since: datetime, until: datetime) -> AsyncIterator[Held]:
        """What arrived in [since, until)."""
        ...

    async def holds(self, client: httpx.AsyncClient, key: str, receipt: str) -> Held | None:
        """The report behind a receipt, whenever it arrived; None where there is none."""
        ...


@runtime_checkable
class TriableAdapter(Protocol):
    """An adapter that may have a call which reports nothing, and shows that log-in and signature are right."""

    trial: Literal["signed_accepted", "token_given"] | None
    """What the call shows where it is accepted; None: as it is set up there is no such call."""

    async def try_out(self, client: httpx.AsyncClient) -> Outcome:
        """Make the call: accepted, temporary, config_error or no_reply."""
        ...


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


def options_of(target: TargetSettings, model: type[Options]) -> Options:
    """The target's `options` as its adapter has them; raise ConfigurationError naming file, field and fault."""
    try:
        return model.model_validate(target.options)
    except ValidationError as error:
        faults = "; ".join(
            f"options.{'.'.join(str(part) for part in fault['loc'])}: {fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors(include_input=False, include_url=False)
        )
        raise ConfigurationError(
            f"target {target.name} (adapter {target.adapter}): {faults}",
            hint=f"correct [alerts.targets.options] of {target.name} in {settings_file()}",
        ) from None
