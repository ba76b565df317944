"""The composite rule: conditions on a device and on others of its site, looked at together in steps of event time.

All devices of a site share its time: a step is judged once the newest reading of any of them is `lateness` past its
end. What was stored in the allowed order is there then, whichever device came first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from alerts.engine.fleet import NEVER, Fleet, Mask, Rows, Slots, Times, Values, rounds
from alerts.engine.limits import LimitEvaluator
from alerts.engine.transitions import Progress, Transition
from alerts.engine.violations import span
from alerts.rules.composite import CompositeRule, Condition
from sensors.profiles import Profile
from sensors.registry import Registry

# A value stands until so many readings of its device are missing.
_HOLE = 3

TRUE, FALSE, UNKNOWN = 1, 0, -1
Truth = npt.NDArray[np.int8]


class Part:
    """One condition over the devices of one kind. By slot and step in a ring: the newest reading of the step.

    `told_at`, `told`: the newest value that is judged; `holds`: what the condition was then, for the levels between.
    """

    late = 0
    states: tuple[()] = ()

    def __init__(self, name: str, condition: Condition, fleet: Fleet, profile: Profile | None, ring: int) -> None:
        self.condition = condition
        self.fleet = fleet
        self.channel = fleet.channel(condition.metric)
        self.member: Mask = fleet.members(condition.scope) if condition.scope else np.ones(len(fleet), dtype=np.bool_)
        self._name = name
        channel = profile.channel(condition.metric) if profile else None
        symbols = [symbol.name for symbol in channel.symbols] if channel else []
        self._numbers = [float(symbols.index(symbol)) for symbol in condition.raise_on if symbol in symbols]
        self.times: Times = np.full((len(fleet), ring), NEVER, dtype=np.int64)
        self.values: Values = np.full((len(fleet), ring), np.nan)
        self.told_at: Times = np.full(len(fleet), NEVER, dtype=np.int64)
        self.told: Values = np.full(len(fleet), np.nan)
        self.holds: Truth = np.zeros(len(fleet), dtype=np.int8)

    def add(self, slots: Slots, times: Times, places: Slots, values: Values) -> None:
        """Keep the newest reading of each step; of two of the same time the one that was stored first."""
        order = np.lexsort((-np.arange(len(times)), times))
        slots, times, places, values = slots[order], times[order], places[order], values[order]
        newer = times > self.times[slots, places]
        at = (slots[newer], places[newer])
        self.times[at], self.values[at] = times[newer], values[newer]

    def judge(self, slots: Slots, place: Slots, end: Times, step: int) -> Truth:
        """What the condition is of each device at the end of a step; empties the step's place in the ring."""
        times, values = self.times[slots, place], self.values[slots, place]
        fresh = times > self.told_at[slots]
        self.told_at[slots] = np.where(fresh, times, self.told_at[slots])
        self.told[slots] = np.where(fresh, values, self.told[slots])
        self.times[slots, place] = NEVER
        value = self.told[slots]
        known = end - self.told_at[slots] <= (_HOLE + 1) * self.fleet.interval[slots] + step
        if self.condition.raise_on:
            holds = np.isin(value, self._numbers)
        else:
            sign, beyond, within = self.condition.levels
            between = sign * value > sign * within
            holds = (sign * value > sign * beyond) | (between & (self.holds[slots] == TRUE))
        self.holds[slots] = np.where(known & holds, TRUE, FALSE)
        return np.where(known, self.holds[slots], UNKNOWN).astype(np.int8)

    def feed(self, rows: Rows) -> list[Transition]:  # noqa: ARG002
        """Nothing: the rule hands the readings on, in the order of all kinds."""
        return []

    def tick(self, now: int, listening_since: int) -> list[Transition]:  # noqa: ARG002
        """Nothing: steps are of event time."""
        return []

    def progress(self) -> list[Progress]:
        """Nothing: the rule tells."""
        return []

    def shared(self) -> dict[str, npt.NDArray[Any]]:
        """State for the snapshot."""
        own: dict[str, npt.NDArray[Any]] = {
            "times": self.times,
            "values": self.values,
            "told_at": self.told_at,
            "told": self.told,
            "holds": self.holds,
        }
        return {f"{self._name}:{name}": item for name, item in own.items()}

    def restored(self) -> None:
        """Nothing follows from the arrays."""


