"""The decision about one device: pure, by what is held of it, what asks for it, and the time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from alerts.linkage.model import Linkage

RETRY = timedelta(minutes=1)
"""After a command that failed."""
_ROLL = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What is held of a device; the columns of `linkage_device`."""

    linkage: str
    is_on: bool
    since: datetime
    relieved_at: datetime | None = None
    rest_until: datetime | None = None
    paused_until: datetime | None = None
    off_command: str
    command_id: int | None = None
    seen_command: int = 0


@dataclass(frozen=True, slots=True)
class Demand:
    """A linkage asks for the device because of an open alert."""

    linkage: Linkage
    alert: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What happened to the device since the last look.

    `outcome`: of the last command given by a linkage. `manual`: how somebody switched it by hand, empty if nobody did;
    `manual_on`: what it is since, None where that is not known. `newest_command`: of people, by its id.
    """

    outcome: Literal["", "done", "failed"] = ""
    manual: str = ""
    manual_on: bool | None = None
    newest_command: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is done and why; `command` is sent to the device where it is not empty."""

    what: Literal["on", "off", "handed_over", "paused", "resumed", "failed"]
    linkage: str
    reason: str
    alert: int | None = None
    command: str = ""


def decide(
    held: Held | None, owner: Linkage | None, demands: Sequence[Demand], seen: Seen, now: datetime
) -> tuple[Held | None, Decision | None]:
    """What is held from now on, and what was decided; at most one thing at a time, the next follows at the next look.

    `owner` is the linkage that holds the device, None where there is none of that name any more. The first of
    `demands` is the one that counts.
    """
    if held is None:
        if seen.manual and demands:
            first = demands[0].linkage
            fresh = Held(linkage=first.id, is_on=bool(seen.manual_on), since=now, off_command=first.off)
            return _pause(fresh, first, seen, now)
        return _switch_on(None, demands[0], seen, now) if demands else (None, None)
    held = replace(held, seen_command=max(held.seen_command, seen.newest_command))
    if seen.manual:
        return _pause(held, owner, seen, now)
    if held.paused_until is not None:
        if now < held.paused_until:
            return held, None
        resumed = replace(held, paused_until=None, since=now, relieved_at=None)
        return resumed, Decision(what="resumed", linkage=held.linkage, reason="the pause is over")
    if seen.outcome == "failed":
        # On: it is taken for off. Off: it is taken for on, and tried again; water that runs is worse than none.
        failed = replace(held, is_on=not held.is_on, rest_until=now + RETRY, relieved_at=None, command_id=None)
        return failed, Decision(what="failed", linkage=held.linkage, reason="the command was refused or not replied to")
    return _on(held, owner, demands, now) if held.is_on else _off(held, demands, seen, now)


def _off(held: Held, demands: Sequence[Demand], seen: Seen, now: datetime) -> tuple[Held, Decision | None]:
    if not demands or (held.rest_until is not None and now < held.rest_until):
        return held, None
    return _switch_on(held, demands[0], seen, now)


def _on(held: Held, owner: Linkage | None, demands: Sequence[Demand], now: datetime) -> tuple[Held, Decision | None]:
    age = now - held.since
    if owner is not None and age >= owner.maximum_on:
        return _switch_off(held, f"on for {_words(age)}, the longest time", now, rest=owner.rest)
    if demands:
        if all(demand.linkage.id != held.linkage for demand in demands):
            # One owner: the other's times count from here on, and nothing is sent.
            first = demands[0]
            handed = replace(held, linkage=first.linkage.id, off_command=first.linkage.off, relieved_at=None)
            reason = f"{held.linkage} no longer asks for it"
            return handed, Decision(what="handed_over", linkage=first.linkage.id, reason=reason, alert=first.alert)
        return replace(held, relieved_at=None), None
    if owner is None:
        return _switch_off(held, "its linkage is gone", now)
    held = replace(held, relieved_at=held.relieved_at or now)
    assert held.relieved_at is not None
    waiting = held.rest_until is not None and now < held.rest_until  # after an off that failed
    if age >= owner.minimum_on and now - held.relieved_at >= owner.off_after and not waiting:
        return _switch_off(held, f"no alert for {_words(now - held.relieved_at)}", now)
    return held, None


def _switch_on(held: Held | None, demand: Demand, seen: Seen, now: datetime) -> tuple[Held, Decision]:
    linkage = demand.linkage
    fresh = Held(
        linkage=linkage.id,
        is_on=True,
        since=now,
        off_command=linkage.off,
        seen_command=max(seen.newest_command, held.seen_command if held else 0),
    )
    reason = f"alert {demand.alert} is open"
    return fresh, Decision(what="on", linkage=linkage.id, reason=reason, alert=demand.alert, command=linkage.on)


def _switch_off(held: Held, reason: str, now: datetime, rest: timedelta | None = None) -> tuple[Held, Decision]:
    off = replace(held, is_on=False, since=now, relieved_at=None, rest_until=None if rest is None else now + rest)
    return off, Decision(what="off", linkage=held.linkage, reason=reason, command=held.off_command)


def _pause(held: Held, owner: Linkage | None, seen: Seen, now: datetime) -> tuple[Held, Decision | None]:
    """Hands off. What was switched by hand stays as it is, until the pause is over."""
    until = now + (owner.pause if owner is not None else timedelta(0))
    again = held.paused_until is not None and now < held.paused_until
    is_on = held.is_on if seen.manual_on is None else seen.manual_on
    paused = replace(
        held, paused_until=until, is_on=is_on, since=now, relieved_at=None, rest_until=None, command_id=None
    )
    paused = replace(paused, seen_command=max(held.seen_command, seen.newest_command))
    if again:
        assert held.paused_until is not None
        # Not written anew at every look while it goes on.
        return (paused if until - held.paused_until >= _ROLL else replace(held, seen_command=paused.seen_command)), None
    return paused, Decision(what="paused", linkage=held.linkage, reason=seen.manual)


def _words(span: timedelta) -> str:
    return f"{span.total_seconds():.0f} s"
