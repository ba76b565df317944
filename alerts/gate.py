"""How many calls a target may be given now: switch, circuit breaker, pauses and rate. Pure rules, no I/O.

The state is a row that all workers share. While the circuit is open, one call at a time finds out whether the regulator
is back; it costs no other delivery an attempt. Retry-After pauses the whole target, for it is said to the platform.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from alerts.adapters.base import Outcome
from core.settings import TargetSettings

_PROBE_FIRST_S, _PROBE_LONGEST_S = 2.0, 60.0
_BURST_S = 10.0
RETRY_AFTER_MAX_S = 6 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetState:
    """A row of target_state."""

    failures: int = 0
    opened_at: datetime | None = None
    paused_until: datetime | None = None
    reason: str = ""
    tokens: float | None = None
    tokens_at: datetime | None = None
    off_since: datetime | None = None  # a person has switched it off

    @property
    def is_open(self) -> bool:
        """Whether the circuit is open: the regulator did not answer for a while."""
        return self.opened_at is not None


@dataclass(frozen=True, slots=True)
class Allowance:
    """Calls that may be made now; `probe`: one that finds out whether the regulator is back, due or not."""

    calls: int
    probe: bool = False


def allowance(state: TargetState, target: TargetSettings, *, wanted: int, now: datetime) -> Allowance:
    """How many of the `wanted` calls may be made now."""
    if state.off_since is not None:
        return Allowance(0)
    if state.paused_until is not None and now < state.paused_until:
        return Allowance(0)
    if state.is_open:
        return Allowance(min(wanted, 1), probe=True)
    if target.per_minute:
        wanted = min(wanted, math.floor(_tokens(state, target, now)))
    return Allowance(wanted)


def after_claim(
    state: TargetState, target: TargetSettings, allowed: Allowance, *, calls: int, now: datetime
) -> TargetState:
    """The state after `calls` were taken up."""
    if allowed.probe and calls:
        # Nobody else probes while this call is under way.
        return replace(state, paused_until=now + timedelta(seconds=target.timeout_s))
    if target.per_minute and calls:
        return replace(state, tokens=_tokens(state, target, now) - calls, tokens_at=now)
    return state


def after_call(state: TargetState, target: TargetSettings, outcome: Outcome, *, now: datetime) -> TargetState:
    """The state after a call came to this."""
    if not is_failure(outcome):
        state = replace(state, failures=0, opened_at=None, paused_until=None, reason="") if state.is_open else state
        state = replace(state, failures=0)
    else:
        failures = state.failures + 1
        state = replace(state, failures=failures, reason=outcome.reason[:500])
        if target.breaker_failures and failures >= target.breaker_failures:
            beyond = min(failures - target.breaker_failures, 20)
            wait_s = min(_PROBE_FIRST_S * 2.0**beyond, _PROBE_LONGEST_S)
            state = replace(state, opened_at=state.opened_at or now, paused_until=now + timedelta(seconds=wait_s))
    if outcome.retry_after_s:
        asked = now + timedelta(seconds=min(outcome.retry_after_s, RETRY_AFTER_MAX_S))
        paused = state.paused_until
        state = replace(
            state, paused_until=asked if paused is None else max(paused, asked), reason=outcome.reason[:500]
        )
    return state


def is_failure(outcome: Outcome) -> bool:
    """Whether the regulator as a whole seems to be away: no answer, nonsense, or a failure of its own."""
    if outcome.kind == "temporary":
        return outcome.status is None or outcome.status >= 500
    return outcome.kind == "no_reply"


def _tokens(state: TargetState, target: TargetSettings, now: datetime) -> float:
    capacity = max(1.0, target.per_minute * _BURST_S / 60)
    if state.tokens is None or state.tokens_at is None:
        return capacity
    passed_s = max((now - state.tokens_at).total_seconds(), 0.0)
    return min(state.tokens + passed_s * target.per_minute / 60, capacity)
