"""State rules: enumerations whose symbols violate, relieve or do neither, judged as thresholds are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from alerts.engine.fleet import Fleet, Mask, Rows, Values
from alerts.engine.limits import NEITHER, RELIEVES, VIOLATES
from alerts.engine.thresholds import NewestEvaluator
from alerts.engine.transitions import Phase, Progress, Transition
from alerts.rules.model import StateRule
from sensors.profiles import Profile
from sensors.registry import Registry


class StateEvaluator(NewestEvaluator):
    """State rules over a fleet; the input of each is what the symbols of its channel mean to it.

    A symbol has no size, so that transitions carry no values: a raise tells in its quality which symbol violates.
    """

    def __init__(self, rules: Sequence[StateRule], fleet: Fleet, registry: Registry, profile: Profile) -> None:
        super().__init__(rules, fleet, registry, [f"state:{rule.id}" for rule in rules], range(len(rules)))
        self._symbols: list[list[str]] = []
        for rule in rules:
            channel = profile.channel(rule.metric)
            self._symbols.append([symbol.name for symbol in channel.symbols] if channel else [])
        # By [rule, number]; the last column stands for numbers that no symbol has.
        width = max(map(len, self._symbols)) + 1
        self._meaning: Values = np.full((len(rules), width), NEITHER)
        for place, rule in enumerate(rules):
            for number, name in enumerate(self._symbols[place]):
                if name in rule.raise_on:
                    self._meaning[place, number] = VIOLATES + number
                elif not rule.clear_on or name in rule.clear_on:
                    self._meaning[place, number] = RELIEVES

    def inputs(self, rows: Rows) -> tuple[Values, Mask]:
        """What the symbols mean."""
        values, usable = rows.values[self.channel], rows.usable[self.channel]
        unknown = self._meaning.shape[1] - 1
        known = usable & (values >= 0) & (values < unknown)
        numbers: npt.NDArray[np.intp] = np.where(known, values, unknown).astype(np.intp)
        return np.take_along_axis(self._meaning, numbers, axis=1), usable

    def progress(self) -> list[Progress]:
        """Nothing: a state has no values that move."""
        return []

    def transition(self, phase: Phase, cell: int, quality: Mapping[int, dict[str, Any]]) -> Transition:
        """What is told of one cell: no values, and for a raise the symbol that violates."""
        told = super().transition(phase, cell, quality)
        symbols = self._symbols[cell // len(self.fleet)]
        state = {"state": symbols[int(told.last - VIOLATES)]} if phase == "raise" and told.last is not None else {}
        return replace(told, first=None, last=None, worst=None, quality=state)
