"""The devices of one kind as slots of parallel arrays, and batches brought to these slots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alerts.rules.model import Scope
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

    A fleet never changes its devices: a new registry makes a new engine, which takes over the old one's state.
    """

    def __init__(self, kind: str, devices: Sequence[Device]) -> None:
        self.kind = kind
        self.devices = sorted(devices, key=lambda device: device.id)
        self.ids: npt.NDArray[np.int64] = np.array([device.id for device in self.devices], dtype=np.int64)
        self.interval: Values = np.array([device.interval_s * 1e6 for device in self.devices], dtype=np.float64)
        self.heard: Times = np.full(len(self.devices), NEVER, dtype=np.int64)
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

    def rows(self, batch: ReadingBatch) -> Rows:
        """The rows of a batch that belong to devices of this fleet."""
        slots = self.slots_of(batch.device)
        known = slots >= 0
        keep = None if known.all() else np.flatnonzero(known)
        if keep is not None:
            slots = slots[keep]
        return Rows(batch=batch, keep=keep, slots=slots, time=batch.time if keep is None else batch.time[keep])


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The known rows of a batch, in the order in which they were stored."""

    batch: ReadingBatch
    keep: Slots | None
    slots: Slots
    time: Times

    def __len__(self) -> int:
        return len(self.slots)

    @property
    def unknown(self) -> int:
        """Rows of devices that the registry in use does not hold."""
        return len(self.batch) - len(self.slots)

    def metric(self, name: str) -> tuple[Values, Mask] | None:
        """Values of a channel and which of them may feed a rule (present and of quality N); None: no such channel."""
        values = self.batch.values.get(name)
        if values is None:
            return None
        quality = self.batch.quality[name]
        if self.keep is not None:
            values, quality = values[self.keep], quality[self.keep]
        # A value that came without a letter is normal, as in the tables, where N is stored as NULL.
        return values, np.isfinite(values) & ((quality == NORMAL) | (quality == ABSENT))


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
