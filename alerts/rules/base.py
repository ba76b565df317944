"""What all rules share: durations with their unit, scope, hours, and the definition that makes a version."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from alerts.model import Severity
from alerts.rules.faults import fault
from alerts.rules.schedule import Exemption, Hours, stretches

_DURATION = re.compile(r"(?P<amount>\d+(\.\d+)?)\s*(?P<unit>ms|s|min|h|d)")
_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
ZERO = timedelta(0)


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    # A bare number would leave the reader guessing between seconds and minutes.
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise fault("no_duration")
    try:
        return float(match["amount"]) * _UNITS[match["unit"]]
    except OverflowError:
        raise fault("long_duration") from None


def spell(duration: timedelta) -> str:
    """A duration as rule files write it, in its largest whole unit; of one unit, the unit alone: `h` for an hour."""
    for unit in ("d", "h", "min", "s"):
        amount, rest = divmod(duration, _UNITS[unit])
        if amount and not rest:
            return unit if amount == 1 else f"{amount} {unit}"
    return f"{duration / _UNITS['ms']:g} ms"


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Span = Annotated[Duration, Field(gt=ZERO)]
Delay = Annotated[Duration, Field(ge=ZERO)]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Scope(Part):
    """Which devices or cameras a rule looks at; an empty list means no restriction."""

    device_kind: str | None = Field(default=None, description="Kind of device; a rule on a metric must name one.")
    sites: tuple[str, ...] = Field(default=(), description="Site codes.")
    tags: tuple[str, ...] = Field(default=(), description="The device carries at least one of these tags.")


class Flap(Part):
    """When an alert flaps: raised more often than this by one rule on one subject."""

    at_most: int = Field(ge=1, description="Raises within the time that people are still told of.")
    within: Span = Field(description="The time.")


class Common(Part):
    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$", description="Stable name, unique over all files.")
    name: str = Field(min_length=1, description="Name in Chinese.")
    name_en: str = Field(min_length=1, description="Name in English.")
    severity: Severity = Field(description="info, warning, major or critical.")
    enabled: bool = Field(default=True, description="A rule that is not enabled is checked and does nothing.")
    scope: Scope = Field(default=Scope(), description="What the rule looks at.")
    inhibited_by: tuple[str, ...] = Field(
        default=(), description="Patterns of rules whose open alert on the same site explains this one."
    )
    flap: Flap | None = Field(default=None, description="When people are told no more of one that comes and goes.")
    targets: tuple[str, ...] = Field(default=(), description="Regulator targets that get the violation.")
    schedule: tuple[Hours, ...] = Field(default=(), description="Hours in which the rule counts; none: always.")
    exempt_during: Exemption = Field(default=Exemption(), description="Stages and permits that exempt a site.")
    cool_down: Delay = Field(default=timedelta(minutes=10), description="Least time between two notices to a person.")
    source: str = Field(default="", description="The standard or order the rule comes from, with clause and date.")
    confidence: Literal["", "high", "medium", "low"] = Field(default="", description="How sure the source's figure is.")

    # Left out of the definition where they say nothing, so that a rule without them stays the version that it is.
    _OPTIONAL: ClassVar[frozenset[str]] = frozenset(
        {"schedule", "exempt_during", "levels", "per", "reference", "inhibited_by", "flap"}
    )

    @model_validator(mode="after")
    def _no_overlap(self) -> Common:
        stretches(self.schedule)
        return self

    def definition(self) -> dict[str, Any]:
        """What the rule decides, as JSON; durations in seconds under `<field>_s`. A change of it is a new version.

        Whether the rule is switched on and where its figure comes from do not change what it decides.
        """
        known = type(self).model_fields
        unsaid = {name for name in self._OPTIONAL & known.keys() if getattr(self, name) == known[name].default}
        fields = self.model_dump(by_alias=True, exclude={"enabled", "source", "confidence", *unsaid})
        plain = _seconds(fields)
        assert isinstance(plain, dict)
        return plain

    def digest(self) -> str:
        """SHA-256 of the canonical JSON of the definition."""
        return _digest(self.definition())

    def state_digest(self) -> str:
        """SHA-256 of what the engine's state depends on: a new name or severity does not throw a window away."""
        words = {"name", "name_en", "severity", "targets", "cool_down_s", "inhibited_by", "flap"}
        return _digest({name: value for name, value in self.definition().items() if name not in words})


def _seconds(value: Any) -> Any:
    """Durations in seconds, under names that say so."""
    if isinstance(value, dict):
        return {
            f"{name}_s" if isinstance(item, timedelta) else name: (
                item.total_seconds() if isinstance(item, timedelta) else _seconds(item)
            )
            for name, item in value.items()
        }
    return [_seconds(item) for item in value] if isinstance(value, list | tuple) else value


def _digest(value: dict[str, Any]) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
