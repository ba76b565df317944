"""What rules that hold values against a limit share: many rules in one matrix, and each rule's answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from alerts.engine.calendar import ACTIVE, INACTIVE, Agenda
from alerts.engine.fleet import NEVER, Fleet, Mask, Slots, Times
from alerts.engine.transitions import Phase, Progress, Standing, Transition
from alerts.engine.violations import Levels, Violations, span
from alerts.model import device_subject
from alerts.rules.base import ZERO
from alerts.rules.composite import CompositeRule
from alerts.rules.levels import Rung
from alerts.rules.model import CountRule, DayCountRule, StateRule, ThresholdRule, WindowRule
from sensors.registry import Registry

LimitRule = ThresholdRule | StateRule | WindowRule | DayCountRule | CountRule | CompositeRule


class Row(NamedTuple):
    """A level of a rule, judged by itself; `rung` 0 is the rule's own."""

    rule: LimitRule
    rung: int


def rows_of(rules: Iterable[LimitRule]) -> list[Row]:
    """The levels of rules, those of a rule one behind the other."""
    return [
        Row(rule, rung)
        for rule in rules
        for rung in range(len(rule.rungs) if isinstance(rule, ThresholdRule | WindowRule) else 1)
    ]


# What a symbol means to a state rule, as a value to be held against levels; one that violates adds its number.
VIOLATES, NEITHER, RELIEVES = 1.0, 0.5, 0.0


def levels(row: Row) -> Levels:
    """When a level is reached and left."""
    rule = row.rule
    clear_after = 0 if isinstance(rule, DayCountRule) else span(rule.clear_after)
    if isinstance(rule, CountRule):
        return Levels(True, rule.at_least - 0.5, rule.relief, 0, clear_after, rule.upward)
    if isinstance(rule, CompositeRule):
        return Levels(True, 0.5, 0.5, span(rule.duration), clear_after, rule.conditions[0].levels[0] > 0)
    if isinstance(rule, DayCountRule):
        # Only the end of the day ends it.
        return Levels(True, rule.allowed + 0.5, -1, 0, 0, rule.upward)
    if isinstance(rule, StateRule):
        return Levels(True, NEITHER, RELIEVES, span(rule.duration), clear_after, True)
    rung = rule.rungs[row.rung]
    return Levels(rule.upward, rung.raise_at, rung.clear_at, span(rung.duration), clear_after, rule.upward)


