"""Threshold rules of one fleet, all in one matrix: a batch in which nothing happens costs a handful of comparisons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alerts.engine.fleet import NEVER, Fleet, Mask, Rows, Slots, Times, Values, rounds
from alerts.engine.limits import LimitEvaluator
from alerts.engine.transitions import Transition
from alerts.rules.model import ThresholdRule

# So many expected readings may be missing in a row before a pending violation starts anew.
_HOLE = 3


class ThresholdEvaluator(LimitEvaluator):
    """Fires at once on the newest reading of a device. A reading that is not newer than the newest changes nothing.

    `newest`: [rules' channels, slots], event time of the newest usable value.
    """

    def __init__(self, rules: Sequence[ThresholdRule], fleet: Fleet) -> None:
        super().__init__(rules, fleet)
        self._channels = sorted(set(self.channel.tolist()))
        self._place = np.searchsorted(self._channels, self.channel)
        self.newest: Times = np.full((len(self._channels), len(fleet)), NEVER, dtype=np.int64)
        # A value between the two levels of its channel is beyond the raise level of no rule.
        self._above: Values = np.full((len(self._channels), 1), np.inf)
        self._below: Values = np.full((len(self._channels), 1), -np.inf)
        for place, rule in zip(self._place, rules, strict=True):
            if rule.upward:
                self._above[place] = min(self._above[place, 0], rule.raise_level)
            else:
                self._below[place] = max(self._below[place, 0], rule.raise_level)

    def feed(self, rows: Rows) -> list[Transition]:
        """Take in stored readings."""
        values, usable = rows.values[self._channels], rows.usable[self._channels]
        told: list[Transition] = []
        concerned = self._concerned(rows.slots, values)
        if len(concerned):
            slots, times = rows.slots[concerned], rows.time[concerned]
            for turn in rounds(slots):
                part = concerned[turn]
                told += self._turn(slots[turn], times[turn], values[:, part], usable[:, part])
        cells = np.arange(len(self._channels))[:, None] * len(self.fleet) + rows.slots
        times = np.where(usable, rows.time, NEVER)
        np.maximum.at(self.newest.reshape(-1), cells.reshape(-1), times.reshape(-1))
        return told

    def _concerned(self, slots: Slots, values: Values) -> Slots:
        """The rows of devices of which a value is beyond some level or a violation is open or pending."""
        alive = self.violations.alive
        hot = ((values > self._above) | (values < self._below)).any(axis=0)
        if not hot.any():
            return np.flatnonzero(alive[slots])
        marked: Mask = alive.copy()
        marked[slots[hot]] = True
        return np.flatnonzero(marked[slots])

    def _turn(self, slots: Slots, times: Times, values: Values, usable: Mask) -> list[Transition]:
        """One reading a device."""
        before = self.newest[:, slots]
        fresh = usable & (times > before)
        self.newest[:, slots] = np.where(fresh, times, before)
        place, row = np.nonzero(fresh[self._place] & self.member[:, slots])
        if not len(place):
            return []
        cells, channel = place * len(self.fleet) + slots[row], self._place[place]
        # Differences to NEVER are huge, and nothing is pending then.
        hole = times[row] - before[channel, row] > (_HOLE + 1) * self.fleet.interval[slots[row]]
        self.violations.interrupt(cells[hole & (self.violations.duration[place] > 0)])
        raised, cleared = self.violations.step(cells, times[row], times[row], values[channel, row])
        return self.tell(raised, cleared) if len(raised) or len(cleared) else []

    def shared(self) -> dict[str, Times]:
        """What rules on one channel have in common in the snapshot."""
        return {f"newest:{self.fleet.channels[row]}": self.newest[place] for place, row in enumerate(self._channels)}
