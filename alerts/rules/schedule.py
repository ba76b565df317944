"""When a rule counts: hours by weekday in the site's time zone, and what exempts a site from it.

A window begins at the first moment at which the site's clock shows `from`, and ends where the clock shows nothing
before `to` any more. Hours that the clock skips in spring begin and end at the jump; hours that it shows twice count as
one stretch. A window that crosses midnight belongs to the weekday on which it begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from alerts.rules.faults import fault

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60
WEEK_MINUTES = 7 * DAY_MINUTES

_FROM = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
_TO = Annotated[str, Field(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")]


def _days(value: object) -> object:
    """`mon-fri` stands for the days from Monday to Friday."""
    if not isinstance(value, list | tuple):
        return value
    found: list[object] = []
    for item in value:
        first, dash, last = item.partition("-") if isinstance(item, str) else (item, "", "")
        if dash and first in DAYS and last in DAYS:
            start, end = DAYS.index(first), DAYS.index(last)
            found += [DAYS[number % 7] for number in range(start, end + 1 if end >= start else end + 8)]
        else:
            found.append(item)
    return found


class Hours(BaseModel):
    """A stretch of the clock on some weekdays. A `to` that is not after `from` lies on the day after."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    days: Annotated[tuple[Day, ...], BeforeValidator(_days), Field(min_length=1)] = Field(
        default=DAYS, description='Weekdays on which it begins: "mon" to "sun", or ranges as "mon-fri".'
    )
    start: _FROM = Field(alias="from", description="Local time at which it begins, HH:MM.")
    end: _TO = Field(alias="to", description="Local time at which it is over; 24:00 is midnight.")

    @model_validator(mode="after")
    def _length(self) -> Hours:
        if self.start == self.end:
            raise fault("no_hours", start=self.start)
        return self

    @property
    def first(self) -> int:
        """Minute of the day at which it begins."""
        return _minutes(self.start)

    @property
    def last(self) -> int:
        """Minute at which it is over, counted from the midnight before it begins; more than a day across midnight."""
        end = _minutes(self.end)
        return end if end > self.first else end + DAY_MINUTES

    def __str__(self) -> str:
        return f"{','.join(self.days)} {self.start}-{self.end}"


class Exemption(BaseModel):
    """What exempts a site: its construction stage, or a permit that covers the moment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stages: tuple[str, ...] = Field(default=(), description="Construction stages, as the site's `stage` says.")
    permits: tuple[str, ...] = Field(default=(), description="Kinds of permit, such as night_work or sandstorm.")

    @property
    def empty(self) -> bool:
        """Whether nothing exempts."""
        return not self.stages and not self.permits


def stretches(schedule: Sequence[Hours]) -> list[tuple[int, int]]:
    """The hours of a week in minutes from Monday's midnight, in order, what touches made one.

    One that runs over the week's end goes on beyond it.

    Raises:
        ValueError: two windows overlap.
    """
    parts = sorted(
        (
            (DAYS.index(day) * DAY_MINUTES + hours.first, DAYS.index(day) * DAY_MINUTES + hours.last, hours)
            for hours in schedule
            for day in dict.fromkeys(hours.days)
        ),
        key=lambda part: part[:2],  # the same hours twice have no order of their own
    )
    if not parts:
        return [(0, WEEK_MINUTES)]
    around = [*parts, (parts[0][0] + WEEK_MINUTES, parts[0][1] + WEEK_MINUTES, parts[0][2])]
    for (_, end, before), (start, _, after) in pairwise(around):
        if start < end:
            raise fault("hours_overlap", before=before, after=after)
    merged: list[tuple[int, int]] = []
    for start, end, _ in parts:
        if merged and merged[-1][1] == start:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    if merged == [(0, WEEK_MINUTES)]:
        return merged
    if len(merged) > 1 and merged[-1][1] == merged[0][0] + WEEK_MINUTES:
        merged[-1] = (merged[-1][0], merged.pop(0)[1] + WEEK_MINUTES)
    return merged


def _minutes(text: str) -> int:
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)
