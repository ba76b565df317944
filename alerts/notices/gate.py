"""How often an address may be given messages: its limit by the minute, and rests after failures. Pure rules, no I/O.

The limit is a sliding window, counted in calls that were begun, so that no minute holds more than the vendor allows.
A part of it is kept for red messages: however many others there are, a red one finds room.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from alerts.notices.contacts import scheme_of

RED = 3
"""Priority of a message that may use the whole limit."""

_MINUTE = timedelta(seconds=60)
_KEPT_FOR_RED = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A row of channel_gate with the limit of its kind; `per_minute` None: not limited."""

    endpoint: str
    per_minute: float | None
    calls: tuple[datetime, ...] = ()
    failures: int = 0
    paused_until: datetime | None = None


def endpoint_of(contact: str) -> str:
    """Name of the address behind a contact: messages to one robot count together, whoever's contact it is.

    The scheme and a digest, for the address may hold a token. All text messages go through one gateway.
    """
    scheme = scheme_of(contact)
    if scheme == "sms":
        return "sms"
    try:
        parts = urlsplit(contact)
        where = f"{parts.netloc}{parts.path}"
    except ValueError:
        where = contact
    return f"{scheme}:{hashlib.sha256(where.encode()).hexdigest()[:16]}"


def ready_at(gate: Gate, priority: int, *, now: datetime) -> datetime | None:
    """When the next message of this priority may go; None: now."""
    paused = gate.paused_until if gate.paused_until is not None and gate.paused_until > now else None
    if paused is not None or gate.per_minute is None:
        return paused
    calls = _recent(gate, now)
    limit = _limit(gate.per_minute, priority)
    if len(calls) < limit:
        return None
    return calls[len(calls) - limit] + _MINUTE


def left(gate: Gate, priority: int, *, now: datetime) -> float:
    """Messages of this priority that may still go within this minute."""
    if gate.per_minute is None:
        return math.inf
    return max(_limit(gate.per_minute, priority) - len(_recent(gate, now)), 0)


def after_call(gate: Gate, *, now: datetime) -> Gate:
    """The gate after a call was begun."""
    if gate.per_minute is None:
        return gate
    return replace(gate, calls=(*_recent(gate, now), now))


def _recent(gate: Gate, now: datetime) -> tuple[datetime, ...]:
    return tuple(call for call in gate.calls if call > now - _MINUTE)


def _limit(per_minute: float, priority: int) -> int:
    limit = math.floor(per_minute)
    return limit if priority >= RED else max(1, limit - math.ceil(limit * _KEPT_FOR_RED))
