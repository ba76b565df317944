"""Window rules that compare a device with reference stations of its site, over the same windows.

The windows of a site end together: once the newest reading of any of its devices is `lateness` past their end. So all
that was stored in the allowed order is there, of the device as of the reference, when they are compared.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from alerts.engine.fleet import Fleet, Mask, Rows, Slots, Times, Values
from alerts.engine.transitions import Transition
from alerts.engine.windows import DECIMALS, Verdicts, WindowEvaluator
from alerts.rules.model import Reference, WindowRule
from sensors.registry import Registry


class ReferenceEvaluator(WindowEvaluator):
    """Rules of one shape with a reference. A device that is a reference of its rule is not judged by it."""

    _sort = "reference:"

    def __init__(self, rules: Sequence[WindowRule], fleet: Fleet, registry: Registry) -> None:
        super().__init__(rules, fleet, registry)
        _, group = np.unique([device.site_id for device in fleet.devices], return_inverse=True)
        self._group: npt.NDArray[np.intp] = group.astype(np.intp)
        self._clock = self._group
        self._inside = [np.flatnonzero(group == number) for number in range(int(group.max(initial=-1)) + 1)]
        references = [_reference(rule) for rule in self.rules]
        self._factor: Values = np.array([reference.factor for reference in references])
        self._ratio: Mask = np.array([reference.compare == "ratio" for reference in references])
        self._other = np.array(
            [fleet.channel(one.metric or rule.metric) for rule, one in zip(self.rules, references, strict=True)]
        )
        self._is_reference: Mask = np.array(
            [[reference.tag in device.tags for device in fleet.devices] for reference in references]
        ).reshape(len(self.rules), len(fleet))
        self.member = self.member & ~self._is_reference
        self._taken = self.member | self._is_reference
        concerned: Mask = np.asarray(self.member.any(axis=0))
        self._concerned = np.array([bool(concerned[self._inside[number]].any()) for number in group], dtype=np.bool_)

    def _inputs(self, rows: Rows) -> tuple[Values, Mask]:
        reference = self._is_reference[:, rows.slots]
        return (
            np.where(reference, rows.values[self._other], rows.values[self.channel]),
            np.where(reference, rows.usable[self._other], rows.usable[self.channel]),
        )

    def _due_by_clock(self, clock: Slots, slots: Slots) -> Times:  # noqa: ARG002
        # A device that is new on its site has judged nothing yet.
        by_group = np.array([self.due[inside].max() for inside in self._inside], dtype=np.int64)
        return by_group[clock]

    def _moved(self, slots: Slots, until: Times) -> tuple[Slots, Times]:
        groups, first = np.unique(self._group[slots], return_index=True)
        inside = [self._inside[number] for number in groups.tolist()]
        moved = [np.full(len(slots_), until[at]) for slots_, at in zip(inside, first.tolist(), strict=True)]
        return np.concatenate(inside), np.concatenate(moved)

    def _decide(self, found: Verdicts) -> list[Transition]:
        mine = self.member[found.rule, found.slot]
        found = found.only(mine)
        base = np.full(len(found.values), np.nan)
        # Few sites end a window at once, and few rules compare: a loop over their pairs costs little.
        pairs = np.stack([found.rule, self._group[found.slot]], axis=1)
        for rule, group in np.unique(pairs, axis=0).tolist():
            here = np.flatnonzero((pairs == (rule, group)).all(axis=1))
            base[here] = self._base(rule, group, found.places[here[0]])
        base *= self._factor[found.rule]
        ratio = self._ratio[found.rule]
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.where(ratio, found.values / base, found.values - base)
        known = np.isfinite(values) & ~(ratio & (base <= 0))
        values = np.round(values, DECIMALS)
        facts = {"value": found.values, "reference": np.round(base, DECIMALS)}
        return super()._decide(found._replace(values=values, shown=values, facts=facts).only(known))

    def _base(self, rule: int, group: int, places: Slots) -> float:
        """The mean over the reference stations of a site whose window has its share of readings; NaN without any."""
        slots = self._inside[group][self._is_reference[rule, self._inside[group]]]
        if not len(slots):
            return float("nan")
        counts = self.count[rule][slots[:, None], places]
        enough = counts.sum(axis=1) >= self._needed[rule, slots]
        if not enough.any():
            return float("nan")
        means = self._values(self.total[rule][slots[:, None], places][enough], counts[enough])
        if self._shape.aggregate == "energy_mean":
            return float(10 * np.log10(np.power(10.0, means / 10).mean()))
        return float(means.mean())


def _reference(rule: object) -> Reference:
    assert isinstance(rule, WindowRule)
    assert rule.reference is not None
    return rule.reference
