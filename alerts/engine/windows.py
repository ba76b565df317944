"""Window rules: means, energy means and maxima over windows of event time, kept as sums of panes, never rescanned.

Windows are aligned to the epoch (so 15-minute windows start at the quarter in every time zone that is a whole number
of quarters off UTC) and are judged once the device's newest reading is `lateness` past their end. A reading that
belongs to a judged pane comes too late and is counted, not used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alerts.engine.fleet import NEVER, Fleet, Mask, Rows, Slots, Times, Values, rounds
from alerts.engine.limits import LimitEvaluator
from alerts.engine.transitions import Transition
from alerts.engine.violations import span
from alerts.rules.model import WindowRule

# Sums of the same values in another order differ in their last bits; verdicts must not.
_DECIMALS = 6


class WindowEvaluator(LimitEvaluator):
    """One window rule over a fleet.

    `total`, `count`, `peak`: [slots, ring] accumulators of a pane each, a pane at ring place `pane number % ring`.
    `due`: the first pane of each device that is not judged yet.
    """

    def __init__(self, rule: WindowRule, fleet: Fleet) -> None:
        super().__init__(rule, fleet)
        self.metric = rule.metric
        self._aggregate = rule.aggregate
        self._pane = span(rule.pane)
        self._lateness = span(rule.lateness)
        self._panes = span(rule.window) // self._pane
        # The panes of one window, those that lateness keeps open behind it, and the one that is being filled.
        self._ring = self._panes + -(-self._lateness // self._pane) + 2
        self._expected: Values = span(rule.window) / fleet.interval
        self._share = rule.minimum_valid_share
        shape = (len(fleet), self._ring)
        self.total: Values = np.zeros(shape)
        self.peak: Values = np.full(shape, -np.inf)
        self.count: npt.NDArray[np.int32] = np.zeros(shape, dtype=np.int32)
        self.due: Times = np.full(len(fleet), NEVER, dtype=np.int64)
        self.late = 0

    def feed(self, rows: Rows) -> list[Transition]:
        column = rows.metric(self.metric)
        if column is None:
            return []
        values, valid = column
        inside = np.flatnonzero(self.member[rows.slots])
        if not len(inside):
            return []
        slots, times = rows.slots[inside], rows.time[inside]
        values, valid = values[inside], valid[inside]
        told: list[Transition] = []
        for turn in rounds(slots):
            told += self._turn(slots[turn], times[turn], values[turn], valid[turn])
        return told

    def _turn(self, slots: Slots, times: Times, values: Values, valid: Mask) -> list[Transition]:
        pane = times // self._pane
        told = self._judge(slots, (times - self._lateness) // self._pane)
        late = valid & (pane < self.due[slots])
        self.late += int(late.sum())
        usable = valid & ~late
        slots, pane, values = slots[usable], pane[usable] % self._ring, values[usable]
        self.count[slots, pane] += 1
        if self._aggregate == "max":
            self.peak[slots, pane] = np.maximum(self.peak[slots, pane], values)
        else:
            self.total[slots, pane] += np.power(10.0, values / 10) if self._aggregate == "energy_mean" else values
        return told

    def _judge(self, slots: Slots, until: Times) -> list[Transition]:
        """Judge every pane before `until` of each slot that is due."""
        first = self.due[slots] == NEVER
        self.due[slots[first]] = until[first]
        told: list[Transition] = []
        # After one turn of the ring all accumulators are empty: a long silence costs no more than that.
        for _ in range(self._ring):
            behind = self.due[slots] < until
            if not behind.any():
                return told
            slots, until = slots[behind], until[behind]
            told += self._finish(slots, self.due[slots])
            self.due[slots] += 1
        self.due[slots] = np.maximum(self.due[slots], until)
        return told

    def _finish(self, slots: Slots, pane: Times) -> list[Transition]:
        """Judge the window that ends with `pane` and empty the pane that no later window needs."""
        places = (pane[:, None] - np.arange(self._panes)) % self._ring
        rows = slots[:, None]
        count = self.count[rows, places].sum(axis=1)
        enough = count >= self._share * self._expected[slots]
        told: list[Transition] = []
        if enough.any():
            judged, samples, ends = slots[enough], count[enough], pane[enough]
            values = np.round(self._values(judged[:, None], places[enough], samples), _DECIMALS)
            raised, cleared = self.violations.step(
                judged, (ends - self._panes + 1) * self._pane, (ends + 1) * self._pane, values
            )
            if len(raised) or len(cleared):
                told = self._tell(raised, cleared, self._quality(judged, samples))
        gone = places[:, -1]
        self.total[slots, gone] = 0
        self.count[slots, gone] = 0
        self.peak[slots, gone] = -np.inf
        return told

    def _values(self, rows: Slots, places: Slots, samples: npt.NDArray[np.integer]) -> Values:
        if self._aggregate == "max":
            return np.asarray(self.peak[rows, places].max(axis=1), dtype=np.float64)
        mean = self.total[rows, places].sum(axis=1) / samples
        return np.asarray(10 * np.log10(mean) if self._aggregate == "energy_mean" else mean, dtype=np.float64)

    def _quality(self, slots: Slots, samples: npt.NDArray[np.integer]) -> dict[int, dict[str, Any]]:
        """Readings used, readings expected and their share, by slot."""
        return {
            int(slot): {
                "samples": int(count),
                "expected": round(float(self._expected[slot]), 1),
                "share": round(min(1.0, float(count / self._expected[slot])), 3),
            }
            for slot, count in zip(slots, samples, strict=True)
        }

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {**super().arrays(), "total": self.total, "peak": self.peak, "count": self.count, "due": self.due}
