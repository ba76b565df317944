"""Threshold rules of one fleet, all in one matrix: a batch in which nothing happens costs a handful of comparisons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from alerts.engine.fleet import NEVER, Fleet, Mask, Rows, Slots, Times, Values, rounds
from alerts.engine.limits import LimitEvaluator, LimitRule, levels, rows_of
from alerts.engine.transitions import Transition
from alerts.rules.model import ThresholdRule
from sensors.registry import Registry

# So many expected readings may be missing in a row before a pending violation starts anew.
_HOLE = 3


class NewestEvaluator(LimitEvaluator):
    """Fires at once on the newest reading of a device. A reading that is not newer than the newest changes nothing.

    Rules look at inputs: rows of values that `inputs` makes of a batch. `newest`: [inputs, slots], event time of the
    newest usable value.
    """

    def __init__(
        self,
        rules: Sequence[LimitRule],
        fleet: Fleet,
        registry: Registry,
        names: Sequence[str],
        place: Sequence[int],
    ) -> None:
        """`names` of the inputs, and the `place` of the input of each level of the rules among them."""
        super().__init__(rules, fleet, registry)
        self._names = names
        self._place: npt.NDArray[np.intp] = np.array(place, dtype=np.intp)
        self.newest: Times = np.full((len(names), len(fleet)), NEVER, dtype=np.int64)
        # A value between the two levels of its input is beyond the raise level of no rule.
        self._above: Values = np.full((len(names), 1), np.inf)
        self._below: Values = np.full((len(names), 1), -np.inf)
        for at, limit in zip(place, map(levels, rows_of(rules)), strict=True):
            if limit.upward:
                self._above[at] = min(self._above[at, 0], limit.raise_at)
            else:
                self._below[at] = max(self._below[at, 0], limit.raise_at)

    def inputs(self, rows: Rows) -> tuple[Values, Mask]:
        """[inputs, rows]: values, and which of them may feed a rule."""
        raise NotImplementedError

    def feed(self, rows: Rows) -> list[Transition]:
        """Take in stored readings."""
        values, usable = self.inputs(rows)
        told: list[Transition] = []
        concerned = self._concerned(rows.slots, values)
        if len(concerned):
            slots, times = rows.slots[concerned], rows.time[concerned]
            for turn in rounds(slots):
                part = concerned[turn]
                told += self._turn(slots[turn], times[turn], values[:, part], usable[:, part])
        cells = np.arange(len(self._names))[:, None] * len(self.fleet) + rows.slots
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
        cells, looked_at = place * len(self.fleet) + slots[row], self._place[place]
        # Differences to NEVER are huge, and nothing is pending then.
        hole = times[row] - before[looked_at, row] > (_HOLE + 1) * self.fleet.interval[slots[row]]
        self.violations.interrupt(cells[hole & (self.violations.duration[place] > 0)])
        told: list[Transition] = []
        if self.agenda:
            told, counts = self.within_hours(cells, times[row], times[row])
            cells, row, looked_at = cells[counts], row[counts], looked_at[counts]
        raised, cleared = self.violations.step(cells, times[row], times[row], values[looked_at, row])
        return told + self.tell(raised, cleared) if len(raised) or len(cleared) else told

    def shared(self) -> dict[str, Times]:
        """What rules on one input have in common in the snapshot."""
        return {f"newest:{name}": self.newest[place] for place, name in enumerate(self._names)}


class ThresholdEvaluator(NewestEvaluator):
    """Threshold rules; their inputs are channels."""

    def __init__(self, rules: Sequence[ThresholdRule], fleet: Fleet, registry: Registry) -> None:
        names = list(dict.fromkeys(rule.metric for rule in rules))
        place = [names.index(rule.metric) for rule, _ in rows_of(rules)]
        super().__init__(rules, fleet, registry, names, place)
        self._channels = [fleet.channel(name) for name in names]

    def inputs(self, rows: Rows) -> tuple[Values, Mask]:
        """The channels' own values."""
        return rows.values[self._channels], rows.usable[self._channels]
