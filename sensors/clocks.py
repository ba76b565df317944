"""Clocks of devices that are wrong: how wrong, and which stored correction would mend it. Nothing corrects by itself.

A correction computed from arrival would give one reading two times when it is sent twice; so it is an operator's act,
`clock_offset_ms` of the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from typing import Literal

TOLERANCE = timedelta(minutes=2)
"""Skews up to here are what networks, batching and ordinary clocks make."""
_ZONE_TOLERANCE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """`clock_offset_ms` to give the device, in place of the one it has; `reason` is a stable code.

    `local_time`: the device sends the local time of its site as UTC, or takes the zone off twice; `ahead`: its clock is
    fast; `behind`: it is slow, or it holds its messages back, which looks the same from here.
    """

    clock_offset_ms: int
    reason: Literal["local_time", "ahead", "behind"]


def skew_of(differences: Sequence[timedelta]) -> timedelta:
    """The median of (time of a message - its arrival); positive: the clock is ahead. At least one is needed."""
    return timedelta(seconds=median(difference.total_seconds() for difference in differences))


def suggest(skew: timedelta, *, offset_ms: int, zone: timedelta) -> Suggestion | None:
    """What to do about a skew, None where nothing; `offset_ms` is in force already, `zone` the site's offset to UTC."""
    if abs(skew) <= TOLERANCE:
        return None
    reason: Literal["local_time", "ahead", "behind"] = "ahead" if skew > timedelta(0) else "behind"
    wrong = skew
    for error in (zone, -zone):
        if zone and abs(skew - error) <= _ZONE_TOLERANCE:
            # Exactly the zone: what is left over is the way here, not the clock.
            reason, wrong = "local_time", error
    return Suggestion(offset_ms - round(wrong.total_seconds()) * 1000, reason)
