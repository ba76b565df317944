"""What every kind of rule on devices has in common: its members, its answers, its part of the snapshot."""

from __future__ import annotations

from typing import Any, Protocol

import numpy.typing as npt

from alerts.engine.fleet import Fleet, Rows, Slots
from alerts.engine.transitions import Progress, Standing, Transition
from alerts.rules.model import AnyRule


class Evaluator(Protocol):
    """One rule over one fleet."""

    fleet: Fleet

    @property
    def rule(self) -> AnyRule:
        """What is evaluated."""
        ...

    def feed(self, rows: Rows) -> list[Transition]:
        """Take in stored readings."""
        ...

    def tick(self, now: int, listening_since: int) -> list[Transition]:
        """Judge absence at wall time `now`; silence before `listening_since` is the platform's own."""
        ...

    def progress(self) -> list[Progress]:
        """Open violations whose values moved since the last call."""
        ...

    def is_open(self, slot: int) -> bool:
        """Whether the device is in violation."""
        ...

    def is_member(self, slot: int) -> bool:
        """Whether the rule looks at the device."""
        ...

    def open_slots(self) -> Slots:
        """All devices in violation."""
        ...

    def close(self, slot: int, now: int) -> None:
        """Forget a violation whose alert was cleared by hand; the next violating reading raises anew."""
        ...

    def stand(self, slot: int, standing: Standing) -> None:
        """Take over an alert that the database holds as open."""
        ...

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """State for the snapshot: arrays whose first axis is the slot."""
        ...
