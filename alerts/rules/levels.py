"""Levels of rules: the limit, the level of relief, and ladders of further levels.

Levels are in the canonical unit of the channel. A value violates when it lies strictly beyond the raise level; the
violation ends when it has been at or within the clear level for `clear_after`. Between the two nothing changes.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple, get_args

from pydantic import Field, model_validator

from alerts.model import Severity
from alerts.rules.base import ZERO, Common, Delay, Part
from alerts.rules.faults import fault


class Level(Common):
    """A metric and the level beyond which it violates."""

    metric: str = Field(description="Channel of the device kind.")
    unit: str = Field(description="Unit of the levels; it must be the channel's.")
    raise_above: float | None = Field(default=None, description="Violating strictly above this level.")
    raise_below: float | None = Field(default=None, description="Violating strictly below this level.")

    @model_validator(mode="after")
    def _level(self) -> Level:
        if (self.raise_above is None) == (self.raise_below is None):
            raise fault("one_of_two")
        return self

    @property
    def upward(self) -> bool:
        """True where high values violate."""
        return self.raise_above is not None

    @property
    def raise_level(self) -> float:
        """The limit itself."""
        level = self.raise_above if self.raise_above is not None else self.raise_below
        assert level is not None
        return level


class Step(Part):
    """A level of a rule beyond its own; what it leaves out is as in the rule."""

    severity: Severity = Field(description="More severe than the level before.")
    raise_above: float | None = Field(default=None, description="Level of a rule that raises above.")
    raise_below: float | None = Field(default=None, description="Level of a rule that raises below.")
    clear_below: float | None = Field(default=None, description="Back to the level before at or below this.")
    clear_above: float | None = Field(default=None, description="Back to the level before at or above this.")
    duration: Delay | None = Field(default=None, description="Event time beyond the level before it counts.")


class Rung(NamedTuple):
    """A level of a ladder as the engine judges it, in the unit of the rule's values."""

    severity: Severity
    raise_at: float
    clear_at: float
    duration: timedelta


class Limit(Level):
    """A level with one of relief, and further levels of the same alert."""

    clear_below: float | None = Field(
        default=None, description="Over at or below this level; the raise level if unset."
    )
    clear_above: float | None = Field(
        default=None, description="Over at or above this level; the raise level if unset."
    )
    clear_after: Delay = Field(default=ZERO, description="Time at or within the clear level before the alert is over.")
    levels: tuple[Step, ...] = Field(default=(), description="Further levels of the same alert, each more severe.")

    @model_validator(mode="after")
    def _ladder(self) -> Limit:
        severities = get_args(Severity)
        for number, step in enumerate(self.levels):
            place = f"levels[{number}]"
            wrong = ("raise_below", "clear_above") if self.upward else ("raise_above", "clear_below")
            if given := [name for name in wrong if getattr(step, name) is not None]:
                key = "raise_above" if self.upward else "raise_below"
                raise fault("level_goes", place=place, key=given[0], other=key)
            before, rung = self.rungs[number : number + 2]
            sign = 1 if self.upward else -1
            if severities.index(rung.severity) <= severities.index(before.severity):
                raise fault("level_severity", place=place, severity=rung.severity, before=before.severity)
            if sign * rung.raise_at < sign * before.raise_at:
                raise fault("level_within", place=place, level=rung.raise_at, before=before.raise_at)
            if sign * rung.clear_at > sign * rung.raise_at:
                raise fault("level_clear", place=place, level=rung.clear_at)
            if sign * rung.clear_at < sign * before.clear_at:
                raise fault("level_clears_later", place=place, level=rung.clear_at, before=before.clear_at)
            if rung.raise_at == before.raise_at and rung.duration <= before.duration:
                raise fault("level_same", place=place)
        return self

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """All levels of the rule, its own first."""
        own = Rung(self.severity, self.raise_level, self.clear_level, getattr(self, "duration", ZERO))
        found = [own]
        for step in self.levels:
            level = step.raise_above if self.upward else step.raise_below
            clear = step.clear_below if self.upward else step.clear_above
            raise_at = found[-1].raise_at if level is None else level
            # Without a clear level of its own a level at the same height clears with the one before it.
            clear_at = clear if clear is not None else found[-1].clear_at if level is None else raise_at
            found.append(Rung(step.severity, raise_at, clear_at, ZERO if step.duration is None else step.duration))
        return tuple(found)

    @model_validator(mode="after")
    def _levels(self) -> Limit:
        if self.raise_above is not None:
            if self.clear_above is not None:
                raise fault("above_goes")
            if self.clear_below is not None and self.clear_below > self.raise_above:
                raise fault("clear_above_raise", clear=self.clear_below, level=self.raise_above)
        else:
            if self.clear_below is not None:
                raise fault("below_goes")
            if self.clear_above is not None and self.raise_below is not None and self.clear_above < self.raise_below:
                raise fault("clear_below_raise", clear=self.clear_above, level=self.raise_below)
        return self

    @property
    def clear_level(self) -> float:
        """The level of relief."""
        level = self.clear_below if self.upward else self.clear_above
        return self.raise_level if level is None else level
