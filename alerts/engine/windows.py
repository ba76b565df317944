"""Window rules: means, their changes, maxima and N of M over windows of event time: sums of panes, never rescanned.

Windows are aligned to the epoch (so 15-minute windows start at the quarter in every time zone that is a whole number
of quarters off UTC) and are judged once the device's newest reading is `lateness` past their end. A reading that
belongs to a judged pane comes too late and is counted, not used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
import numpy.typing as npt

from alerts.engine.fleet import NEVER, Fleet, Mask, Rows, Slots, Times, Values
from alerts.engine.limits import LimitEvaluator
from alerts.engine.transitions import Transition
from alerts.engine.violations import span
from alerts.rules.model import CountRule, DayCountRule, WindowRule
from sensors.registry import Registry

PaneRule = WindowRule | DayCountRule | CountRule
R = TypeVar("R", bound=PaneRule)


class Verdicts(NamedTuple):
    """Windows that are judged: cells must not repeat. All arrays of one length.

    `values` are held against the levels, `shown` is what is told of them; `facts` go into the quality.
    """

    rule: Slots
    slot: Slots
    places: Slots
    began: Times
    ended: Times
    values: Values
    shown: Values
    samples: npt.NDArray[np.integer]
    facts: dict[str, Values]

    def only(self, keep: Mask) -> Verdicts:
        """Some of them."""
        return Verdicts(
            rule=self.rule[keep],
            slot=self.slot[keep],
            places=self.places[keep],
            began=self.began[keep],
            ended=self.ended[keep],
            values=self.values[keep],
            shown=self.shown[keep],
            samples=self.samples[keep],
            facts={name: item[keep] for name, item in self.facts.items()},
        )


# Sums of the same values in another order differ in their last bits; verdicts must not.
DECIMALS = 6


class Shape(NamedTuple):
    """What rules must have in common to be judged together: microseconds of a pane and of lateness, panes a window.

    A pane of 0 is the reading interval of each device.
    """

    pane: int
    panes: int
    lateness: int
    aggregate: str


def alike(rules: Iterable[R]) -> list[list[R]]:
    """Rules sorted into groups of one shape."""
    return [list(group) for _, group in groupby(sorted(rules, key=_shape), key=_shape)]


def stretches(clock: Slots, until: Times, due: Times) -> Iterator[tuple[Slots, Slots]]:
    """Cut readings into turns: of each clock a stretch in which windows end at its first reading or not at all.

    `until`: the pane before which a reading's clock has judged everything; `due`: what it had judged before. Yields the
    first readings of the stretches at which windows end, one a clock, and all readings of the turn.
    """
    order = np.argsort(clock, kind="stable")
    fresh = np.concatenate(([True], clock[order][1:] != clock[order][:-1]))
    rank = np.cumsum(fresh) - 1
    low = until.min() - 1
    reached, before = until[order] - low, np.maximum(due[order] - low, 0)
    # The running maximum of each clock, by lifting every clock above the one before it.
    lift = rank * (max(int(reached.max()), int(before.max())) + 1)
    running = np.maximum.accumulate(np.maximum(reached, before) + lift)
    previous = np.where(fresh, before + lift, np.concatenate((running[:1], running[:-1])))
    moves = running > previous
    steps = np.cumsum(moves)
    # Stretches of a clock count from 1; readings before the first one are of turn 0.
    turn: Slots = steps - (steps - moves)[fresh][rank]
    by_turn = np.argsort(turn, kind="stable")
    bounds = np.searchsorted(turn[by_turn], np.arange(int(turn.max()) + 2))
    for first, last in pairwise(bounds.tolist()):
        part = by_turn[first:last]
        if len(part):
            yield order[part[moves[part]]], order[part]


def _needed(rule: PaneRule, expected: Values) -> Values:
    """Valid readings that a window needs for a verdict, by slot."""
    if isinstance(rule, CountRule):
        return np.full(len(expected), float(rule.at_least))
    return rule.minimum_valid_share * expected


def _per_window(rule: PaneRule) -> float:
    """What the change over a window is multiplied by."""
    return 1.0 if not isinstance(rule, WindowRule) or rule.per is None else rule.per / rule.window


def _shape(rule: PaneRule) -> Shape:
    if isinstance(rule, CountRule):
        return Shape(0, rule.of, span(rule.lateness), "count")
    # A change looks at two windows, of a pane each.
    panes = 2 if rule.aggregate == "change" else span(rule.window) // span(rule.pane)
    return Shape(span(rule.pane), panes, span(rule.lateness), rule.aggregate)


class WindowEvaluator(LimitEvaluator):
    """Window rules of one shape over a fleet.

    `total`, `count`: [rules, slots, ring] accumulators of a pane each, a pane at ring place `pane number % ring`;
    `total` is a sum of values or of energies, a maximum, or a number of violating readings, and then `peak` is the
    value farthest beyond the level, its sign turned where low values violate. `due`: the first pane of each device
    that is not judged.
    """

    _sort = ""  # of evaluators, so that those of one shape have names of their own in the snapshot

    def __init__(self, rules: Sequence[PaneRule], fleet: Fleet, registry: Registry) -> None:
        super().__init__(rules, fleet, registry)
        self._shape = shape = _shape(rules[0])
        rules = cast("tuple[PaneRule, ...]", self.rules)  # one for each level
        interval = np.maximum(1, fleet.interval).astype(np.int64)
        self._pane: Times = np.full(len(fleet), shape.pane, dtype=np.int64) if shape.pane else interval
        self._counted_in = self._pane.copy()
        # The panes of one window, those that lateness keeps open behind it, and the one that is being filled.
        self._ring = shape.panes + int(-(-shape.lateness // self._pane.min(initial=2**62))) + 2
        self._expected: Values = self._pane * shape.panes / fleet.interval
        self._needed: Values = np.array([_needed(rule, self._expected) for rule in rules])
        self._sign: Values = np.array([[1.0 if rule.upward else -1.0] for rule in rules])
        self._level: Values = self._sign * [[rule.raise_level] for rule in rules]
        self._concerned: Mask = np.asarray(self.member.any(axis=0))
        self._clock: Slots = np.arange(len(fleet))  # whose readings move the windows of each device on
        self._taken = self.member  # [rows, slots], whose readings are added up
        # A change over a window, by the time that the rule says.
        self._scale: Values = np.array([_per_window(rule) for rule in rules])
        self._empty = -np.inf if shape.aggregate == "max" else 0.0
        cube = (len(rules), len(fleet), self._ring)
        self._first = np.arange(len(rules))[:, None] * (len(fleet) * self._ring)
        self.total: Values = np.full(cube, self._empty)
        self.peak: Values = np.full(cube if shape.aggregate == "count" else (len(rules), len(fleet), 0), -np.inf)
        self.count: npt.NDArray[np.int32] = np.zeros(cube, dtype=np.int32)
        self.due: Times = np.full(len(fleet), NEVER, dtype=np.int64)

    @property
    def kept(self) -> Mask:
        """[rows, slots]: the devices that have state here."""
        return self._taken

    def feed(self, rows: Rows) -> list[Transition]:
        """Take in stored readings. Every reading of a device moves its windows on, whatever channels it has."""
        slots, times = rows.slots, rows.time
        until = (times - self._shape.lateness) // self._pane[slots]
        # Rows of devices none of whose windows ends in them need no order.
        ending = (until > self.due[slots]) & self._concerned[slots]
        values, usable = self._inputs(rows)
        if not ending.any():
            self._add(slots, times, values, usable)
            return []
        moving: Mask = np.zeros(len(self.fleet), dtype=np.bool_)
        moving[self._moved(slots[ending], until[ending])[0]] = True
        ordered = np.flatnonzero(moving[slots])
        told: list[Transition] = []
        clock = self._clock[slots[ordered]]
        for first, turn in stretches(clock, until[ordered], self._due_by_clock(clock, slots[ordered])):
            head, part = ordered[first], ordered[turn]
            if len(head):
                told += self._judge(*self._moved(slots[head], until[head]))
            self._add(slots[part], times[part], values[:, part], usable[:, part])
        if len(ordered) < len(slots):
            rest = np.flatnonzero(~moving[slots])
            self._add(slots[rest], times[rest], values[:, rest], usable[:, rest])
        return told

    def _inputs(self, rows: Rows) -> tuple[Values, Mask]:
        """[rows, readings]: the value of each reading for each row, and whether it may feed a rule."""
        return rows.values[self.channel], rows.usable[self.channel]

    def _due_by_clock(self, clock: Slots, slots: Slots) -> Times:  # noqa: ARG002
        """The first pane that is not judged, of the clock of each reading."""
        return self.due[slots]

    def _moved(self, slots: Slots, until: Times) -> tuple[Slots, Times]:
        """The devices whose windows a reading of these devices moves on."""
        return slots, until

    def _add(self, slots: Slots, times: Times, values: Values, usable: Mask) -> None:
        """Add values to their panes."""
        pane = times // self._pane[slots]
        usable = usable & self._taken[:, slots]
        late = pane < self.due[slots]
        if late.any():
            self.late += int((usable & late).sum())
            usable &= ~late
        places = self._first + (slots * self._ring + pane % self._ring)
        if self._shape.aggregate == "count":
            np.maximum.at(self.peak.reshape(-1), places[usable], (self._sign * values)[usable])
            values = np.where(self._sign * values > self._level, 1.0, 0.0)
        if not usable.all():
            places, values = places[usable], values[usable]
        places, values = places.reshape(-1), values.reshape(-1)
        np.add.at(self.count.reshape(-1), places, np.int32(1))
        if self._shape.aggregate == "max":
            np.maximum.at(self.total.reshape(-1), places, values)
        else:
            energy = self._shape.aggregate == "energy_mean"
            np.add.at(self.total.reshape(-1), places, np.power(10.0, values / 10) if energy else values)

    def _judge(self, slots: Slots, until: Times) -> list[Transition]:
        """Judge every pane before `until` of each slot that is due; slots must not repeat."""
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
        """Judge the windows that end with `pane` and empty the pane that no later window needs."""
        panes = self._shape.panes
        places = (pane[:, None] - np.arange(panes)) % self._ring
        rows = slots[:, None]
        counts = self.count[:, rows, places]
        # Of a change both windows need their share.
        enough = counts.min(axis=2) * panes if self._shape.aggregate == "change" else counts.sum(axis=2)
        judged = enough >= self._needed[:, slots]
        told = self._within(slots, pane, judged) if self.agenda else []
        rule, place = np.nonzero(judged)
        if len(rule):
            ends, length = pane[place], self._pane[slots[place]]
            at = (rule[:, None], slots[place][:, None], places[place])
            values = self._values(self.total[at], counts[rule, place])
            if self._shape.aggregate == "change":
                values = np.round(values * self._scale[rule], DECIMALS)
            first = ends if self._shape.aggregate == "change" else ends - panes + 1
            counted = self._shape.aggregate == "count"
            shown = self._sign[rule, 0] * self.peak[at].max(axis=1) if counted else values
            told += self._decide(
                Verdicts(
                    rule=rule,
                    slot=slots[place],
                    places=places[place],
                    began=first * length,
                    ended=(ends + 1) * length,
                    values=values,
                    shown=shown,
                    samples=counts[rule, place].sum(axis=1),
                    facts={"violating": values} if counted else {},
                )
            )
        gone = places[:, -1]
        self.total[:, slots, gone] = self._empty
        self.count[:, slots, gone] = 0
        if self._shape.aggregate == "count":
            self.peak[:, slots, gone] = -np.inf
        return told

    def _decide(self, found: Verdicts) -> list[Transition]:
        """Hold windows against the levels of their rules."""
        cells = found.rule * len(self.fleet) + found.slot
        raised, cleared = self.violations.step(cells, found.began, found.ended, found.values, found.shown)
        if not len(raised) and not len(cleared):
            return []
        told_of = np.isin(cells, np.concatenate((raised, cleared)))
        return self.tell(raised, cleared, self._quality(cells[told_of], found.only(told_of)))

    def _within(self, slots: Slots, pane: Times, judged: Mask) -> list[Transition]:
        """End what is over by its hours, and judge only windows that lie wholly within them."""
        rules, length = self.agenda.rules, self._pane[slots]
        first, last = (pane - self._shape.panes + 1) * length, (pane + 1) * length - 1
        cells = (rules[:, None] * len(self.fleet) + slots).reshape(-1)
        told, counts = self.within_hours(cells, np.tile(first, len(rules)), np.tile(last, len(rules)))
        judged[rules] &= counts.reshape(len(rules), len(slots))
        return told

    def _values(self, parts: Values, counts: npt.NDArray[np.integer]) -> Values:
        """The aggregate of each row of panes, the newest pane first."""
        if self._shape.aggregate == "max":
            values = parts.max(axis=1)
        elif self._shape.aggregate == "count":
            values = parts.sum(axis=1)
        elif self._shape.aggregate == "change":
            means = parts / counts
            values = means[:, 0] - means[:, 1]
        else:
            values = parts.sum(axis=1) / counts.sum(axis=1)
            if self._shape.aggregate == "energy_mean":
                values = 10 * np.log10(values)
        return np.asarray(np.round(values, DECIMALS))

    def _quality(self, cells: Slots, found: Verdicts) -> dict[int, dict[str, Any]]:
        """Readings used, readings expected, their share, and the verdicts' facts; by cell."""
        expected = self._expected[found.slot]
        told: dict[int, dict[str, Any]] = {
            cell: {"samples": count, "expected": round(wanted, 1), "share": round(min(1.0, count / wanted), 3)}
            for cell, count, wanted in zip(cells.tolist(), found.samples.tolist(), expected.tolist(), strict=True)
        }
        for name, items in found.facts.items():
            for cell, item in zip(cells.tolist(), items.tolist(), strict=True):
                told[cell][name] = int(item) if item == int(item) else item
        return told

    def arrays(self, place: int) -> dict[str, npt.NDArray[Any]]:
        """The part of one rule in the snapshot."""
        own = {"total": self.total[place], "peak": self.peak[place], "count": self.count[place]}
        return {**super().arrays(place), **own}

    def shared(self) -> dict[str, Times]:
        """What all rules of the shape have in common in the snapshot."""
        name = self._sort + ":".join(map(str, self._shape))
        return {f"due:{name}": self.due, f"pane:{name}": self._counted_in}

    def restored(self) -> None:
        """The arrays have been written from a snapshot: panes of another length, by another interval, mean nothing."""
        super().restored()
        changed = np.flatnonzero(self._counted_in != self._pane)
        self.due[changed] = NEVER
        self.total[:, changed], self.peak[:, changed], self.count[:, changed] = self._empty, -np.inf, 0
        self._counted_in[:] = self._pane
