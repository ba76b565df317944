"""What rules that hold values against a limit share: many rules in one matrix, and each rule's answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from alerts.engine.calendar import ACTIVE, INACTIVE, Agenda
from alerts.engine.fleet import NEVER, Fleet, Mask, Slots, Times
from alerts.engine.transitions import Phase, Progress, Standing, Transition
from alerts.engine.violations import Levels, Violations, span
from alerts.model import device_subject
from alerts.rules.model import CountRule, StateRule, ThresholdRule, WindowRule
from sensors.registry import Registry

LimitRule = ThresholdRule | StateRule | WindowRule | CountRule


# What a symbol means to a state rule, as a value to be held against levels; one that violates adds its number.
VIOLATES, NEITHER, RELIEVES = 1.0, 0.5, 0.0


def levels(rule: LimitRule) -> Levels:
    """The levels of a rule."""
    clear_after = span(rule.clear_after)
    if isinstance(rule, CountRule):
        return Levels(True, rule.at_least - 0.5, rule.relief, 0, clear_after, rule.upward)
    duration = 0 if isinstance(rule, WindowRule) else span(rule.duration)
    if isinstance(rule, StateRule):
        return Levels(True, NEITHER, RELIEVES, duration, clear_after, True)
    return Levels(rule.upward, rule.raise_level, rule.clear_level, duration, clear_after, rule.upward)


class LimitEvaluator:
    """Limit rules over a fleet. `member`: [rules, slots]; `channel`: the place of each rule's metric in the rows."""

    def __init__(self, rules: Sequence[LimitRule], fleet: Fleet, registry: Registry) -> None:
        self.rules = tuple(rules)
        self.fleet = fleet
        self.agenda = Agenda(rules, fleet, registry)
        # Of the segment in which a violation, open or pending, began: its end and code, by cell.
        cells = len(rules) * len(fleet) if self.agenda else 0
        self._until: Times = np.full(cells, NEVER, dtype=np.int64)
        self._code: Times = np.full(cells, ACTIVE, dtype=np.int64)
        self.channel = np.array([fleet.channel(rule.metric) for rule in rules], dtype=np.intp)
        self.member: Mask = np.array([fleet.members(rule.scope) for rule in rules], dtype=np.bool_)
        self.violations = Violations([levels(rule) for rule in rules], len(fleet))
        self.states = tuple(LimitState(self, place) for place in range(len(rules)))
        self.late = 0

    def tick(self, now: int, listening_since: int) -> list[Transition]:  # noqa: ARG002
        """Nothing: a limit is judged by event time alone."""
        return []

    def within_hours(self, cells: Slots, first: Times, last: Times) -> tuple[list[Transition], Mask]:
        """End what began in another segment than that of [first, last]; say at which cells the rule counts then.

        A stretch that a segment's end cuts counts nowhere. Cells must not repeat.
        """
        place, slot = cells // len(self.fleet), cells % len(self.fleet)
        code, start, end = self.agenda.find(place, slot, last)
        state = self.violations
        since, until = state.since[cells], self._until[cells]
        busy = since != NEVER
        over = busy & ((last >= until) | (code != self._code[cells]))
        told = []
        if over.any():
            gone, at = cells[over], np.where(last >= until, until, np.where(start > since, start, last))[over]
            opened = state.open[gone]
            state.quiet[gone] = at
            told = [replace(item, reason="schedule") for item in self.tell(cells[:0], gone[opened])]
            state.interrupt(gone[~opened])
            busy &= ~over
        counts = (code != INACTIVE) & (first >= start)
        fresh = counts & ~busy
        self._until[cells[fresh]], self._code[cells[fresh]] = end[fresh], code[fresh]
        return told, counts

    def progress(self) -> list[Progress]:
        """Open violations whose values moved since the last call."""
        return [
            Progress(
                rule=self.rules[cell // len(self.fleet)].id,
                subject=device_subject(int(self.fleet.ids[cell % len(self.fleet)])),
                last=float(self.violations.last[cell]),
                worst=float(self.violations.worst[cell]),
            )
            for cell in self.violations.drain().tolist()
        ]

    def arrays(self, place: int) -> dict[str, npt.NDArray[Any]]:
        """The part of one rule in the snapshot."""
        own = self.violations.arrays(place)
        if self.agenda:
            mine = slice(place * len(self.fleet), (place + 1) * len(self.fleet))
            own |= {"until": self._until[mine], "code": self._code[mine]}
        return own

    def shared(self) -> dict[str, npt.NDArray[Any]]:
        """What the rules have in common in the snapshot."""
        return {}

    def restored(self) -> None:
        """The arrays have been written from a snapshot."""
        self.violations.restored()

    def stand(self, place: int, slot: int, standing: Standing) -> None:
        """Note the segment in which an alert began that the database holds as open."""
        if self.agenda:
            began = np.array([standing.started_at], dtype=np.int64)
            code, _, end = self.agenda.find(np.array([place]), np.array([slot]), began)
            cell = place * len(self.fleet) + slot
            self._until[cell] = end[0]
            self._code[cell] = standing.exempt if code[0] != INACTIVE else code[0]

    def tell(
        self, raised: Slots, cleared: Slots, quality: Mapping[int, dict[str, Any]] | None = None
    ) -> list[Transition]:
        """Transitions of a step, by cell; what is over goes back to idle. `quality` by cell, where there is any."""
        told = [self.transition("raise", cell, quality or {}) for cell in raised.tolist()]
        told += [self.transition("clear", cell, quality or {}) for cell in cleared.tolist()]
        self.violations.reset(cleared)
        return told

    def transition(self, phase: Phase, cell: int, quality: Mapping[int, dict[str, Any]]) -> Transition:
        """What is told of one cell."""
        state = self.violations
        place, slot = divmod(cell, len(self.fleet))
        device = self.fleet.devices[slot]
        return Transition(
            phase=phase,
            rule=self.rules[place],
            subject=device_subject(device.id),
            site=device.site_id,
            device=device.id,
            started_at=int(state.since[cell]),
            ended_at=int(state.quiet[cell]) if phase == "clear" else None,
            first=_number(state.first[cell]),
            last=_number(state.last[cell]),
            worst=_number(state.worst[cell]),
            quality=quality.get(cell, {}),
            exempt=int(self._code[cell]) if self.agenda else ACTIVE,
        )


class LimitState:
    """One rule of an evaluator."""

    def __init__(self, evaluator: LimitEvaluator, place: int) -> None:
        self.rule = evaluator.rules[place]
        self.fleet = evaluator.fleet
        self._evaluator = evaluator
        self._place = place

    def is_open(self, slot: int) -> bool:
        """Whether the device is in violation."""
        return bool(self._evaluator.violations.open[self._cell(slot)])

    def is_member(self, slot: int) -> bool:
        """Whether the rule looks at the device."""
        return bool(self._evaluator.member[self._place, slot])

    def open_slots(self) -> Slots:
        """All devices in violation."""
        size = len(self.fleet)
        return np.flatnonzero(self._evaluator.violations.open[self._place * size : (self._place + 1) * size])

    def close(self, slot: int, now: int) -> None:  # noqa: ARG002
        """Forget a violation whose alert was cleared by hand."""
        self._evaluator.violations.reset(np.array([self._cell(slot)]))

    def stand(self, slot: int, standing: Standing) -> None:
        """Take over an alert that the database holds as open."""
        nan = float("nan")
        self._evaluator.stand(self._place, slot, standing)
        self._evaluator.violations.stand(
            self._cell(slot),
            since=standing.started_at,
            first=nan if standing.first is None else standing.first,
            last=nan if standing.last is None else standing.last,
            worst=nan if standing.worst is None else standing.worst,
        )

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """State for the snapshot."""
        return self._evaluator.arrays(self._place)

    def _cell(self, slot: int) -> int:
        return self._place * len(self.fleet) + slot


def _number(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)
