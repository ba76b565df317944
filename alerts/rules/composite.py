"""The composite rule: conditions on one device, or on devices of its site, joined by "and" or "or"."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field, model_validator

from alerts.rules.base import ZERO, Common, Delay, Part, Scope, Span
from alerts.rules.faults import fault


class Condition(Part):
    """One thing that holds or does not. Without `scope` it is about the device of the alert itself."""

    scope: Scope | None = Field(default=None, description="Devices of the same site it is about; unset: the device.")
    match: Literal["any", "all"] = Field(default="any", description="Whether one of these devices is enough.")
    metric: str = Field(description="Channel of the device kind.")
    unit: str = Field(default="", description="Unit of the levels; it must be the channel's.")
    raise_above: float | None = Field(default=None, description="Holds strictly above this level.")
    raise_below: float | None = Field(default=None, description="Holds strictly below this level.")
    clear_below: float | None = Field(default=None, description="Holds no more at or below this level.")
    clear_above: float | None = Field(default=None, description="Holds no more at or above this level.")
    raise_on: tuple[str, ...] = Field(default=(), description="Symbols of an enumeration that it holds on.")

    @model_validator(mode="after")
    def _one_of(self) -> Condition:
        given = [self.raise_above is not None, self.raise_below is not None, bool(self.raise_on)]
        if given.count(True) != 1:
            raise fault("one_of_three")
        if self.clear_below is not None and (self.raise_above is None or self.clear_below > self.raise_above):
            raise fault("clear_below_goes")
        if self.clear_above is not None and (self.raise_below is None or self.clear_above < self.raise_below):
            raise fault("clear_above_goes")
        if self.scope is not None and (self.scope.device_kind is None or self.scope.sites):
            raise fault("condition_scope")
        if self.scope is None and self.match != "any":
            raise fault("match_alone")
        return self

    @property
    def levels(self) -> tuple[float, float, float]:
        """(sign, raise level, clear level); high values hold where the sign is 1."""
        if self.raise_above is not None:
            return 1.0, self.raise_above, self.raise_above if self.clear_below is None else self.clear_below
        level = 0.0 if self.raise_below is None else self.raise_below
        return -1.0, level, level if self.clear_above is None else self.clear_above


class CompositeRule(Common):
    """Conditions joined by "and" or "or", looked at in steps of event time."""

    kind: Literal["composite"]
    all_of: tuple[Condition, ...] = Field(default=(), description="Every one of these must hold.")
    any_of: tuple[Condition, ...] = Field(default=(), description="One of these must hold, besides all of `all_of`.")
    step: Span = Field(default=timedelta(seconds=10), description="How often the conditions are looked at together.")
    lateness: Delay = Field(default=timedelta(seconds=60), description="Event time to wait for readings out of order.")
    duration: Delay = Field(default=ZERO, description="Event time that they must hold before the alert is raised.")
    clear_after: Delay = Field(default=ZERO, description="Time of relief before the alert is over.")

    @model_validator(mode="after")
    def _joined(self) -> CompositeRule:
        if len(self.conditions) < 2:
            raise fault("two_conditions")
        if self.conditions[0].scope is not None:
            raise fault("first_condition")
        return self

    @property
    def metric(self) -> str:
        """What its alerts tell values of: the first condition's channel."""
        return self.conditions[0].metric

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """All of them, those of `all_of` first."""
        return self.all_of + self.any_of
