"""The offline rule: a device from which no reading was accepted for a while, by wall clock and its own interval.

What counts is the arrival of readings, never the state of a connection. A device that was never heard is not offline,
it is not there yet. Silence during which the platform itself was not listening is nobody's fault but its own; silence
from before the rule's hours, or from before an exemption, does not count in them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from alerts.engine.calendar import ACTIVE, INACTIVE, Agenda
from alerts.engine.fleet import NEVER, Fleet, Mask, Rows, Slots, Times
from alerts.engine.transitions import Phase, Progress, Standing, Transition
from alerts.engine.violations import span
from alerts.model import device_subject
from alerts.rules.model import OfflineRule
from sensors.registry import Registry


def silence_of(rule: OfflineRule, interval_s: float) -> timedelta:
    """The silence that makes a device offline which reports every `interval_s`."""
    return max(rule.after, timedelta(seconds=rule.missed * interval_s))


class OfflineEvaluator:
    """One offline rule over a fleet.

    `since`: last reading before the silence; `closed`: when a person cleared it; `code`: of the segment it began in.
    """

    def __init__(self, rule: OfflineRule, fleet: Fleet, registry: Registry) -> None:
        self.rule = rule
        self.fleet = fleet
        self.member: Mask = fleet.members(rule.scope)
        # [slots], microseconds: who reports every ten minutes is not gone after ten.
        self._after: Times = np.array(
            [span(silence_of(rule, device.interval_s)) for device in fleet.devices], dtype=np.int64
        )
        self.open: Mask = np.zeros(len(fleet), dtype=np.bool_)
        self.since: Times = np.full(len(fleet), NEVER, dtype=np.int64)
        self.closed: Times = np.full(len(fleet), NEVER, dtype=np.int64)
        self.code: Times = np.full(len(fleet), ACTIVE, dtype=np.int64)
        self._agenda = Agenda([rule], fleet, registry)
        self._every = np.arange(len(fleet))
        self.late = 0

    @property
    def states(self) -> tuple[OfflineEvaluator]:
        return (self,)

    def feed(self, rows: Rows) -> list[Transition]:
        heard = np.flatnonzero(self.open[rows.slots])
        if not len(heard):
            return []
        back, first = np.unique(rows.slots[heard], return_index=True)
        arrived = rows.arrived[heard[first]]
        told = [self._transition("clear", slot, at) for slot, at in zip(back.tolist(), arrived.tolist(), strict=True)]
        self.open[back] = False
        return told

    def tick(self, now: int, listening_since: int) -> list[Transition]:
        silent_since = np.maximum(self.fleet.heard, np.maximum(self.closed, listening_since))
        told: list[Transition] = []
        counts = self.member
        if self._agenda:
            none = np.zeros_like(self._every)
            code, start, _ = self._agenda.find(none, self._every, np.full(len(self.fleet), now, dtype=np.int64))
            over = np.flatnonzero(self.open & (code != self.code))
            told = [self._transition("clear", slot, now, reason="schedule") for slot in over.tolist()]
            self.open[over] = False
            self.closed[over] = now
            silent_since = np.maximum(silent_since, start)
            counts = counts & (code != INACTIVE)
            self.code = np.where(self.open, self.code, code)
        gone = counts & ~self.open & (self.fleet.heard != NEVER) & (now - silent_since > self._after)
        slots = np.flatnonzero(gone)
        self.open[slots] = True
        # One cleared by hand during the silence begins anew from there.
        self.since[slots] = np.maximum(self.fleet.heard, self.closed)[slots]
        return told + [self._transition("raise", int(slot), now) for slot in slots]

    def progress(self) -> list[Progress]:
        """Nothing: how long a silence lasts is told when it ends."""
        return []

    def is_open(self, slot: int) -> bool:
        return bool(self.open[slot])

    def is_member(self, slot: int) -> bool:
        return bool(self.member[slot])

    def keeps(self, slot: int) -> bool:
        return self.is_member(slot)

    def open_slots(self) -> Slots:
        return np.flatnonzero(self.open)

    def close(self, slot: int, now: int) -> None:
        self.open[slot] = False
        self.closed[slot] = now

    def stand(self, slot: int, standing: Standing) -> None:
        self.open[slot] = True
        self.since[slot] = standing.started_at
        self.code[slot] = standing.exempt

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        own = {"open": self.open, "since": self.since, "closed": self.closed}
        return {**own, "code": self.code} if self._agenda else own

    def shared(self) -> dict[str, npt.NDArray[Any]]:
        return {}

    def restored(self) -> None:
        """Nothing follows from the arrays."""

    def _transition(self, phase: Phase, slot: int, now: int, *, reason: str = "") -> Transition:
        device = self.fleet.devices[slot]
        since = int(self.since[slot])
        silence = (now - since) / 1e6
        return Transition(
            phase=phase,
            rule=self.rule,
            subject=device_subject(device.id),
            site=device.site_id,
            device=device.id,
            started_at=since,
            ended_at=now if phase == "clear" else None,
            first=int(self._after[slot]) / 1e6,
            last=silence,
            worst=silence,
            exempt=int(self.code[slot]),
            reason=reason,
        )
