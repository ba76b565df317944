"""What a rule is: one class a kind, as the rule files write it; their levels are in alerts.rules.levels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, model_validator

from alerts.rules.base import ZERO, Common, Delay, Part, Span
from alerts.rules.composite import CompositeRule
from alerts.rules.faults import fault
from alerts.rules.levels import Level, Limit
from alerts.rules.schedule import stretches


class ThresholdRule(Limit):
    """The newest reading against a limit; fires at once, or after the violation has lasted for `duration`."""

    kind: Literal["threshold"]
    duration: Delay = Field(
        default=ZERO,
        description="Event time that every reading must violate before the alert is raised; three missed readings in "
        "a row start it anew.",
    )


class StateRule(Common):
    """An enumeration against a set of its symbols; fires at once, or after they have lasted for `duration`."""

    kind: Literal["state"]
    metric: str = Field(description="Channel of the device kind, an enumeration.")
    raise_on: tuple[str, ...] = Field(min_length=1, description="Symbols that violate.")
    clear_on: tuple[str, ...] = Field(
        default=(), description="Symbols that relieve; unset: all that do not violate. Any other changes nothing."
    )
    duration: Delay = Field(default=ZERO, description="As in a threshold rule.")
    clear_after: Delay = Field(default=ZERO, description="Time of relief before the alert is over.")

    @model_validator(mode="after")
    def _apart(self) -> StateRule:
        if both := sorted(set(self.raise_on) & set(self.clear_on)):
            raise fault("both_symbols", symbol=both[0])
        return self


class Reference(Part):
    """Stations of the same site and kind that a value is compared with: their mean over the same window."""

    tag: str = Field(min_length=1, description="What the reference stations are tagged with, such as upwind.")
    compare: Literal["difference", "ratio"] = Field(
        description="The value less the reference, or the value by the reference."
    )
    factor: float = Field(default=1.0, gt=0, description="What the reference is multiplied by before it is compared.")
    metric: str | None = Field(default=None, description="Channel of the reference stations; unset: the rule's.")


class WindowRule(Limit):
    """An aggregate over windows of event time, aligned to the epoch; evaluated when a window can no longer change."""

    kind: Literal["window"]
    window: Span = Field(description="Length of a window.")
    every: Span | None = Field(
        default=None, description="A window ends this often and must divide `window`; unset: each `window`."
    )
    aggregate: Literal["mean", "energy_mean", "max", "change"] = Field(
        description="Noise takes energy_mean (Leq), others mean; change is the mean less the mean of the window before."
    )
    per: Span | None = Field(default=None, description="Makes a change a rate: by so much time; unset: by a window.")
    reference: Reference | None = Field(default=None, description="Stations that the value is compared with.")
    minimum_valid_share: float = Field(
        default=0.75, gt=0, le=1, description="Share of the expected readings that a window needs for a verdict."
    )
    lateness: Delay = Field(default=timedelta(seconds=60), description="Event time to wait for readings out of order.")

    @model_validator(mode="after")
    def _panes(self) -> WindowRule:
        if self.per is not None and self.aggregate != "change":
            raise fault("per_alone")
        if self.reference is not None and self.aggregate in ("max", "change"):
            raise fault("reference_aggregate")
        if self.every is not None and (self.every > self.window or self.window % self.every):
            raise fault("every_divides")
        longest = max(end - start for start, end in stretches(self.schedule))
        if self.window > timedelta(minutes=longest):
            raise fault("window_hours")
        if self.aggregate == "max" and not self.upward:
            raise fault("max_upward")
        if self.aggregate == "change" and self.every is not None:
            raise fault("change_every")
        return self

    @property
    def pane(self) -> timedelta:
        """Distance between the ends of two windows; a window is a whole number of panes."""
        return self.every or self.window


class DayCountRule(Level):
    """Windows beyond a level on one day of the site: more than so many violate, until the day is over."""

    kind: Literal["day_count"]
    allowed: int = Field(ge=0, description="Windows beyond the level that a day may have.")
    window: Span = Field(description="Length of a window.")
    aggregate: Literal["mean", "energy_mean", "max"] = Field(description="As in a window rule.")
    minimum_valid_share: float = Field(default=0.75, gt=0, le=1, description="As in a window rule.")
    lateness: Delay = Field(default=timedelta(seconds=60), description="Event time to wait for readings out of order.")

    @model_validator(mode="after")
    def _days(self) -> DayCountRule:
        if self.schedule:
            raise fault("day_schedule")
        if self.window > timedelta(days=1):
            raise fault("long_window")
        if self.aggregate == "max" and not self.upward:
            raise fault("max_upward")
        return self

    @property
    def pane(self) -> timedelta:
        """Windows lie one behind the other."""
        return self.window


class CountRule(Level):
    """So many of a device's last readings violate; judged, as a window is, when its readings can no longer change.

    "The last M readings" are those of M reading intervals of the device, aligned to the epoch.
    """

    kind: Literal["n_of_m"]
    at_least: int = Field(ge=1, description="Readings (N) that must violate.")
    of: int = Field(ge=2, le=1000, description="Reading intervals (M) that are looked at.")
    clear_at_most: int | None = Field(
        default=None, ge=0, description="Over when at most so many of the last M violate; one less than N if unset."
    )
    clear_after: Delay = Field(default=ZERO, description="Time of relief before the alert is over.")
    lateness: Delay = Field(default=timedelta(seconds=60), description="Event time to wait for readings out of order.")

    @model_validator(mode="after")
    def _counts(self) -> CountRule:
        if self.at_least > self.of:
            raise fault("at_least_of", at_least=self.at_least, of=self.of)
        if self.clear_at_most is not None and self.clear_at_most >= self.at_least:
            raise fault("clear_at_most", clear_at_most=self.clear_at_most, at_least=self.at_least)
        return self

    @property
    def relief(self) -> int:
        """Violating readings that are few enough."""
        return self.at_least - 1 if self.clear_at_most is None else self.clear_at_most


class OfflineRule(Common):
    """No accepted reading of a device for `after` and for `missed` of its own intervals; ends with the next one."""

    kind: Literal["offline"]
    after: Span = Field(description="Silence, by wall clock, that makes a device offline.")
    missed: int = Field(
        default=3, ge=1, description="Readings that must be missing as well, by the device's own interval."
    )


class StuckRule(Common):
    """A channel reports the very same value for `after`; ends with the first other value."""

    kind: Literal["stuck"]
    metric: str = Field(description="Channel of the device kind.")
    after: Span = Field(description="Event time without a change that makes a value stuck.")
    minimum_readings: int = Field(default=10, ge=2, description="Readings that the run must have.")

    @model_validator(mode="after")
    def _always(self) -> StuckRule:
        if self.schedule or not self.exempt_during.empty:
            raise fault("stuck_hours")
        return self


class VisionRule(Common):
    """A camera sees violations of one kind; ends when none has been seen for `clear_after`."""

    kind: Literal["vision"]
    episode: str = Field(min_length=1, description="Kind of vision episode, such as no_helmet.")
    clear_after: Delay = Field(default=timedelta(minutes=1), description="Quiet period that ends the alert.")


AnyRule = (
    ThresholdRule
    | StateRule
    | WindowRule
    | DayCountRule
    | CountRule
    | CompositeRule
    | OfflineRule
    | StuckRule
    | VisionRule
)
Rule = Annotated[AnyRule, Field(discriminator="kind")]


RULE: TypeAdapter[AnyRule] = TypeAdapter(Rule)
"""Makes a rule of the values of its table."""


def from_definition(definition: dict[str, Any]) -> AnyRule:
    """The rule, switched on, that has this `definition()`."""
    return RULE.validate_python(_spans(definition))


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules of one set of files, in the order of the files; ids are unique."""

    rules: tuple[AnyRule, ...]

    def __iter__(self) -> Iterator[AnyRule]:
        return iter(self.rules)

    def __len__(self) -> int:
        return len(self.rules)

    @property
    def enabled(self) -> tuple[AnyRule, ...]:
        """The rules that are switched on."""
        return tuple(rule for rule in self.rules if rule.enabled)


def _spans(value: Any) -> Any:
    """The inverse of `_seconds`."""
    if isinstance(value, dict):
        return {
            name.removesuffix("_s"): timedelta(seconds=item)
            if name.endswith("_s") and item is not None
            else _spans(item)
            for name, item in value.items()
        }
    return [_spans(item) for item in value] if isinstance(value, list) else value
