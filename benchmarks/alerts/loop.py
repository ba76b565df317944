"""The obvious way: for every message every rule is looked at, its state in a dictionary by device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from alerts.rules.model import ThresholdRule, WindowRule
from benchmarks.alerts.setting import INTERVAL, Alert, Rule

Message = tuple[int, int, dict[str, float]]


@dataclass
class State:
    """Where one rule stands with one device."""

    since: int | None = None
    quiet: int | None = None
    open: bool = False
    window: int | None = None
    values: list[float] = field(default_factory=list)
    waiting: list[tuple[int, list[float]]] = field(default_factory=list)


class Loop:
    """Twenty rules over any number of devices, one reading at a time."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.alerts: list[Alert] = []
        self._rules = [(rule, _Facts(rule), {}) for rule in rules]

    def take(self, message: Message) -> None:
        """Judge one message."""
        device, time, values = message
        for rule, facts, states in self._rules:
            value = values.get(facts.metric)
            if value is None or not math.isfinite(value):
                continue
            state = states.get(device)
            if state is None:
                state = states[device] = State()
            if isinstance(rule, WindowRule):
                self._window(facts, state, device, time, value)
            else:
                self._step(facts, state, device, time, time, value)

    def _window(self, facts: _Facts, state: State, device: int, time: int, value: float) -> None:
        number = time // facts.window
        if number != state.window:
            if state.window is not None:
                state.waiting.append((state.window, state.values))
            state.window, state.values = number, []
        while state.waiting and time >= (state.waiting[0][0] + 1) * facts.window + facts.lateness:
            ended, readings = state.waiting.pop(0)
            if len(readings) >= facts.needed:
                start = ended * facts.window
                self._step(facts, state, device, start, start + facts.window, facts.aggregate(readings))
        state.values.append(value)

    def _step(self, facts: _Facts, state: State, device: int, began: int, ended: int, value: float) -> None:
        if value > facts.level:
            state.quiet = None
            if state.since is None:
                state.since = began
            if not state.open and ended - state.since >= facts.duration:
                state.open = True
                self.alerts.append(Alert("raise", facts.id, device, state.since))
        elif not state.open:
            state.since = None
        elif value > facts.relief:
            state.quiet = None
        else:
            if state.quiet is None:
                state.quiet = began
            if ended - state.quiet >= facts.clear_after:
                assert state.since is not None
                self.alerts.append(Alert("clear", facts.id, device, state.since))
                state.open, state.since, state.quiet = False, None, None


class _Facts:
    """A rule in the loop's own terms, so that no time goes into reading it."""

    def __init__(self, rule: Rule) -> None:
        self.id, self.metric = rule.id, rule.metric
        self.level, self.relief = rule.raise_level, rule.clear_level
        self.clear_after = round(rule.clear_after.total_seconds() * 1e6)
        self.duration = round(rule.duration.total_seconds() * 1e6) if isinstance(rule, ThresholdRule) else 0
        if isinstance(rule, WindowRule):
            self.window = round(rule.window.total_seconds() * 1e6)
            self.lateness = round(rule.lateness.total_seconds() * 1e6)
            self.needed = rule.minimum_valid_share * self.window / INTERVAL
            self.aggregate = {"mean": _mean, "energy_mean": _energy_mean, "max": max}[rule.aggregate]


def _mean(values: list[float]) -> float:
    return round(sum(values) / len(values), 6)


def _energy_mean(values: list[float]) -> float:
    return round(10 * math.log10(sum(10 ** (value / 10) for value in values) / len(values)), 6)
