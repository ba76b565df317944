"""Whether each device is in violation: raise level, clear level, duration and clear-after, for many devices at once.

idle -(beyond the raise level for `duration`)-> open -(at or within the clear level for `clear_after`)-> idle
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from alerts.engine.fleet import NEVER, Mask, Slots, Times, Values
from alerts.rules.model import LimitRule, ThresholdRule

_MICROSECOND = timedelta(microseconds=1)


def span(duration: timedelta) -> int:
    """A duration in microseconds."""
    return duration // _MICROSECOND


class Violations:
    """State of one limit over the slots of a fleet.

    `open`: an alert stands; `since`: event time at which the violation, open or still pending, began; `quiet`: event
    time since which an open one is relieved; `first`, `last`, `worst`: values; `moved`: values changed since `drain`.
    """

    def __init__(self, rule: LimitRule, size: int) -> None:
        self._sign = 1.0 if rule.upward else -1.0
        self._raise = self._sign * rule.raise_level
        self._clear = self._sign * rule.clear_level
        self._clear_after = span(rule.clear_after)
        self._duration = span(rule.duration) if isinstance(rule, ThresholdRule) else 0
        self.open: Mask = np.zeros(size, dtype=np.bool_)
        self.moved: Mask = np.zeros(size, dtype=np.bool_)
        self.since: Times = np.full(size, NEVER, dtype=np.int64)
        self.quiet: Times = np.full(size, NEVER, dtype=np.int64)
        self.first: Values = np.full(size, np.nan)
        self.last: Values = np.full(size, np.nan)
        self.worst: Values = np.full(size, np.nan)

    def step(self, slots: Slots, began: Times, ended: Times, values: Values) -> tuple[Slots, Slots]:
        """Move each slot by one value that holds from `began` to `ended`; slots must not repeat.

        Returns the slots at which a violation was raised and those at which one is over. The latter keep their
        values until `reset`, so that the caller can tell them.
        """
        signed = self._sign * values
        beyond = signed > self._raise
        busy = self.since[slots] != NEVER
        if not (beyond.any() or busy.any()):
            return slots[:0], slots[:0]
        standing = self.open[slots]

        self._forget(slots[busy & ~standing & ~beyond])
        starting = beyond & ~busy
        fresh = slots[starting]
        self.since[fresh] = began[starting]
        self.first[fresh] = self.worst[fresh] = values[starting]
        carried = beyond & busy
        self.worst[slots[carried]] = self._sign * np.maximum(self._sign * self.worst[slots[carried]], signed[carried])
        ripe = beyond & ~standing & (ended - self.since[slots] >= self._duration)
        raised = slots[ripe]
        self.open[raised] = True
        self.last[slots[standing | ripe]] = values[standing | ripe]
        self.moved[slots[standing]] = True

        relieved = standing & (signed <= self._clear)
        self.quiet[slots[standing & ~relieved]] = NEVER
        turning = relieved & (self.quiet[slots] == NEVER)
        self.quiet[slots[turning]] = began[turning]
        over = relieved & (ended - self.quiet[slots] >= self._clear_after)
        return raised, slots[over]

    def interrupt(self, slots: Slots) -> None:
        """Start pending violations anew, after a hole in the readings; what is open stays open."""
        self._forget(slots[~self.open[slots]])

    def reset(self, slots: Slots) -> None:
        """Back to idle: the violation was told as over, or a person has cleared its alert."""
        self.open[slots] = self.moved[slots] = False
        self._forget(slots)

    def stand(self, slot: int, *, since: int, first: float, last: float, worst: float) -> None:
        """Take over a violation that the database holds as open."""
        self.open[slot] = True
        self.since[slot], self.quiet[slot] = since, NEVER
        self.first[slot], self.last[slot], self.worst[slot] = first, last, worst

    def drain(self) -> Slots:
        """The open slots whose values moved since the last call."""
        moved = np.flatnonzero(self.moved & self.open)
        self.moved[:] = False
        return moved

    def _forget(self, slots: Slots) -> None:
        self.since[slots] = self.quiet[slots] = NEVER
        self.first[slots] = self.last[slots] = self.worst[slots] = np.nan

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays of the snapshot, one item a slot."""
        return {
            "open": self.open,
            "moved": self.moved,
            "since": self.since,
            "quiet": self.quiet,
            "first": self.first,
            "last": self.last,
            "worst": self.worst,
        }


def restore(
    into: Mapping[str, npt.NDArray[Any]], taken: Mapping[str, npt.NDArray[Any]], old: Slots, new: Slots
) -> None:
    """Copy arrays of a snapshot into a state's own, from slots `old` to slots `new`."""
    for name, array in into.items():
        array[new] = taken[name][old]