class LimitEvaluator:
    """Limit rules over a fleet, a row for each level of a rule: `rules` repeats a rule of several levels.

    `member`: [rows, slots]; `channel`: the place of each row's metric in the readings. `height`, by the cell of a
    rule's first row: the level at which its alert stands, -1 where there is none.
    """

    def __init__(self, rules: Sequence[LimitRule], fleet: Fleet, registry: Registry) -> None:
        rows = rows_of(rules)
        self.rules = rules = tuple(row.rule for row in rows)
        self.rung: npt.NDArray[np.int8] = np.array([row.rung for row in rows], dtype=np.int8)
        self._laddered: Mask = np.array([len(_rungs(row.rule)) > 1 for row in rows], dtype=np.bool_)
        self.height: npt.NDArray[np.int8] = np.full(
            len(rows) * len(fleet) if self._laddered.any() else 0, -1, dtype=np.int8
        )
        self.fleet = fleet
        self.agenda = Agenda(rules, fleet, registry)
        # Of the segment in which a violation, open or pending, began: its end and code, by cell.
        cells = len(rules) * len(fleet) if self.agenda else 0
        self._until: Times = np.full(cells, NEVER, dtype=np.int64)
        self._code: Times = np.full(cells, ACTIVE, dtype=np.int64)
        self.channel = np.array([fleet.channel(rule.metric) for rule in rules], dtype=np.intp)
        self.member: Mask = np.array([fleet.members(rule.scope) for rule in rules], dtype=np.bool_)
        self.violations = Violations([levels(row) for row in rows], len(fleet))
        self.states = tuple(
            LimitState(self, place, len(_rungs(row.rule))) for place, row in enumerate(rows) if row.rung == 0
        )
        self.late = 0

    @property
    def kept(self) -> Mask:
        """[rows, slots]: the devices that have state here."""
        return self.member

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
            if self.rung[cell // len(self.fleet)] == 0
        ]

    def arrays(self, place: int) -> dict[str, npt.NDArray[Any]]:
        """The part of one rule in the snapshot."""
        own = self.violations.arrays(place)
        if self.agenda:
            mine = slice(place * len(self.fleet), (place + 1) * len(self.fleet))
            own |= {"until": self._until[mine], "code": self._code[mine]}
        if self._laddered[place]:
            own["height"] = self.height[place * len(self.fleet) : (place + 1) * len(self.fleet)]
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
        told: list[Transition] = []
        if len(self.height):
            up, down = self._laddered[raised // len(self.fleet)], self._laddered[cleared // len(self.fleet)]
            if up.any() or down.any():
                told = self._climb(raised[up], cleared[down], quality or {})
                raised, cleared = raised[~up], cleared[~down]
        told += [self.transition("raise", cell, quality or {}) for cell in raised.tolist()]
        told += [self.transition("clear", cell, quality or {}) for cell in cleared.tolist()]
        self.violations.reset(cleared)
        return told

    def _climb(self, raised: Slots, cleared: Slots, quality: Mapping[int, dict[str, Any]]) -> list[Transition]:
        """Transitions of rules with several levels: one alert, whose severity is that of the highest level reached.

        A level implies those below it, whatever their durations say, so that an alert begins and ends once.
        """
        state, size = self.violations, len(self.fleet)
        over = set(cleared.tolist())
        told: list[Transition] = []
        bases = {cell - int(self.rung[cell // size]) * size for cell in (*raised.tolist(), *over)}
        for base in sorted(bases):
            cells = [base + rung * size for rung in range(len(_rungs(self.rules[base // size])))]
            standing = [rung for rung, cell in enumerate(cells) if state.open[cell] and cell not in over]
            before, after = int(self.height[base]), max(standing, default=-1)
            for cell in cells[: after + 1]:
                state.open[cell] = True
            if after == before:
                continue
            phase: Phase = "raise" if before < 0 else "clear" if after < 0 else "severity"
            item = self.transition(phase, cells[after] if phase == "raise" else base, quality)
            if phase == "clear":
                item = replace(item, ended_at=max(int(state.quiet[cell]) for cell in cells if cell in over))
            found = quality.get(cells[max(after, before)], item.quality)
            rung = _rungs(self.rules[base // size])[max(after, 0)]
            told.append(replace(item, severity=rung.severity, limit=rung.raise_at, quality=found))
            self.height[base] = after
        state.reset(cleared)
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
    """One rule of an evaluator: its rows from `place` on."""

    def __init__(self, evaluator: LimitEvaluator, place: int, rows: int) -> None:
        self.rule = evaluator.rules[place]
        self.fleet = evaluator.fleet
        self._evaluator = evaluator
        self._place = place
        self._rows = rows

    def is_open(self, slot: int) -> bool:
        """Whether the device is in violation."""
        return bool(self._evaluator.violations.open[self._cell(slot)])

    def is_member(self, slot: int) -> bool:
        """Whether the rule looks at the device."""
        return bool(self._evaluator.member[self._place, slot])

    def keeps(self, slot: int) -> bool:
        """Whether the device has state here."""
        return bool(self._evaluator.kept[self._place, slot])

    def open_slots(self) -> Slots:
        """All devices in violation."""
        size = len(self.fleet)
        return np.flatnonzero(self._evaluator.violations.open[self._place * size : (self._place + 1) * size])

    def close(self, slot: int, now: int) -> None:  # noqa: ARG002
        """Forget a violation whose alert was cleared by hand."""
        cells = self._cell(slot) + len(self.fleet) * np.arange(self._rows)
        self._evaluator.violations.reset(cells)
        if self._rows > 1:
            self._evaluator.height[cells[0]] = -1

    def stand(self, slot: int, standing: Standing) -> None:
        """Take over an alert that the database holds as open."""
        nan = float("nan")
        height = 0
        if self._rows > 1:
            # By the level's limit: a person may have given the alert another severity.
            limits = [rung.raise_at for rung in _rungs(self.rule)]
            height = limits.index(standing.limit) if standing.limit in limits else 0
            self._evaluator.height[self._cell(slot)] = height
        for rung in range(height + 1):
            self._evaluator.stand(self._place + rung, slot, standing)
            self._evaluator.violations.stand(
                self._cell(slot) + rung * len(self.fleet),
                since=standing.started_at,
                first=nan if standing.first is None else standing.first,
                last=nan if standing.last is None else standing.last,
                worst=nan if standing.worst is None else standing.worst,
            )

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """State for the snapshot."""
        found = self._evaluator.arrays(self._place)
        for rung in range(1, self._rows):
            found |= {f"{rung}:{name}": item for name, item in self._evaluator.arrays(self._place + rung).items()}
        return found

    def _cell(self, slot: int) -> int:
        return self._place * len(self.fleet) + slot


def _rungs(rule: LimitRule) -> tuple[Rung, ...]:
    """The levels of a rule; none where it has but one, which has no unit."""
    return rule.rungs if isinstance(rule, ThresholdRule | WindowRule) else (Rung(rule.severity, 0, 0, ZERO),)


def _number(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)
