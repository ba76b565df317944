"""Rules that hold values against a limit: the base of threshold and window rules, and the threshold rule itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alerts.engine.fleet import NEVER, Fleet, Rows, Slots, Times, rounds
from alerts.engine.transitions import Phase, Progress, Standing, Transition
from alerts.engine.violations import Violations, span
from alerts.model import device_subject
from alerts.rules.model import LimitRule, ThresholdRule

# So many expected readings may be missing in a row before a pending violation starts anew.
_HOLE = 3


class LimitEvaluator:
    """A limit rule over a fleet: what threshold and window rules share."""

    def __init__(self, rule: LimitRule, fleet: Fleet) -> None:
        self.rule = rule
        self.fleet = fleet
        self.member = fleet.members(rule.scope)
        self.violations = Violations(rule, len(fleet))

    def tick(self, now: int, listening_since: int) -> list[Transition]:  # noqa: ARG002
        """Nothing: a limit is judged by event time alone."""
        return []

    def progress(self) -> list[Progress]:
        return [
            Progress(
                rule=self.rule.id,
                subject=device_subject(int(self.fleet.ids[slot])),
                last=float(self.violations.last[slot]),
                worst=float(self.violations.worst[slot]),
            )
            for slot in self.violations.drain()
        ]

    def is_open(self, slot: int) -> bool:
        return bool(self.violations.open[slot])

    def is_member(self, slot: int) -> bool:
        return bool(self.member[slot])

    def open_slots(self) -> Slots:
        return np.flatnonzero(self.violations.open)

    def close(self, slot: int, now: int) -> None:  # noqa: ARG002
        self.violations.reset(np.array([slot]))

    def stand(self, slot: int, standing: Standing) -> None:
        nan = float("nan")
        self.violations.stand(
            slot,
            since=standing.started_at,
            first=nan if standing.first is None else standing.first,
            last=nan if standing.last is None else standing.last,
            worst=nan if standing.worst is None else standing.worst,
        )

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        return self.violations.arrays()

    def _tell(self, raised: Slots, cleared: Slots, quality: dict[int, dict[str, Any]]) -> list[Transition]:
        """Transitions of a step; what is over goes back to idle. `quality` by slot, where there is something to say."""
        told = [self._transition("raise", int(slot), quality) for slot in raised]
        told += [self._transition("clear", int(slot), quality) for slot in cleared]
        self.violations.reset(cleared)
        return told

    def _transition(self, phase: Phase, slot: int, quality: dict[int, dict[str, Any]]) -> Transition:
        state = self.violations
        device = self.fleet.devices[slot]
        return Transition(
            phase=phase,
            rule=self.rule,
            subject=device_subject(device.id),
            site=device.site_id,
            device=device.id,
            started_at=int(state.since[slot]),
            ended_at=int(state.quiet[slot]) if phase == "clear" else None,
            first=_number(state.first[slot]),
            last=_number(state.last[slot]),
            worst=_number(state.worst[slot]),
            quality=quality.get(slot, {}),
        )


class ThresholdEvaluator(LimitEvaluator):
    """Fires at once on the newest reading of a device. A reading that is not newer than the newest changes nothing."""

    def __init__(self, rule: ThresholdRule, fleet: Fleet) -> None:
        super().__init__(rule, fleet)
        self.metric = rule.metric
        self._pending = span(rule.duration) > 0
        self.newest: Times = np.full(len(fleet), NEVER, dtype=np.int64)

    def feed(self, rows: Rows) -> list[Transition]:
        column = rows.metric(self.metric)
        if column is None:
            return []
        values, valid = column
        # Rows that are late already now are out before the rounds: a back-fill costs next to nothing.
        usable = np.flatnonzero(valid & self.member[rows.slots] & (rows.time > self.newest[rows.slots]))
        if not len(usable):
            return []
        slots, times, values = rows.slots[usable], rows.time[usable], values[usable]
        told: list[Transition] = []
        for turn in rounds(slots):
            told += self._turn(slots[turn], times[turn], values[turn])
        return told

    def _turn(self, slots: Slots, times: Times, values: npt.NDArray[np.float64]) -> list[Transition]:
        newer = times > self.newest[slots]
        if not newer.all():
            slots, times, values = slots[newer], times[newer], values[newer]
        if self._pending:
            hole = times - self.newest[slots] > (_HOLE + 1) * self.fleet.interval[slots]
            self.violations.interrupt(slots[hole])
        self.newest[slots] = times
        raised, cleared = self.violations.step(slots, times, times, values)
        return self._tell(raised, cleared, {}) if len(raised) or len(cleared) else []

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {**super().arrays(), "newest": self.newest}


def _number(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)
