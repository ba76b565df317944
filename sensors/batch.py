"""Columns of readings: what ingest puts into the log and what the engine and the live push take out.

Wire form, little-endian: `u8 version | u16 batches`, then per batch
`u8 length, kind | u32 rows | i64 arrived | columns device i4, site i4, time i8, flags u1 | u16 channels`
and per channel `u8 length, name | column f8 values | column u1 quality`.
A column is `u8 0` and all its items, or `u8 1` and one item that all rows share (most quality and site columns).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from core.errors import SmartsiteError

_VERSION = 1
_ALL, _SHARED = 0, 1
_HEAD = struct.Struct("<BH")
_BATCH = struct.Struct("<Iq")
_COUNT = struct.Struct("<H")
_I4, _I8, _F8, _U1 = (np.dtype(name) for name in ("<i4", "<i8", "<f8", "u1"))

# Quality letters of HJ 212 as they stand in `quality` columns; 0 means that the message had no such channel.
ABSENT = 0
NORMAL = ord("N")
OVER_RANGE = ord("T")
QUALITY_LETTERS = "NFMSDCTB"

# Bits of a row's flags.
TIME_FROM_ARRIVAL = 1
CLOCK_OFFSET_APPLIED = 2
BACK_FILL = 4


class BadBatch(SmartsiteError):
    """A payload of the log is not a batch of readings that this version can read."""

    code = "bad_batch"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingBatch:
    """`n` messages of devices of one kind, by column.

    Attributes:
        kind: name of the profile.
        device, site: int32[n], ids of the registry.
        time: int64[n], event time in microseconds since the epoch, UTC.
        values: channel -> float64[n] in canonical units; NaN = absent. bigint and enum channels are whole numbers.
        quality: channel -> uint8[n], `ord` of an HJ 212 letter, 0 = absent. Same channels as `values`. A letter may
            stand beside a NaN: the device reported a state (say D, fault) and no value.
        flags: uint8[n], bits TIME_FROM_ARRIVAL, CLOCK_OFFSET_APPLIED, BACK_FILL.
        arrived: microseconds, arrival of the newest message.
    """

    kind: str
    device: npt.NDArray[np.int32]
    site: npt.NDArray[np.int32]
    time: npt.NDArray[np.int64]
    values: Mapping[str, npt.NDArray[np.float64]]
    quality: Mapping[str, npt.NDArray[np.uint8]]
    flags: npt.NDArray[np.uint8]
    arrived: int

    def __len__(self) -> int:
        return len(self.device)


def encode(batches: Sequence[ReadingBatch]) -> bytes:
    """Bytes of a log entry of kind READINGS."""
    parts: list[bytes] = [_HEAD.pack(_VERSION, len(batches))]
    for batch in batches:
        rows = len(batch)
        parts += [_name(batch.kind), _BATCH.pack(rows, batch.arrived)]
        _column(parts, batch.device, "<i4", rows)
        _column(parts, batch.site, "<i4", rows)
        _column(parts, batch.time, "<i8", rows)
        _column(parts, batch.flags, "u1", rows)
        parts.append(_COUNT.pack(len(batch.values)))
        for channel, values in batch.values.items():
            parts.append(_name(channel))
            _column(parts, values, "<f8", rows)
            _column(parts, batch.quality[channel], "u1", rows)
    return b"".join(parts)


def decode(payload: bytes) -> list[ReadingBatch]:
    """The batches of a log entry; arrays are read-only views where the payload allows.

    Raises:
        BadBatch: cut short, trailing bytes, or written by a newer version.
    """
    try:
        version, count = _HEAD.unpack_from(payload)
        if version != _VERSION:
            raise BadBatch(f"batch version {version} is not known (this is {_VERSION})", hint="update this process")
        batches: list[ReadingBatch] = []
        offset = _HEAD.size
        for _ in range(count):
            batch, offset = _read_batch(payload, offset)
            batches.append(batch)
    except (struct.error, IndexError, ValueError) as error:
        raise BadBatch(f"batch is damaged: {error}") from error
    if offset != len(payload):
        raise BadBatch(f"batch has {len(payload) - offset} bytes too many")
    return batches


def _read_batch(payload: bytes, offset: int) -> tuple[ReadingBatch, int]:
    """A batch and where it ends. Running past the payload's end is an IndexError, a ValueError or a struct.error."""
    kind, offset = _read_name(payload, offset)
    rows, arrived = _BATCH.unpack_from(payload, offset)
    device, offset = _read_column(payload, offset + _BATCH.size, _I4, rows)
    site, offset = _read_column(payload, offset, _I4, rows)
    time, offset = _read_column(payload, offset, _I8, rows)
    flags, offset = _read_column(payload, offset, _U1, rows)
    values: dict[str, npt.NDArray[np.float64]] = {}
    quality: dict[str, npt.NDArray[np.uint8]] = {}
    (channels,) = _COUNT.unpack_from(payload, offset)
    offset += _COUNT.size
    for _ in range(channels):
        name, offset = _read_name(payload, offset)
        values[name], offset = _read_column(payload, offset, _F8, rows)
        quality[name], offset = _read_column(payload, offset, _U1, rows)
    batch = ReadingBatch(
        kind=kind, device=device, site=site, time=time, values=values, quality=quality, flags=flags, arrived=arrived
    )
    return batch, offset


def _read_name(payload: bytes, offset: int) -> tuple[str, int]:
    end = offset + 1 + payload[offset]
    return payload[offset + 1 : end].decode(), end


def _read_column(payload: bytes, offset: int, item: np.dtype[Any], rows: int) -> tuple[npt.NDArray[Any], int]:
    form = payload[offset]
    if form == _ALL:
        return np.frombuffer(payload, item, rows, offset + 1), offset + 1 + item.itemsize * rows
    if form == _SHARED:
        return np.frombuffer(payload, item, 1, offset + 1).repeat(rows), offset + 1 + item.itemsize
    raise ValueError(f"column form {form} at byte {offset} is not known")


def _name(text: str) -> bytes:
    raw = text.encode()
    return bytes((len(raw),)) + raw


def _column(parts: list[bytes], column: npt.NDArray[Any], dtype: str, rows: int) -> None:
    if column.shape != (rows,):
        raise ValueError(f"a column has shape {column.shape}, the batch has {rows} rows")
    raw = np.ascontiguousarray(column, dtype=dtype)
    # Compared as bits, so that NaN equals NaN and the copy that comes back is the same to the bit.
    bits = raw.view(f"u{raw.dtype.itemsize}")
    if rows > 1 and bool((bits == bits[0]).all()):
        parts += [bytes((_SHARED,)), raw[:1].tobytes()]
    else:
        parts += [bytes((_ALL,)), raw.tobytes()]
