"""What devices know: every reading that they sent, when, and when it was acknowledged."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class Kind(IntEnum):
    """How a device speaks."""

    QOS1 = 0
    QOS0 = 1
    HJ212 = 2


class Book:
    """Written by the devices' process; a reading is known by its place."""

    def __init__(self) -> None:
        self._kind, self._device, self._ts = array("b"), array("i"), array("q")
        self._sent, self._acknowledged = array("d"), array("d")

    def add(self, kind: Kind, device: int, ts: int, moment: float) -> int:
        """A reading, with the monotonic clock's seconds at which it was made; returns its place."""
        self._kind.append(kind)
        self._device.append(device)
        self._ts.append(ts)
        self._sent.append(moment)
        self._acknowledged.append(math.nan)
        return len(self._ts) - 1

    def acknowledge(self, place: int, moment: float) -> None:
        """The answer came."""
        self._acknowledged[place] = moment

    def save(self, path: Path) -> None:
        """Write the book for `Sent.load`."""
        with path.open("wb") as file:
            np.savez(
                file,
                kind=np.array(self._kind),
                device=np.array(self._device),
                ts=np.array(self._ts),
                sent=np.array(self._sent),
                acknowledged=np.array(self._acknowledged),
            )


@dataclass(frozen=True, slots=True)
class Sent:
    """A book as columns; `acknowledged` is NaN where no answer came. For QoS 0 the answer is that of a PINGREQ."""

    kind: NDArray[np.int8]
    device: NDArray[np.int32]
    ts: NDArray[np.int64]
    sent: NDArray[np.float64]
    acknowledged: NDArray[np.float64]

    @classmethod
    def load(cls, path: Path) -> Sent:
        """Read what a book has saved."""
        with np.load(path) as found:
            return cls(**{name: found[name] for name in ("kind", "device", "ts", "sent", "acknowledged")})

    def of(self, kind: Kind) -> Sent:
        """The readings of one kind of device."""
        mine = self.kind == kind
        return Sent(self.kind[mine], self.device[mine], self.ts[mine], self.sent[mine], self.acknowledged[mine])

    @property
    def keys(self) -> NDArray[np.int64]:
        """Device and time as one number each."""
        return key(self.device, self.ts)

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Whether an answer came."""
        return ~np.isnan(self.acknowledged)


def key(device: NDArray[np.int32], ts: NDArray[np.int64]) -> NDArray[np.int64]:
    """A device's number and milliseconds since the epoch, which need 41 bits, as one number."""
    return (device.astype(np.int64) << 42) | ts
