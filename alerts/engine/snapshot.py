"""The engine's state as bytes: msgpack of arrays, with a version; another version's bytes are not guessed at."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from alerts.engine.sightings import Scene
from core.errors import SmartsiteError

VERSION = 1


class BadSnapshot(SmartsiteError):
    """The bytes are not a snapshot that this version can read."""

    code = "bad_snapshot"


class Column(msgspec.Struct, frozen=True, array_like=True):
    """One array: dtype as numpy writes it, shape, and its items in C order, or one item that all of them equal.

    Most devices are in no violation most of the time, so most columns are the second.
    """

    dtype: str
    shape: tuple[int, ...]
    data: bytes

    @classmethod
    def of(cls, array: npt.NDArray[Any]) -> Column:
        flat = array.reshape(-1)
        # Compared as bits, so that NaN equals NaN.
        bits = flat.view(f"u{flat.dtype.itemsize}")
        shared = len(bits) > 0 and bool((bits == bits[0]).all())
        return cls(array.dtype.str, array.shape, (flat[:1] if shared else flat).tobytes())

    def array(self) -> npt.NDArray[Any]:
        items = np.frombuffer(self.data, dtype=self.dtype)
        return np.broadcast_to(items, self.shape) if len(items) == 1 else items.reshape(self.shape)


class FleetState(msgspec.Struct, frozen=True, kw_only=True):
    """The devices of one kind. `rules`: rule id -> the digest of what its state depends on, and its arrays by slot."""

    ids: Column
    heard: Column
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
