"""The decision about one device: pure, by what is held of it, what asks for it, and the time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from alerts.linkage.model import Linkage
from core.clock import micros

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
    withheld_alert: int = 0
    """Alerts up to here were answered, if only by saying why nothing is switched for them."""


@dataclass(frozen=True, slots=True)
class Demand:
    """A linkage asks for the device because of an open alert."""

    linkage: Linkage
    alert: int


@dataclass(frozen=True, slots=True)
class Why:
    """Why something was decided: a stable `code` with its `facts` for programs, and `text` for the log.

    Facts are numbers and texts; times are milliseconds since the epoch, spans seconds.
    """

    code: str
    text: str
    facts: Mapping[str, int | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """Somebody took the device over until a time; where `until` is not after `at`, they gave it back then."""

    by: str
    at: datetime
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What happened to the device since the last look.

    `outcome`: of the last command given by a linkage. `manual`: how somebody switched it by hand, None if nobody did;
    `manual_on`: what it is since, None where that is not known. `newest_command`: of people, by its id. `override`: the
    last word of anybody about the automatics.
    """

    outcome: Literal["", "done", "failed"] = ""
    manual: Why | None = None
    manual_on: bool | None = None
    newest_command: int = 0
    override: Override | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is done and why; `command` is sent to the device where it is not empty."""

    what: Literal["on", "off", "handed_over", "paused", "resumed", "failed", "withheld"]
    linkage: str
    why: Why
    alert: int | None = None
    command: str = ""


def decide(
    held: Held | None, owner: Linkage | None, demands: Sequence[Demand], seen: Seen, now: datetime
) -> tuple[Held | None, Decision | None]:
    """What is held from now on, and what was decided; at most one thing at a time, the next follows at the next look.

    `owner` is the linkage that holds the device, None where there is none of that name any more. The first of
    `demands` is the one that counts.
    """
    taken_over = seen.override is not None and now < seen.override.until
    if held is None:
        if not demands:
            return None, None
        if not taken_over and seen.manual is None:
            return _switch_on(None, demands[0], seen, now)
        first = demands[0].linkage
        held = Held(linkage=first.id, is_on=bool(seen.manual_on), since=now, off_command=first.off)
    held = replace(held, seen_command=max(held.seen_command, seen.newest_command))
    if taken_over:
        return _taken_over(held, demands, seen, now)
    if seen.manual is not None:
        return _by_hand(held, owner, demands, seen, now)
    if held.paused_until is not None:
        return _paused(held, demands, seen, now)
    if seen.outcome == "failed":
        # On: it is taken for off. Off: it is taken for on, and tried again; water that runs is worse than none.
        failed = replace(held, is_on=not held.is_on, rest_until=now + RETRY, relieved_at=None, command_id=None)
        why = Why("command_failed", "the command was refused or not replied to")
        return _answered(failed, demands), Decision(what="failed", linkage=held.linkage, why=why)
    return _on(held, owner, demands, now) if held.is_on else _off(held, demands, seen, now)


def _off(held: Held, demands: Sequence[Demand], seen: Seen, now: datetime) -> tuple[Held, Decision | None]:
    if not demands:
        return held, None
    if held.rest_until is not None and now < held.rest_until:
        text = f"it rests until {held.rest_until:%H:%M:%S} UTC"
        return _withhold(held, demands, Why("resting", text, {"until": _millis(held.rest_until)}))
    return _switch_on(held, demands[0], seen, now)


def _on(held: Held, owner: Linkage | None, demands: Sequence[Demand], now: datetime) -> tuple[Held, Decision | None]:
    age = now - held.since
    if owner is not None and age >= owner.maximum_on:
        why = Why("longest_time", f"on for {_words(age)}, the longest time", {"seconds": _seconds(age)})
        return _switch_off(_answered(held, demands), why, now, rest=owner.rest)
    if demands:
        if all(demand.linkage.id != held.linkage for demand in demands):
            # One owner: the other's times count from here on, and nothing is sent.
            first = demands[0]
            handed = replace(held, linkage=first.linkage.id, off_command=first.linkage.off, relieved_at=None)
            why = Why("owner_relieved", f"{held.linkage} no longer asks for it", {"linkage": held.linkage})
            return handed, Decision(what="handed_over", linkage=first.linkage.id, why=why, alert=first.alert)
        return replace(held, relieved_at=None), None
    if owner is None:
        return _switch_off(held, Why("linkage_gone", "its linkage is gone"), now)
    held = replace(held, relieved_at=held.relieved_at or now)
    waiting = held.rest_until is not None and now < held.rest_until  # after an off that failed
    assert held.relieved_at is not None
    calm = now - held.relieved_at
    if age >= owner.minimum_on and calm >= owner.off_after and not waiting:
        why = Why("recovered", f"no alert for {_words(calm)}", {"seconds": _seconds(calm)})
        return _switch_off(held, why, now)
    return held, None


def _switch_on(held: Held | None, demand: Demand, seen: Seen, now: datetime) -> tuple[Held, Decision]:
    linkage = demand.linkage
    fresh = Held(
        linkage=linkage.id,
        is_on=True,
        since=now,
        off_command=linkage.off,
        seen_command=max(seen.newest_command, held.seen_command if held else 0),
        withheld_alert=max(demand.alert, held.withheld_alert if held else 0),
    )
    why = Why("alert_open", f"alert {demand.alert} is open")
    return fresh, Decision(what="on", linkage=linkage.id, why=why, alert=demand.alert, command=linkage.on)


def _switch_off(held: Held, why: Why, now: datetime, rest: timedelta | None = None) -> tuple[Held, Decision]:
    off = replace(held, is_on=False, since=now, relieved_at=None, rest_until=None if rest is None else now + rest)
    return off, Decision(what="off", linkage=held.linkage, why=why, command=held.off_command)


def _by_hand(
    held: Held, owner: Linkage | None, demands: Sequence[Demand], seen: Seen, now: datetime
) -> tuple[Held, Decision | None]:
    """Hands off. What was switched by hand stays as it is, until the pause is over."""
    assert seen.manual is not None
    until = now + (owner.pause if owner is not None else timedelta(0))
    if held.paused_until is not None and now < held.paused_until:
        # Not written anew at every look while it goes on.
        longer = until - held.paused_until >= _ROLL
        held = replace(held, is_on=held.is_on if seen.manual_on is None else seen.manual_on)
        return (_pause(held, until, seen, now) if longer else held), None
    return _answered(_pause(held, until, seen, now), demands), Decision(
        what="paused", linkage=held.linkage, why=seen.manual, alert=_first(demands)
    )


def _taken_over(held: Held, demands: Sequence[Demand], seen: Seen, now: datetime) -> tuple[Held, Decision | None]:
    """Somebody took it over, or did so again for another time; new alerts are told why nothing is switched for them."""
    assert seen.override is not None
    override = seen.override
    if held.paused_until == override.until:
        if seen.manual_on is not None:
            held = replace(held, is_on=seen.manual_on)
        return _withhold(held, demands, _hands_off(override))
    paused = _answered(_pause(held, override.until, seen, now), demands)
    return paused, Decision(what="paused", linkage=held.linkage, why=_hands_off(override), alert=_first(demands))


def _paused(held: Held, demands: Sequence[Demand], seen: Seen, now: datetime) -> tuple[Held, Decision | None]:
    assert held.paused_until is not None
    override = seen.override
    given_back = override is not None and override.at > held.since
    if now < held.paused_until and not given_back:
        text = f"hands off until {held.paused_until:%H:%M:%S} UTC"
        return _withhold(held, demands, Why("hands_off", text, {"until": _millis(held.paused_until)}))
    why = Why("pause_over", "the pause is over")
    if given_back and override is not None:
        why = Why("given_back", f"{override.by} gave it back", {"by": override.by})
    resumed = replace(held, paused_until=None, since=now, relieved_at=None)
    return resumed, Decision(what="resumed", linkage=held.linkage, why=why)


def _pause(held: Held, until: datetime, seen: Seen, now: datetime) -> Held:
    is_on = held.is_on if seen.manual_on is None else seen.manual_on
    return replace(held, paused_until=until, is_on=is_on, since=now, relieved_at=None, rest_until=None, command_id=None)


def _withhold(held: Held, demands: Sequence[Demand], why: Why) -> tuple[Held, Decision | None]:
    """Nothing is switched; told once for each new alert that would have switched it on."""
    fresh = next((demand for demand in demands if demand.alert > held.withheld_alert), None)
    if fresh is None or held.is_on:
        return held, None
    told = Decision(what="withheld", linkage=fresh.linkage.id, why=why, alert=fresh.alert)
    return _answered(held, demands), told


def _answered(held: Held, demands: Sequence[Demand]) -> Held:
    return replace(held, withheld_alert=max([held.withheld_alert, *(demand.alert for demand in demands)]))


def _hands_off(override: Override) -> Why:
    text = f"{override.by} took it over until {override.until:%H:%M:%S} UTC"
    return Why("taken_over", text, {"by": override.by, "until": _millis(override.until)})


def _first(demands: Sequence[Demand]) -> int | None:
    return demands[0].alert if demands else None


def _millis(moment: datetime) -> int:
    return micros(moment) // 1000


def _seconds(span: timedelta) -> int:
    return round(span.total_seconds())


def _words(span: timedelta) -> str:
    return f"{span.total_seconds():.0f} s"
