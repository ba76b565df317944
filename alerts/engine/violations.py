"""Whether each device is in violation of each rule: raise level, clear level, duration and clear-after, many at once.

idle -(beyond the raise level for `duration`)-> open -(at or within the clear level for `clear_after`)-> idle
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from alerts.engine.fleet import NEVER, Mask, Slots, Times, Values

_MICROSECOND = timedelta(microseconds=1)


def span(duration: timedelta) -> int:
    """A duration in microseconds."""
    return duration // _MICROSECOND


class Levels(NamedTuple):
    """When a violation begins and when it is over; levels in the unit of the values, times in microseconds.

    `worst_is_high`: which of the values that are told is the worst; the verdict may rest on others.
    """

    upward: bool
    raise_at: float
    clear_at: float
    duration: int
    clear_after: int
    worst_is_high: bool


class Violations:
    """State of several limits over the slots of a fleet. A cell is `rule * size + slot`; the arrays are by cell.

    `open`: an alert stands; `since`: event time at which the violation, open or still pending, began; `quiet`: event
    time since which an open one is relieved; `first`, `last`, `worst`: values; `moved`: values changed since `drain`.
    `alive`, by slot: some rule's violation is open or pending there, so that every value may matter.
    """

    def __init__(self, limits: Sequence[Levels], size: int) -> None:
        self.size = size
        self._sign: Values = np.array([1.0 if limit.upward else -1.0 for limit in limits])
        self._worse: Values = np.array([1.0 if limit.worst_is_high else -1.0 for limit in limits])
        self._raise: Values = self._sign * [limit.raise_at for limit in limits]
        self._clear: Values = self._sign * [limit.clear_at for limit in limits]
        self._clear_after: Times = np.array([limit.clear_after for limit in limits], dtype=np.int64)
        self.duration: Times = np.array([limit.duration for limit in limits], dtype=np.int64)
        cells = len(limits) * size
        self.open: Mask = np.zeros(cells, dtype=np.bool_)
        self.moved: Mask = np.zeros(cells, dtype=np.bool_)
        self.since: Times = np.full(cells, NEVER, dtype=np.int64)
        self.quiet: Times = np.full(cells, NEVER, dtype=np.int64)
        self.first: Values = np.full(cells, np.nan)
        self.last: Values = np.full(cells, np.nan)
        self.worst: Values = np.full(cells, np.nan)
        self.alive: Mask = np.zeros(size, dtype=np.bool_)

    def step(
        self, cells: Slots, began: Times, ended: Times, values: Values, shown: Values | None = None
    ) -> tuple[Slots, Slots]:
        """Move each cell by one value that holds from `began` to `ended`; cells must not repeat.

        `shown` is what is told of it, where that is not the value itself. Returns the cells at which a violation was
        raised and those at which one is over. The latter keep their values until `reset`, so that the caller can tell
        them.
        """
        rule = cells // self.size
        signed = self._sign[rule] * values
        beyond = signed > self._raise[rule]
        busy = self.since[cells] != NEVER
        shown = values if shown is None else shown
        concerned = np.flatnonzero(beyond | busy)
        if not len(concerned):
            return cells[:0], cells[:0]
        if len(concerned) < len(cells):
            cells, began, ended, shown = cells[concerned], began[concerned], ended[concerned], shown[concerned]
            rule, signed, beyond, busy = rule[concerned], signed[concerned], beyond[concerned], busy[concerned]
        standing = self.open[cells]

        self._forget(cells[busy & ~standing & ~beyond])
        starting = beyond & ~busy
        fresh = cells[starting]
        self.since[fresh] = began[starting]
        self.first[fresh] = self.worst[fresh] = shown[starting]
        carried = cells[beyond & busy]
        worse = self._worse[carried // self.size]
        self.worst[carried] = worse * np.maximum(worse * self.worst[carried], worse * shown[beyond & busy])
        ripe = beyond & ~standing & (ended - self.since[cells] >= self.duration[rule])
        raised = cells[ripe]
        self.open[raised] = True
        self.last[cells[standing | ripe]] = shown[standing | ripe]
        self.moved[cells[standing]] = True

        relieved = standing & (signed <= self._clear[rule])
        self.quiet[cells[standing & ~relieved]] = NEVER
        turning = relieved & (self.quiet[cells] == NEVER)
        self.quiet[cells[turning]] = began[turning]
        over = relieved & (ended - self.quiet[cells] >= self._clear_after[rule])
        self._look(cells)
        return raised, cells[over]

    def interrupt(self, cells: Slots) -> None:
        """Start pending violations anew, after a hole in the readings; what is open stays open."""
        pending = cells[~self.open[cells]]
        self._forget(pending)
        self._look(pending)

    def reset(self, cells: Slots) -> None:
        """Back to idle: the violation was told as over, or a person has cleared its alert."""
        self.open[cells] = self.moved[cells] = False
        self._forget(cells)
        self._look(cells)

    def stand(self, cell: int, *, since: int, first: float, last: float, worst: float) -> None:
        """Take over a violation that the database holds as open."""
        self.open[cell] = True
        self.since[cell], self.quiet[cell] = since, NEVER
        self.first[cell], self.last[cell], self.worst[cell] = first, last, worst
        self.alive[cell % self.size] = True

    def drain(self) -> Slots:
        """The open cells whose values moved since the last call."""
        moved = np.flatnonzero(self.moved & self.open)
        self.moved[:] = False
        return moved

    def restored(self) -> None:
        """The arrays have been written from a snapshot."""
        self.alive[:] = (self.since.reshape(-1, self.size) != NEVER).any(axis=0)

    def _forget(self, cells: Slots) -> None:
        self.since[cells] = self.quiet[cells] = NEVER
        self.first[cells] = self.last[cells] = self.worst[cells] = np.nan

    def _look(self, cells: Slots) -> None:
        slots = cells % self.size
        self.alive[slots] = (self.since.reshape(-1, self.size)[:, slots] != NEVER).any(axis=0)

    def arrays(self, rule: int) -> dict[str, npt.NDArray[Any]]:
        """The arrays of one rule for the snapshot, one item a slot; views to write into."""
        mine = slice(rule * self.size, (rule + 1) * self.size)
        return {
            "open": self.open[mine],
            "moved": self.moved[mine],
            "since": self.since[mine],
            "quiet": self.quiet[mine],
            "first": self.first[mine],
            "last": self.last[mine],
            "worst": self.worst[mine],
        }


def restore(
    into: Mapping[str, npt.NDArray[Any]], taken: Mapping[str, npt.NDArray[Any]], old: Slots, new: Slots
) -> None:
    """Copy arrays of a snapshot into a state's own, from slots `old` to slots `new`.

    One of another width stays behind: rings are as long as the shortest reading interval of the fleet asks for.
    """
    for name, array in into.items():
        if taken[name].shape[1:] == array.shape[1:]:
            array[new] = taken[name][old]
