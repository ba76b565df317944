"""The devices of one kind as slots of parallel arrays, and batches brought to these slots and to one matrix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alerts.rules.base import Scope
from sensors.batch import ABSENT, NORMAL, ReadingBatch
from sensors.registry import Device

Slots = npt.NDArray[np.intp]
Times = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

# Before every time that occurs; differences to it still fit an int64.
NEVER = -(2**62)


class Fleet:
    """The enabled devices of one kind, in the order of their ids. `heard` is the arrival of each one's last reading.

    `channels` are those that some rule looks at, in the order of the rows of `Rows.values`. A fleet never changes its
    devices: a new registry makes a new engine, which takes over the old one's state.
    """

    def __init__(self, kind: str, devices: Sequence[Device]) -> None:
        self.kind = kind
        self.devices = sorted(devices, key=lambda device: device.id)
        self.ids: npt.NDArray[np.int64] = np.array([device.id for device in self.devices], dtype=np.int64)
        self.interval: Values = np.array([device.interval_s * 1e6 for device in self.devices], dtype=np.float64)
        self.heard: Times = np.full(len(self.devices), NEVER, dtype=np.int64)
        self.channels: list[str] = []
        # Ids are small and dense (an identity column), so a table is the quickest way from id to slot.
        self._slot = np.full(int(self.ids.max(initial=0)) + 1, -1, dtype=np.intp)
        self._slot[self.ids] = np.arange(len(self.devices))

    def __len__(self) -> int:
        return len(self.devices)

    def slots_of(self, ids: npt.NDArray[np.integer]) -> Slots:
        """The slot of each device id, -1 for devices that are not of this fleet."""
        inside = (ids >= 0) & (ids < len(self._slot))
        slots = np.full(len(ids), -1, dtype=np.intp)
        slots[inside] = self._slot[ids[inside]]
        return slots

    def members(self, scope: Scope) -> Mask:
        """bool[slots]: the devices that a scope takes in."""
        if scope.device_kind not in (None, self.kind):
            return np.zeros(len(self), dtype=np.bool_)
        return np.array(
            [
                (not scope.sites or device.site in scope.sites)
                and (not scope.tags or not set(scope.tags).isdisjoint(device.tags))
                for device in self.devices
            ],
            dtype=np.bool_,
        )

    def channel(self, name: str) -> int:
        """The place of a channel in `channels`, for a rule that is made."""
        if name not in self.channels:
            self.channels.append(name)
        return self.channels.index(name)

    def rows(self, batches: Sequence[ReadingBatch]) -> Rows:
        """The rows of batches of this kind that belong to devices of this fleet, one batch behind the other."""
        slots = self.slots_of(_joined([batch.device for batch in batches]))
        time = _joined([batch.time for batch in batches])
        arrived = np.repeat([batch.arrived for batch in batches], [len(batch) for batch in batches])
        shape = (len(self.channels), len(slots))
        values: Values = np.empty(shape)
        quality: npt.NDArray[np.uint8] = np.empty(shape, dtype=np.uint8)
        for place, name in enumerate(self.channels):
            columns = [_column(batch, name) for batch in batches]
            np.concatenate([column for column, _ in columns], out=values[place])
            np.concatenate([letters for _, letters in columns], out=quality[place])
        # A value that came without a letter is normal, as in the tables, where N is stored as NULL.
        usable = np.isfinite(values) & ((quality == NORMAL) | (quality == ABSENT))
        known = slots >= 0
        if not known.all():
            keep = np.flatnonzero(known)
            slots, time, arrived = slots[keep], time[keep], arrived[keep]
            values, usable = values[:, keep], usable[:, keep]
        return Rows(slots=slots, time=time, arrived=arrived, values=values, usable=usable, distinct=_distinct(slots))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Readings of a fleet's devices, in the order in which they were stored.

    `values`, `usable`: [channels, rows]; a value may feed a rule where it is present and of quality N. `arrived`: when
    the batch of each row came. `distinct`: no device has two rows.
    """

    slots: Slots
    time: Times
    arrived: Times
    values: Values
    usable: Mask
    distinct: bool

    def __len__(self) -> int:
        return len(self.slots)


def _column(batch: ReadingBatch, name: str) -> tuple[Values, npt.NDArray[np.uint8]]:
    """Values and letters of a channel, which a batch need not have."""
    values = batch.values.get(name)
    if values is None:
        return np.full(len(batch), np.nan), np.full(len(batch), ABSENT, dtype=np.uint8)
    return values, batch.quality[name]


def _joined(parts: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _distinct(slots: Slots) -> bool:
    if len(slots) < 2:
        return True
    # The last row to leave its number with a slot is the only one to find it there.
    turn = np.arange(len(slots))
    seen = np.empty(int(slots.max()) + 1, dtype=np.intp)
    seen[slots] = turn
    return bool((seen[slots] == turn).all())


def rounds(slots: Slots) -> Iterator[Slots | slice]:
    """Cut rows into rounds in which each slot occurs at most once, keeping each slot's rows in order.

    State is moved by one reading of a device at a time; live batches mostly are one round already.
    """
    if len(slots) < 2:
        yield slice(None)
        return
    order = np.argsort(slots, kind="stable")
    ordered = slots[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    if len(starts) == len(slots):
        yield slice(None)
        return
    lengths = np.diff(np.append(starts, len(slots)))
    turn = np.empty(len(slots), dtype=np.intp)
    turn[order] = np.arange(len(slots)) - np.repeat(starts, lengths)
    # A stable sort by turn puts the rounds one behind the other.
    by_turn = np.argsort(turn, kind="stable")
    bounds = np.cumsum(np.bincount(turn))
    yield from np.split(by_turn, bounds[:-1])
