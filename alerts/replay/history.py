"""Readings out of files as `smartsite export` writes them, in the order of their times, and the devices they are of."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from core.clock import micros
from core.errors import InvalidInput
from sensors.batch import ABSENT, NORMAL, ReadingBatch
from sensors.profiles import Profile
from sensors.registry import Device, Registry, Site

_FACTS = ("site", "device", "time")


@dataclass(frozen=True, slots=True)
class Table:
    """Readings of one kind in the order of their times; `device` are numbers of the history's registry."""

    kind: str
    device: npt.NDArray[np.int32]
    site: npt.NDArray[np.int32]
    time: npt.NDArray[np.int64]
    values: Mapping[str, npt.NDArray[np.float64]]
    quality: Mapping[str, npt.NDArray[np.uint8]]

    def part(self, first: int, last: int) -> ReadingBatch:
        """Rows [first, last) as the log would bring them at the time of the newest."""
        rows = slice(first, last)
        return ReadingBatch(
            kind=self.kind,
            device=self.device[rows],
            site=self.site[rows],
            time=self.time[rows],
            values={name: column[rows] for name, column in self.values.items()},
            quality={name: column[rows] for name, column in self.quality.items()},
            flags=np.zeros(last - first, dtype=np.uint8),
            arrived=int(self.time[last - 1]),
        )


@dataclass(slots=True)
class History:
    """Tables of several kinds. Without a registry of the installation the devices are those that the files name."""

    zone: str = "Asia/Shanghai"
    registry: Registry | None = None
    tables: list[Table] = field(default_factory=list)
    _sites: dict[str, int] = field(default_factory=dict)
    _devices: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def add(self, lines: Iterable[str], profile: Profile, *, name: str) -> None:
        """Take in a file's lines.

        Raises:
            InvalidInput: a column or a row that cannot be read, with its line.
        """
        self.tables.append(_table(lines, profile, name, self._number))

    def devices(self) -> Registry:
        """The registry that the tables' numbers are of."""
        if self.registry is not None:
            return self.registry
        codes = {number: code for code, number in self._sites.items()}
        sites = {number: _site(number, code, self.zone) for number, code in codes.items()}
        devices = {}
        for (kind, site, code), number in self._devices.items():
            devices[number] = _device(number, self._sites[site], site, code, kind, self._interval(number))
        return Registry(
            version=0,
            sites=sites,
            units={},
            site_units=(),
            people={},
            devices=devices,
            cameras={},
            by_topic={(device.site, device.code): device for device in devices.values()},
        )

    def chunks(self, longest: timedelta, moments: Iterable[int] = ()) -> Iterator[tuple[int, list[ReadingBatch]]]:
        """(time reached, the readings before it) in the order of time: pieces of at most so long, cut at `moments`."""
        starts = [int(table.time[0]) for table in self.tables if len(table.time)]
        if not starts:
            return
        end = max(int(table.time[-1]) for table in self.tables if len(table.time))
        step = longest // timedelta(microseconds=1)
        cuts = {*range(min(starts) + step, end, step), *(moment for moment in moments if moment <= end), end + 1}
        at = [0] * len(self.tables)
        for until in sorted(cuts):
            batches = []
            for place, table in enumerate(self.tables):
                last = int(np.searchsorted(table.time, until))
                if last > at[place]:
                    batches.append(table.part(at[place], last))
                    at[place] = last
            yield until, batches

    def silences(self, device: int, longest: timedelta) -> list[int]:
        """The moments just after the last reading before each silence of so long, and just after that time."""
        after = longest // timedelta(microseconds=1)
        found: list[int] = []
        for table in self.tables:
            times = table.time[table.device == device]
            if len(times):
                found += times[:-1][np.diff(times) > after].tolist()
                found.append(int(times[-1]))
        return [moment for time in found for moment in (time + 1, time + after + 1)]

    def until(self, at: int) -> History:
        """What was known at a moment."""
        tables = []
        for table in self.tables:
            rows = slice(0, int(np.searchsorted(table.time, at, side="right")))
            tables.append(
                Table(
                    table.kind,
                    table.device[rows],
                    table.site[rows],
                    table.time[rows],
                    {name: column[rows] for name, column in table.values.items()},
                    {name: column[rows] for name, column in table.quality.items()},
                )
            )
        return History(zone=self.zone, registry=self.devices(), tables=tables)

    def _number(self, kind: str, site: str, device: str) -> tuple[int, int]:
        """(device, site); -1 for devices that the installation does not have."""
        if self.registry is not None:
            found = self.registry.by_topic.get((site, device))
            return (-1, -1) if found is None else (found.id, found.site_id)
        place = self._sites.setdefault(site, len(self._sites) + 1)
        return self._devices.setdefault((kind, site, device), len(self._devices) + 1), place

    def _interval(self, device: int) -> float:
        """Seconds between two readings, as they mostly are."""
        for table in self.tables:
            times = table.time[table.device == device]
            if len(times) > 1:
                return max(0.001, float(np.median(np.diff(times))) / 1e6)
        return 60.0


