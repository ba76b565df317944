"""The shift rota of a site: a weekly pattern in the site's clock, and changes to single days.

A shift belongs to the day on which it begins; one that ends at or before its start ends on the next day. Bounds are
half-open, so that two shifts that meet leave no moment to both or to neither, also where the clock is changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import psycopg
from psycopg.types.json import Jsonb
from pydantic import BaseModel, ConfigDict, Field, model_validator

from core.errors import Conflict
from core.sql import queries

_SQL = queries(__package__)
_DAY = timedelta(days=1)
_LONGEST = 500

Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="A person's code.", examples=["wang"])]
Weekday = Annotated[int, Field(ge=1, le=7)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Shift(_Part):
    """A person's hours on some days of the week, in the site's clock."""

    person: Code
    weekdays: list[Weekday] = Field(min_length=1, max_length=7, description="1 Monday ... 7 Sunday, of the beginning.")
    starts: time = Field(description="Local time.", examples=["18:00"])
    ends: time = Field(description="Local time; at or before `starts`: of the next day.", examples=["06:00"])
    first_day: date | None = Field(default=None, description="First day of the pattern; none: since ever.")
    last_day: date | None = Field(default=None, description="Last day of the pattern; none: for ever.")


class Change(_Part):
    """What is different on one day: somebody is away, is replaced, or is on duty besides."""

    day: date = Field(description="Day on which the shift begins.")
    person: Code | None = Field(default=None, description="Whose shifts are changed; none: a further shift.")
    substitute: Code | None = Field(default=None, description="Who takes them over; none: nobody.")
    starts: time | None = Field(default=None, description="Of a further shift.")
    ends: time | None = Field(default=None, description="Of a further shift.")
    note: str = Field(default="", max_length=200)

    @model_validator(mode="after")
    def _is_a_change(self) -> Change:
        hours = self.starts is not None and self.ends is not None
        if self.person is None and not (self.substitute and hours):
            raise ValueError("name the person who is away, or a substitute with starts and ends for a further shift")
        if self.person is not None and (self.starts is not None or self.ends is not None):
            raise ValueError("starts and ends are for a further shift; leave person out, or make two changes")
        return self


class Rota(_Part):
    """The pattern and its changes."""

    shifts: list[Shift] = Field(default=[], max_length=_LONGEST)
    changes: list[Change] = Field(default=[], max_length=_LONGEST)

    @property
    def people(self) -> set[str]:
        """Codes of everybody who is named."""
        changed = {code for change in self.changes for code in (change.person, change.substitute) if code}
        return {shift.person for shift in self.shifts} | changed


class Stored(_Part):
    """A site's rota and its version; version 0: there is none, everybody is always on duty."""

    version: int
    rota: Rota
    updated_at: datetime | None = None
    updated_by: str | None = None


def on_duty(rota: Rota, at: datetime, zone: ZoneInfo) -> set[str]:
    """Codes of the people whose shift holds the moment."""
    today = at.astimezone(zone).date()
    return {
        person
        for day in (today - _DAY, today)
        for person, starts, ends in _shifts(rota, day)
        if _instant(day, starts, zone) <= at < _instant(day if ends > starts else day + _DAY, ends, zone)
    }


def _shifts(rota: Rota, day: date) -> Iterator[tuple[str, time, time]]:
    """(person, start, end) of the shifts that begin on a day."""
    changes = [change for change in rota.changes if change.day == day]
    instead = {change.person: change.substitute for change in changes if change.person is not None}
    for shift in rota.shifts:
        if (
            day.isoweekday() in shift.weekdays
            and (shift.first_day is None or shift.first_day <= day)
            and (shift.last_day is None or day <= shift.last_day)
        ):
            person = instead.get(shift.person, shift.person)
            if person is not None:
                yield person, shift.starts, shift.ends
    for change in changes:
        if change.person is None and change.substitute and change.starts is not None and change.ends is not None:
            yield change.substitute, change.starts, change.ends


def _instant(day: date, clock: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, clock, zone).astimezone(UTC)


async def load(connection: psycopg.AsyncConnection[Any], site_id: int) -> Stored:
    """The rota of a site."""
    row = await (await connection.execute(_SQL["rota_get"], {"site_id": site_id})).fetchone()
    if row is None:
        return Stored(version=0, rota=Rota())
    version, definition, updated_at, updated_by = row
    return Stored(version=version, rota=Rota.model_validate(definition), updated_at=updated_at, updated_by=updated_by)


async def save(
    connection: psycopg.AsyncConnection[Any], site_id: int, rota: Rota, *, version: int, by: str, at: datetime
) -> Stored:
    """Replace a site's rota; `version` is the one that was looked at.

    Raises:
        Conflict: somebody else changed it meanwhile.
    """
    cursor = await connection.execute(
        _SQL["rota_update" if version else "rota_put"],
        {
            "site_id": site_id,
            "version": version,
            "definition": Jsonb(rota.model_dump(mode="json")),
            "by": by,
            "now": at,
        },
    )
    if await cursor.fetchone() is None:
        present = await load(connection, site_id)
        raise Conflict(
            f"the rota of site {site_id} is at version {present.version}, not {version}", hint="read it again"
        )
    return await load(connection, site_id)
