"""What one call's outcome makes of a delivery: pure rules, no I/O.

Sends back off from 1 s to 1 h, doubling with every call really made; results are asked for ever more rarely as the
acceptance grows old. Retry-After is honoured up to 6 h.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Literal

from alerts.adapters.base import Delivery, Outcome
from alerts.gate import RETRY_AFTER_MAX_S
from core.settings import TargetSettings

State = Literal["pending", "accepted", "validated", "rejected", "config_error", "uncertain", "dead"]

_FIRST_S, _LONGEST_S = 1.0, 3600.0
_POLL_SHARE = 0.5
RESENT = "sent again after a lost reply: the regulator may have it twice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """The delivery's next state. `next_attempt_at` None: nothing more is to be done by itself."""

    state: State
    reason: str = ""
    next_attempt_at: datetime | None = None
    receipt: str | None = None
    accepted_at: datetime | None = None
    validated_at: datetime | None = None
    in_doubt_since: datetime | None = None


def settle_send(
    delivery: Delivery,
    outcome: Outcome,
    target: TargetSettings,
    *,
    asynchronous: bool,
    started_at: datetime,
    now: datetime,
    random: Random,
) -> Settlement:
    """After a send that began at `started_at`; `asynchronous`: the adapter can ask for a result later."""
    if outcome.kind == "accepted":
        return Settlement(
            state="accepted",
            reason=RESENT if delivery.doubted_since is not None else "",
            receipt=outcome.receipt,
            accepted_at=now,
            next_attempt_at=now + timedelta(seconds=_FIRST_S) if asynchronous else None,
        )
    if outcome.kind == "config_error":
        return Settlement(state="config_error", reason=outcome.reason, in_doubt_since=delivery.doubted_since)
    doubted_since = delivery.doubted_since
    if outcome.kind == "no_reply" and not target.keys:
        if target.on_uncertain == "ask":
            return Settlement(state="uncertain", reason=outcome.reason, in_doubt_since=started_at)
        doubted_since = doubted_since or started_at
    if now - delivery.pending_since >= timedelta(days=target.give_up_days):
        reason = f"given up after {target.give_up_days:g} days: {outcome.reason}"
        return Settlement(state="dead", reason=reason, in_doubt_since=doubted_since)
    wait_s = max(backoff_s(delivery.attempts + 1, random), _asked(outcome))
    return Settlement(
        state="pending",
        reason=outcome.reason,
        next_attempt_at=now + timedelta(seconds=wait_s),
        in_doubt_since=doubted_since,
    )


def settle_poll(delivery: Delivery, outcome: Outcome, target: TargetSettings, *, now: datetime) -> Settlement:
    """After asking for the result of an accepted delivery; whatever fails here, it stays accepted."""
    # What was sent twice stays so, whatever becomes of its result.
    doubt = RESENT if delivery.reason.startswith(RESENT) else ""
    if outcome.kind == "validated":
        return Settlement(state="validated", reason=doubt, validated_at=now)
    if outcome.kind == "rejected":
        return Settlement(state="rejected", reason=_both(outcome.reason, doubt))
    age = now - (delivery.accepted_at or delivery.pending_since)
    if age >= timedelta(days=target.give_up_days):
        return Settlement(state="accepted", reason=_both(doubt, f"no result within {target.give_up_days:g} days"))
    wait_s = max(min(max(age.total_seconds() * _POLL_SHARE, _FIRST_S), _LONGEST_S), _asked(outcome))
    return Settlement(
        state="accepted",
        reason=_both(doubt, "" if outcome.kind == "pending" else f"result not to be had: {outcome.reason}"),
        next_attempt_at=now + timedelta(seconds=wait_s),
    )


def _both(first: str, second: str) -> str:
    return "; ".join(part for part in (first, second) if part)


def backoff_s(attempts: int, random: Random, *, longest_s: float = _LONGEST_S) -> float:
    """Seconds to wait after the given number of calls, spread so that many do not come back at once."""
    return min(_FIRST_S * 2.0 ** min(attempts - 1, 20), longest_s) * random.uniform(0.5, 1.0)


def _asked(outcome: Outcome) -> float:
    return min(outcome.retry_after_s or 0.0, RETRY_AFTER_MAX_S)
