"""The engine's state as bytes: msgpack of arrays, with a version; another version's bytes are not guessed at."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from alerts.engine.sightings import Scene
from core.errors import SmartsiteError

VERSION = 2


class BadSnapshot(SmartsiteError):
    """The bytes are not a snapshot that this version can read."""

    code = "bad_snapshot"


class Column(msgspec.Struct, frozen=True, array_like=True):
    """One array: dtype as numpy writes it, shape, and its items in C order.

    Or one item that all of them equal but for those at `places` (u4), which then follow in `data`: most devices are in
    no violation most of the time.
    """

    dtype: str
    shape: tuple[int, ...]
    data: bytes
    places: bytes | None = None

    @classmethod
    def of(cls, array: npt.NDArray[Any]) -> Column:
        flat = array.reshape(-1)
        if not len(flat):
            return cls(array.dtype.str, array.shape, b"")
        # Compared as bits, so that NaN equals NaN.
        bits = flat.view(f"u{flat.dtype.itemsize}")
        # The first item is the common one, or an exception; then the last one most likely is not.
        others = min((np.flatnonzero(bits != bits[end]) for end in (0, -1)), key=len)
        if len(others) * 4 > len(flat):
            return cls(array.dtype.str, array.shape, flat.tobytes())
        common = flat[np.setdiff1d([0, len(flat) - 1], others)[:1]]
        return cls(
            array.dtype.str,
            array.shape,
            np.concatenate((common, flat[others])).tobytes(),
            others.astype("<u4").tobytes(),
        )

    def array(self) -> npt.NDArray[Any]:
        items = np.frombuffer(self.data, dtype=self.dtype)
        if self.places is None:
            return items.reshape(self.shape)
        if not self.places:
            return np.broadcast_to(items, self.shape)
        flat = np.full(math.prod(self.shape), items[0])
        flat[np.frombuffer(self.places, dtype="<u4")] = items[1:]
        return flat.reshape(self.shape)


class FleetState(msgspec.Struct, frozen=True, kw_only=True):
    """The devices of one kind. `rules`: rule id -> the digest of what its state depends on, and its arrays by slot.

    `shared`: what several rules have in common, by slot.
    """

    ids: Column
    heard: Column
    shared: dict[str, Column]
    rules: dict[str, tuple[str, dict[str, Column]]]


class EngineState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the engine remembers."""

    fleets: dict[str, FleetState]
    scenes: dict[str, tuple[str, dict[int, Scene]]]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(EngineState)


def encode(state: EngineState) -> bytes:
    """Bytes of a snapshot."""
    return bytes((VERSION,)) + _encoder.encode(state)


def decode(payload: bytes) -> EngineState:
    """The state in a snapshot.

    Raises:
        BadSnapshot: damaged, or written by another version of the format.
    """
    if not payload or payload[0] != VERSION:
        raise BadSnapshot(f"snapshot version {payload[:1].hex() or 'none'} is not {VERSION}")
    try:
        return _decoder.decode(payload[1:])
    except msgspec.MsgspecError as error:
        raise BadSnapshot(f"snapshot cannot be read: {error}") from error
