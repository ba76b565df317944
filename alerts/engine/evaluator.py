"""What rules on devices have in common: an evaluator takes in readings, the state of each rule answers for itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy.typing as npt

from alerts.engine.fleet import Fleet, Rows, Slots
from alerts.engine.transitions import Progress, Standing, Transition
from alerts.rules.model import AnyRule


class RuleState(Protocol):
    """Where one rule stands with each device of one fleet."""

    fleet: Fleet

    @property
    def rule(self) -> AnyRule:
        """What is evaluated."""
        ...

    def is_open(self, slot: int) -> bool:
        """Whether the device is in violation."""
        ...

    def is_member(self, slot: int) -> bool:
        """Whether the rule looks at the device."""
        ...

    def keeps(self, slot: int) -> bool:
        """Whether the device has state here: the rule looks at it, or compares others with it."""
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
        """State for the snapshot: arrays whose first axis is the slot, to read and to write into."""
        ...


class Evaluator(Protocol):
    """Rules of one sort over one fleet, evaluated together."""

    @property
    def states(self) -> Sequence[RuleState]:
        """One a rule."""
        ...

    @property
    def late(self) -> int:
        """Readings that came too late to be judged, once a rule, since the evaluator was made."""
        ...

    def feed(self, rows: Rows) -> list[Transition]:
        """Take in stored readings."""
        ...

    def tick(self, now: int, listening_since: int) -> list[Transition]:
        """Judge absence as of wall time `now`; silence before `listening_since` is the platform's own."""
        ...

    def shared(self) -> dict[str, npt.NDArray[Any]]:
        """State that the rules have in common: arrays by slot as in `RuleState.arrays`, names unique in the fleet."""
        ...

    def restored(self) -> None:
        """The arrays of `shared` and of the states have been written from a snapshot."""
        ...

    def progress(self) -> list[Progress]:
        """Open violations whose values moved since the last call."""
        ...