def read_csv(lines: Iterable[str], profile: Profile, *, name: str, zone: str = "Asia/Shanghai") -> History:
    """The history of one file."""
    history = History(zone=zone)
    history.add(lines, profile, name=name)
    return history


def _table(lines: Iterable[str], profile: Profile, name: str, number: object) -> Table:
    assert callable(number)
    rows = csv.reader(lines)
    head = next(rows, [])
    if missing := [column for column in _FACTS if column not in head]:
        raise InvalidInput(f"{name}:1: column {missing[0]} is missing", hint="give a file of `smartsite export KIND`")
    site_at, device_at, time_at = (head.index(column) for column in _FACTS)
    known = [channel.name for channel in profile.channels if channel.name in head]
    if not known:
        raise InvalidInput(f"{name}:1: no column is a channel of {profile.kind}", hint="is it a file of that kind?")
    value_at = [head.index(channel) for channel in known]
    letter_at = [head.index(f"{channel}_q") if f"{channel}_q" in head else None for channel in known]
    devices, sites, times = [], [], []
    values: list[list[float]] = [[] for _ in known]
    letters: list[list[int]] = [[] for _ in known]
    for line, row in enumerate(rows, start=2):
        try:
            device, site = number(profile.kind, row[site_at], row[device_at])
            times.append(micros(_moment(row[time_at])))
            for place, (at, letter) in enumerate(zip(value_at, letter_at, strict=True)):
                cell = row[at]
                values[place].append(float(cell) if cell else float("nan"))
                quality = row[letter] if letter is not None else ""
                letters[place].append(ord(quality[0]) if quality else NORMAL if cell else ABSENT)
        except (ValueError, IndexError) as error:
            raise InvalidInput(f"{name}:{line}: cannot be read: {error}") from error
        devices.append(device)
        sites.append(site)
    order = np.argsort(np.array(times, dtype=np.int64), kind="stable")
    return Table(
        kind=profile.kind,
        device=np.array(devices, dtype=np.int32)[order],
        site=np.array(sites, dtype=np.int32)[order],
        time=np.array(times, dtype=np.int64)[order],
        values={channel: np.array(column)[order] for channel, column in zip(known, values, strict=True)},
        quality={
            channel: np.array(column, dtype=np.uint8)[order] for channel, column in zip(known, letters, strict=True)
        },
    )


def _moment(text: str) -> datetime:
    # PostgreSQL writes an offset of whole hours as two digits.
    moment = datetime.fromisoformat(f"{text}:00" if text[-3:-2] in "+-" and text[-2:].isdigit() else text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no offset from UTC")
    return moment


def _site(number: int, code: str, zone: str) -> Site:
    return Site(
        id=number,
        code=code,
        name=code,
        name_en="",
        address="",
        region_code="",
        latitude=None,
        longitude=None,
        time_zone=zone,
        stage="",
        area_m2=None,
        project_code="",
        permit_number="",
        supervision_number="",
        vision_policy="review",
        vision_auto_score=1.0,
        enabled=True,
    )


def _device(number: int, site_id: int, site: str, code: str, kind: str, interval_s: float) -> Device:
    return Device(
        id=number,
        site_id=site_id,
        site=site,
        code=code,
        kind=kind,
        name=code,
        name_en="",
        secret_hash=None,
        record_number="",
        factory="",
        latitude=None,
        longitude=None,
        clock_offset_ms=0,
        interval_s=interval_s,
        tags=(),
        enabled=True,
    )
