"""Whether a rule counts at a moment: segments of time in which it does, does not, or a site is exempt from it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from alerts.engine.fleet import NEVER, Fleet, Slots, Times
from alerts.rules.model import AnyRule, DayCountRule
from alerts.rules.schedule import DAY_MINUTES, DAYS, Hours
from core.clock import micros
from sensors.registry import Registry

FOREVER = 2**62

# Codes of segments; a permit that exempts is its number.
INACTIVE, BY_STAGE, ACTIVE = -2, -1, 0

_DAY = 24 * 3600 * 1_000_000
# Segments are worked out for so many days at once, and for so many before and behind them: no stretch of a weekly
# schedule is cut there.
_CHUNK_DAYS, _MARGIN_DAYS = 64, 9
_CHUNKS = 32


class Segments(NamedTuple):
    """Of moments: the code of the segment that each lies in, and its [start, end)."""

    code: Times
    start: Times
    end: Times


class Cover(NamedTuple):
    """A time in which a site is exempt, [start, end) in microseconds: the permit's number, or BY_STAGE."""

    start: int
    end: int
    code: int


class Calendar:
    """The segments of one schedule in one time zone, with the times that exempt. `daily`: each local day apart."""

    def __init__(
        self,
        schedule: Sequence[Hours],
        zone: ZoneInfo,
        *,
        covers: Sequence[Cover] = (),
        daily: bool = False,
    ) -> None:
        self._schedule = tuple(schedule)
        self._zone = zone
        self._covers = tuple(covers)
        self._daily = daily
        self._chunks: dict[int, tuple[Times, Times]] = {}

    def find(self, times: Times) -> Segments:
        """The segments of moments."""
        chunk = times // (_CHUNK_DAYS * _DAY)
        code, start, end = np.empty_like(times), np.empty_like(times), np.empty_like(times)
        for number in np.unique(chunk).tolist():
            bounds, codes = self._chunk(number)
            mine = np.flatnonzero(chunk == number)
            place = np.searchsorted(bounds, times[mine], side="right") - 1
            code[mine], start[mine], end[mine] = codes[place], bounds[place], bounds[place + 1]
        return Segments(code, start, end)

    def _chunk(self, number: int) -> tuple[Times, Times]:
        """(bounds, code of each segment between them)."""
        if number not in self._chunks:
            if len(self._chunks) >= _CHUNKS:
                self._chunks.clear()  # readings of many years are replayed: what is near comes back soon
            first = number * _CHUNK_DAYS - _MARGIN_DAYS
            self._chunks[number] = self._build(first, first + _CHUNK_DAYS + 2 * _MARGIN_DAYS)
        return self._chunks[number]

    def _build(self, first: int, last: int) -> tuple[Times, Times]:
        """The segments of the days [first, last) since the epoch."""
        counted = self._counted(first, last)
        edges = {NEVER, FOREVER}
        for start, end in counted:
            edges |= {start, end}
        for cover in self._covers:
            edges |= {cover.start, cover.end}
        bounds = np.array(sorted(edges), dtype=np.int64)
        codes = np.full(len(bounds) - 1, INACTIVE, dtype=np.int64)
        for start, end in counted:
            codes[np.searchsorted(bounds, start) : np.searchsorted(bounds, end)] = ACTIVE
        active = codes == ACTIVE
        for cover in reversed(self._covers):  # of several the first names itself
            inside = np.zeros(len(codes), dtype=np.bool_)
            inside[np.searchsorted(bounds, cover.start) : np.searchsorted(bounds, cover.end)] = True
            codes[inside & active] = cover.code
        # Neighbours of one code are one segment, but for days that are counted apart.
        keep = np.ones(len(bounds), dtype=np.bool_)
        if not self._daily:
            keep[1:-1] = codes[1:] != codes[:-1]
        return bounds[keep], codes[keep[:-1]]

    def _counted(self, first: int, last: int) -> list[tuple[int, int]]:
        if self._daily:
            return [self._stretch(date.fromordinal(_EPOCH + day), 0, DAY_MINUTES) for day in range(first, last)]
        if not self._schedule:
            return [(NEVER, FOREVER)]
        found = []
        for number in range(first, last):
            day = date.fromordinal(_EPOCH + number)
            name = DAYS[day.weekday()]
            found += [self._stretch(day, hours.first, hours.last) for hours in self._schedule if name in hours.days]
        return [(start, end) for start, end in found if start < end]

    def _stretch(self, day: date, first: int, last: int) -> tuple[int, int]:
        midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - what the clock on the wall shows
        return (
            moment(midnight + timedelta(minutes=first), self._zone, end=False),
            moment(midnight + timedelta(minutes=last), self._zone, end=True),
        )


