"""The stuck rule: a channel that reports the same value for too long, as a blocked or forged instrument does."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alerts.engine.fleet import NEVER, Fleet, Mask, Rows, Slots, Times, Values, rounds
from alerts.engine.transitions import Phase, Progress, Standing, Transition
from alerts.engine.violations import span
from alerts.model import device_subject
from alerts.rules.model import StuckRule


class StuckEvaluator:
    """One stuck rule over a fleet, in event time. `value`: the newest; `since`, `count`: of its run without a change.

    Readings that are not newer than the newest change nothing, so that repeated and late ones make no run longer.
    """

    def __init__(self, rule: StuckRule, fleet: Fleet) -> None:
        self.rule = rule
        self.fleet = fleet
        self.member: Mask = fleet.members(rule.scope)
        self._channel = fleet.channel(rule.metric)
        self._after = span(rule.after)
        self.late = 0
        size = len(fleet)
        self.open: Mask = np.zeros(size, dtype=np.bool_)
        self.value: Values = np.full(size, np.nan)
        self.since: Times = np.full(size, NEVER, dtype=np.int64)
        self.newest: Times = np.full(size, NEVER, dtype=np.int64)
        self.count: npt.NDArray[np.int64] = np.zeros(size, dtype=np.int64)

    @property
    def states(self) -> tuple[StuckEvaluator]:
        return (self,)

    def feed(self, rows: Rows) -> list[Transition]:
        values, valid = rows.values[self._channel], rows.usable[self._channel]
        usable = np.flatnonzero(valid & self.member[rows.slots] & (rows.time > self.newest[rows.slots]))
        slots, times, values = rows.slots[usable], rows.time[usable], values[usable]
        told: list[Transition] = []
        for turn in rounds(slots):
            told += self._turn(slots[turn], times[turn], values[turn])
        return told

    def _turn(self, slots: Slots, times: Times, values: Values) -> list[Transition]:
        newer = times > self.newest[slots]
        slots, times, values = slots[newer], times[newer], values[newer]
        self.newest[slots] = times
        changed = values != self.value[slots]
        over = slots[changed & self.open[slots]]
        told = [self._transition("clear", int(slot), ended_at=int(self.newest[slot])) for slot in over]
        self.open[over] = False
        fresh = slots[changed]
        self.value[fresh], self.since[fresh], self.count[fresh] = values[changed], times[changed], 0
        self.count[slots] += 1
        long = (times - self.since[slots] >= self._after) & (self.count[slots] >= self.rule.minimum_readings)
        raised = slots[long & ~self.open[slots]]
        self.open[raised] = True
        return told + [self._transition("raise", int(slot)) for slot in raised]

    def tick(self, now: int, listening_since: int) -> list[Transition]:  # noqa: ARG002
        """Nothing: silence is not a value."""
        return []

    def progress(self) -> list[Progress]:
        """Nothing: the value does not move, that is the point."""
        return []

    def is_open(self, slot: int) -> bool:
        return bool(self.open[slot])

    def is_member(self, slot: int) -> bool:
        return bool(self.member[slot])

    def keeps(self, slot: int) -> bool:
        return self.is_member(slot)

    def open_slots(self) -> Slots:
        return np.flatnonzero(self.open)

    def close(self, slot: int, now: int) -> None:  # noqa: ARG002
        """Cleared by hand: the run begins anew, and is told again when it has lasted as long once more."""
        self.open[slot] = False
        self.since[slot], self.count[slot] = self.newest[slot], 0

    def stand(self, slot: int, standing: Standing) -> None:
        self.open[slot] = True
        self.since[slot] = standing.started_at
        self.value[slot] = np.nan if standing.first is None else standing.first

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {
            "open": self.open,
            "value": self.value,
            "since": self.since,
            "newest": self.newest,
            "count": self.count,
        }

    def shared(self) -> dict[str, npt.NDArray[Any]]:
        return {}

    def restored(self) -> None:
        """Nothing follows from the arrays."""

    def _transition(self, phase: Phase, slot: int, *, ended_at: int | None = None) -> Transition:
        device = self.fleet.devices[slot]
        value = float(self.value[slot])
        return Transition(
            phase=phase,
            rule=self.rule,
            subject=device_subject(device.id),
            site=device.site_id,
            device=device.id,
            started_at=int(self.since[slot]),
            ended_at=ended_at,
            first=value,
            last=value,
            worst=value,
            quality={"readings": int(self.count[slot])},
        )