class CompositeEvaluator(LimitEvaluator):
    """One composite rule; `fleet` are the devices that its alerts are about. `due`: first step that is not judged."""

    def __init__(
        self, rule: CompositeRule, fleets: Mapping[str, Fleet], registry: Registry, profiles: Mapping[str, Profile]
    ) -> None:
        kind = rule.scope.device_kind
        assert kind is not None
        super().__init__([rule], fleets[kind], registry)
        self._rule = rule
        self._step, self._lateness = span(rule.step), span(rule.lateness)
        self._ring = -(-self._lateness // self._step) + 2
        self._name = f"composite:{rule.id}:{rule.state_digest()[:16]}"
        sites = sorted({device.site_id for device in self.fleet.devices})
        self._site = {site: number for number, site in enumerate(sites)}
        self._groups = {name: self._group_of(fleet) for name, fleet in fleets.items()}
        self._inside = self._slots_by_group(self._groups[kind])
        self.parts = self._make_parts(fleets, profiles)
        self._by_group = [self._slots_by_group(self._groups[part.fleet.kind]) for part in self.parts]
        self.due: Times = np.full(len(self.fleet), NEVER, dtype=np.int64)
        longest = max((float(part.fleet.interval.max(initial=0)) for part in self.parts), default=0)
        # After so many empty steps every value has run out.
        self._most = self._ring + int((_HOLE + 1) * longest // self._step) + 2
        self.kinds = {part.fleet.kind for part in self.parts}

    def _make_parts(self, fleets: Mapping[str, Fleet], profiles: Mapping[str, Profile]) -> list[Part]:
        parts = []
        for number, condition in enumerate(self._rule.conditions):
            kind = self.fleet.kind if condition.scope is None else str(condition.scope.device_kind)
            fleet = fleets.get(kind) or Fleet(kind, [])
            self._groups.setdefault(kind, self._group_of(fleet))
            parts.append(Part(f"{self._name}:{number}", condition, fleet, profiles.get(kind), self._ring))
        return parts

    def take(self, kind: str, rows: Rows) -> list[Transition]:
        """Take in readings of a kind, in the order of the log."""
        group = self._groups[kind][rows.slots]
        here = np.flatnonzero(group >= 0)
        if not len(here):
            return []
        group = group[here]
        until = (rows.time[here] - self._lateness) // self._step
        due = self._due_of(group)
        ending = until > due
        if not ending.any():
            self._add(kind, rows, here, due)
            return []
        moving = np.isin(group, group[ending])
        told: list[Transition] = []
        ordered = np.flatnonzero(moving)
        for turn in rounds(group[ordered]):
            part = ordered[turn]
            told += self._judge(group[part], until[part])
            self._add(kind, rows, here[part], self._due_of(group[part]))
        rest = np.flatnonzero(~moving)
        self._add(kind, rows, here[rest], due[rest])
        return told

    def feed(self, rows: Rows) -> list[Transition]:  # noqa: ARG002
        """Nothing: `take` gets the readings of all kinds in their order."""
        return []

    def shared(self) -> dict[str, npt.NDArray[Any]]:
        """What is not of one device in the snapshot."""
        return {f"{self._name}:due": self.due}

    def _group_of(self, fleet: Fleet) -> npt.NDArray[np.intp]:
        """The number of each device's site, -1 on sites that the rule has no device on."""
        return np.array([self._site.get(device.site_id, -1) for device in fleet.devices], dtype=np.intp)

    def _slots_by_group(self, group: npt.NDArray[np.intp]) -> list[Slots]:
        return [np.flatnonzero(group == number) for number in range(len(self._site))]

    def _due_of(self, group: Slots) -> Times:
        # A device that is new on its site has no time of its own yet.
        by_group = np.array([self.due[slots].max(initial=NEVER) for slots in self._inside], dtype=np.int64)
        return by_group[group]

    def _add(self, kind: str, rows: Rows, chosen: Slots, due: Times) -> None:
        slots, times = rows.slots[chosen], rows.time[chosen]
        step = times // self._step
        late = step < due
        for part in self.parts:
            if part.fleet.kind == kind:
                usable = rows.usable[part.channel, chosen] & part.member[slots]
                self.late += int((usable & late).sum())
                keep = usable & ~late
                values = rows.values[part.channel, chosen]
                part.add(slots[keep], times[keep], step[keep] % self._ring, values[keep])

    def _judge(self, group: Slots, until: Times) -> list[Transition]:
        """Judge every step before `until` of each group; groups must not repeat."""
        due = self._due_of(group)
        due = np.where(due == NEVER, until, due)
        told: list[Transition] = []
        for _ in range(self._most):
            behind = due < until
            if not behind.any():
                break
            told += self._finish(group[behind], due[behind])
            due[behind] += 1
        for number, reached in zip(group.tolist(), np.maximum(due, until).tolist(), strict=True):
            self.due[self._inside[number]] = reached
        return told

    def _finish(self, group: Slots, step: Times) -> list[Transition]:
        """Judge one step of each group."""
        slots = np.concatenate([self._inside[number] for number in group.tolist()])
        turn = np.repeat(np.arange(len(group)), [len(self._inside[number]) for number in group.tolist()])
        truths = np.stack([self._truth(part, group, step, slots, turn) for part in range(len(self.parts))])
        wanted = len(self._rule.all_of)
        verdict = _and(truths[:wanted]) if wanted else np.full(len(slots), TRUE, dtype=np.int8)
        if len(truths) > wanted:
            verdict = _and(np.stack([verdict, _or(truths[wanted:])]))
        mine = self.member[0, slots]
        cells = slots[mine]
        began, ended = (step * self._step)[turn[mine]], ((step + 1) * self._step)[turn[mine]]
        verdict, truths = verdict[mine], truths[:, mine]
        told: list[Transition] = []
        if self.agenda:
            told, counts = self.within_hours(cells, began, ended - 1)
            cells, began, ended = cells[counts], began[counts], ended[counts]
            verdict, truths = verdict[counts], truths[:, counts]
        known = verdict != UNKNOWN
        self.violations.interrupt(cells[~known])
        first = self.parts[0]
        shown = np.full(len(cells), np.nan) if first.condition.raise_on else first.told[cells]
        raised, cleared = self.violations.step(
            cells[known], began[known], ended[known], verdict[known].astype(np.float64), shown[known]
        )
        names = [condition.metric for condition in self._rule.conditions]
        quality = {
            int(cell): {"conditions": [name for name, truth in zip(names, row, strict=True) if truth == TRUE]}
            for cell, row in zip(cells.tolist(), truths.T.tolist(), strict=True)
            if cell in raised
        }
        return told + self.tell(raised, cleared, quality)

    def _truth(self, number: int, group: Slots, step: Times, slots: Slots, turn: Slots) -> Truth:
        """What a condition is for each of the rule's devices `slots`, which are of the groups `turn`."""
        part, inside = self.parts[number], self._by_group[number]
        end = (step + 1) * self._step
        if part.condition.scope is None:
            return part.judge(slots, (step % self._ring)[turn], end[turn], self._step)
        lists = [inside[one] for one in group.tolist()]
        others, whose = np.concatenate(lists), np.repeat(np.arange(len(group)), [len(one) for one in lists])
        truth = part.judge(others, (step % self._ring)[whose], end[whose], self._step)
        told = part.member[others] & (truth != UNKNOWN)
        holding = np.bincount(whose[told & (truth == TRUE)], minlength=len(group))
        known = np.bincount(whose[told], minlength=len(group))
        holds = holding > 0 if part.condition.match == "any" else holding == known
        return np.where(known == 0, UNKNOWN, np.where(holds, TRUE, FALSE)).astype(np.int8)[turn]


def _and(truths: Truth) -> Truth:
    found = np.where((truths == UNKNOWN).any(axis=0), UNKNOWN, TRUE)
    return np.where((truths == FALSE).any(axis=0), FALSE, found).astype(np.int8)


def _or(truths: Truth) -> Truth:
    found = np.where((truths == UNKNOWN).any(axis=0), UNKNOWN, FALSE)
    return np.where((truths == TRUE).any(axis=0), TRUE, found).astype(np.int8)


def composites(
    rules: Sequence[CompositeRule],
    fleets: Mapping[str, Fleet],
    registry: Registry,
    profiles: Mapping[str, Profile],
) -> list[CompositeEvaluator]:
    """What evaluates the rules of which there are devices."""
    return [CompositeEvaluator(rule, fleets, registry, profiles) for rule in rules if rule.scope.device_kind in fleets]