_EPOCH = date(1970, 1, 1).toordinal()
_TICK = timedelta(microseconds=1)


def moment(wall: datetime, zone: ZoneInfo, *, end: bool) -> int:
    """Microseconds of the first time at which the zone's clock shows `wall`; the jump where it never does.

    As the end of a stretch: of the first time from which on it shows nothing earlier any more.
    """
    before, after = (wall.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if before.utcoffset() == after.utcoffset():
        return micros(before)
    if before.astimezone(UTC) < after.astimezone(UTC):  # shown twice
        # Between the two the clock shows later times, then it is put back: to `wall` itself or to before it.
        earlier = (after.astimezone(UTC) - _TICK).astimezone(zone).replace(tzinfo=None) < wall
        return micros(after if end and earlier else before)
    # Skipped: between the two readings of the wall lies the jump; the offset tells on which side a moment is.
    early, late = micros(after), micros(before)
    offset = datetime.fromtimestamp(early / 1e6, zone).utcoffset()
    while late - early > 1:
        middle = (early + late) // 2
        if datetime.fromtimestamp(middle / 1e6, zone).utcoffset() == offset:
            early = middle
        else:
            late = middle
    return late


class Agenda:
    """The calendars of some rules over a fleet. False where every rule counts always."""

    def __init__(self, rules: Sequence[AnyRule], fleet: Fleet, registry: Registry) -> None:
        self._calendars: list[Calendar] = []
        self._index: npt.NDArray[np.int32] = np.full((len(rules), len(fleet)), -1, dtype=np.int32)
        sites = np.array([device.site_id for device in fleet.devices], dtype=np.int64)
        known: dict[object, int] = {}
        for place, rule in enumerate(rules):
            if not scheduled(rule):
                continue
            for site in np.unique(sites).tolist():
                key, calendar = calendar_of(rule, site, registry)
                if key not in known:
                    known[key] = len(self._calendars)
                    self._calendars.append(calendar)
                self._index[place, sites == site] = known[key]
        self.rules: npt.NDArray[np.intp] = np.flatnonzero((self._index >= 0).any(axis=1))

    def __bool__(self) -> bool:
        return bool(self._calendars)

    def find(self, rule: Slots, slot: Slots, times: Times) -> Segments:
        """The segments of moments for rules and slots, all arrays of one length."""
        index = self._index[rule, slot]
        code = np.zeros(len(times), dtype=np.int64)
        start, end = np.full(len(times), NEVER, dtype=np.int64), np.full(len(times), FOREVER, dtype=np.int64)
        for number in np.unique(index).tolist():
            if number >= 0:
                mine = np.flatnonzero(index == number)
                code[mine], start[mine], end[mine] = self._calendars[number].find(times[mine])
        return Segments(code, start, end)


def scheduled(rule: AnyRule) -> bool:
    """Whether time is cut for the rule: there are hours in which it does not count, or days that it counts apart."""
    return isinstance(rule, DayCountRule) or bool(rule.schedule) or not rule.exempt_during.empty


def calendar_of(rule: AnyRule, site: int, registry: Registry) -> tuple[object, Calendar]:
    """The calendar of a rule on a site, and a key that is the same for the same calendar."""
    covers = tuple(
        Cover(micros(permit.starts_at), micros(permit.ends_at), permit.id)
        for permit in registry.permits
        if permit.site_id == site and permit.kind in rule.exempt_during.permits
    )
    covers += tuple(
        Cover(start, end, BY_STAGE)
        for stage, start, end in stages_of(site, registry)
        if stage in rule.exempt_during.stages
    )
    daily = isinstance(rule, DayCountRule)
    time_zone = registry.sites[site].time_zone
    return (rule.schedule, time_zone, covers, daily), Calendar(
        rule.schedule, ZoneInfo(time_zone), covers=covers, daily=daily
    )


def stages_of(site: int, registry: Registry) -> list[tuple[str, int, int]]:
    """(construction stage, start, end) of a site, in the order of time, in microseconds."""
    stages = registry.stages.get(site, ())
    starts = [NEVER if stage.since is None else micros(stage.since) for stage in stages]
    return [
        (stage.stage, start, end) for stage, start, end in zip(stages, starts, [*starts[1:], FOREVER], strict=False)
    ]
