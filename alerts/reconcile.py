"""Compares what we say we reported with what the regulator says it has.

Differences, by idempotency key:

    missing     we say it was accepted; the regulator does not have it
    unsaid      the regulator has it; we say that it is pending, uncertain, dead ...
    unknown     the regulator has it under our name; we know of no such delivery
    doubled     the regulator has it more than once
    result      both have it, with different results
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

import httpx
import psycopg
from psycopg.rows import class_row

from alerts.adapters.base import Held, ListingAdapter
from core.clock import Clock
from core.sql import queries

DifferenceKind = Literal["missing", "unsaid", "unknown", "doubled", "result"]
_SQL = queries("alerts")
_SETTLED = frozenset({"accepted", "validated", "rejected"})
# What was accepted near an end of the span may have arrived beyond it, or be on its way.
_MARGIN = timedelta(hours=1)
_CHUNK = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """A delivery as we have it."""

    id: int
    alert_id: int
    phase: str
    key: str
    state: str
    receipt: str | None
    accepted_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing on which the two sides do not agree."""

    kind: DifferenceKind
    key: str
    detail: str
    delivery: int | None = None
    alert: int | None = None
    phase: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The whole comparison of one target over one span."""

    target: str
    since: datetime
    until: datetime
    ours: int
    theirs: int
    agreed: int
    differences: list[Difference] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The report with times as RFC 3339."""
        return {
            **asdict(self),
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "differences": [asdict(difference) for difference in self.differences],
        }


async def reconcile(
    connection: psycopg.AsyncConnection[Any],
    client: httpx.AsyncClient,
    adapter: ListingAdapter,
    *,
    target: str,
    since: datetime,
    until: datetime,
    clock: Clock,
) -> Report:
    """Compare the span [since, until): deliveries accepted in it, and what reached the regulator in it.

    Raises:
        Unavailable: the regulator cannot be asked.
    """
    until = min(until, clock.now())
    theirs = {held.key: held async for held in adapter.held(client, since - _MARGIN, until + _MARGIN)}
    ours = {delivery.key: delivery async for delivery in _accepted(connection, target, since, until)}
    inside = {key: held for key, held in theirs.items() if since <= held.arrived_at < until}
    strange = [key for key in inside if key not in ours]
    known = {delivery.key: delivery async for delivery in _named(connection, target, strange)}
    differences: list[Difference] = []
    agreed = 0
    for key, delivery in ours.items():
        held = theirs.get(key)
        if held is None and delivery.receipt:
            # A call whose reply was lost may have arrived long before it was accepted.
            held = await adapter.holds(client, key, delivery.receipt)
        found = _compare(delivery, held)
        differences += found
        agreed += not found
    for key in strange:
        held = inside[key]
        if key not in known:
            when = f"arrived {held.arrived_at.isoformat(timespec='seconds')}"
            differences.append(Difference(kind="unknown", key=key, detail=f"no delivery here has this key; {when}"))
        elif known[key].state in _SETTLED:
            found = _compare(known[key], held)
            differences += found
            agreed += not found
        else:
            differences.append(_of(known[key], "unsaid", f"the regulator has it, here it is {known[key].state}"))
    return Report(
        target=target,
        since=since,
        until=until,
        ours=len(ours),
        theirs=len(inside),
        agreed=agreed,
        differences=sorted(differences, key=lambda difference: (difference.kind, difference.delivery or 0)),
    )


def _compare(delivery: Reported, held: Held | None) -> list[Difference]:
    if held is None:
        return [_of(delivery, "missing", f"here it is {delivery.state}, the regulator does not have it")]
    found = []
    if held.times > 1:
        found.append(_of(delivery, "doubled", f"the regulator has it {held.times} times"))
    if delivery.state == "validated" and held.status == "rejected":
        found.append(_of(delivery, "result", f"here it is validated, there rejected: {held.reason}"))
    if delivery.state == "rejected" and held.status == "validated":
        found.append(_of(delivery, "result", "here it is rejected, there validated"))
    return found


def _of(delivery: Reported, kind: DifferenceKind, detail: str) -> Difference:
    return Difference(
        kind=kind, key=delivery.key, detail=detail, delivery=delivery.id, alert=delivery.alert_id, phase=delivery.phase
    )


async def _accepted(
    connection: psycopg.AsyncConnection[Any], target: str, since: datetime, until: datetime
) -> AsyncIterator[Reported]:
    async with connection.cursor(row_factory=class_row(Reported)) as cursor:
        asked = {"target": target, "since": since, "until": until}
        async for row in await cursor.execute(_SQL["deliveries_accepted"], asked):
            yield row


async def _named(connection: psycopg.AsyncConnection[Any], target: str, keys: list[str]) -> AsyncIterator[Reported]:
    async with connection.cursor(row_factory=class_row(Reported)) as cursor:
        for start in range(0, len(keys), _CHUNK):
            asked = {"target": target, "keys": keys[start : start + _CHUNK]}
            async for row in await cursor.execute(_SQL["deliveries_named"], asked):
                yield row
