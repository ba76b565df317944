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
    cursor = _Cursor(payload)
    try:
        version, count = cursor.unpack(_HEAD)
        if version != _VERSION:
            raise BadBatch(f"batch version {version} is not known (this is {_VERSION})", hint="update this process")
        batches = [_read_batch(cursor) for _ in range(count)]
    except (struct.error, UnicodeDecodeError) as error:
        raise BadBatch(f"batch is damaged at byte {cursor.offset}: {error}") from error
    if cursor.offset != len(payload):
        raise BadBatch(f"batch has {len(payload) - cursor.offset} bytes too many")
    return batches


def _read_batch(cursor: _Cursor) -> ReadingBatch:
    kind = cursor.name()
    rows, arrived = cursor.unpack(_BATCH)
    device = cursor.column("<i4", rows)
    site = cursor.column("<i4", rows)
    time = cursor.column("<i8", rows)
    flags = cursor.column("u1", rows)
    values: dict[str, npt.NDArray[np.float64]] = {}
    quality: dict[str, npt.NDArray[np.uint8]] = {}
    (channels,) = cursor.unpack(_COUNT)
    for _ in range(channels):
        name = cursor.name()
        values[name] = cursor.column("<f8", rows)
        quality[name] = cursor.column("u1", rows)
    return ReadingBatch(
        kind=kind, device=device, site=site, time=time, values=values, quality=quality, flags=flags, arrived=arrived
    )


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


class _Cursor:
    """Reads a payload from front to back; running past its end is a struct.error."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self.offset = 0

    def unpack(self, layout: struct.Struct) -> tuple[Any, ...]:
        values = layout.unpack_from(self._payload, self.offset)
        self.offset += layout.size
        return values

    def take(self, size: int) -> bytes:
        end = self.offset + size
        if end > len(self._payload):
            raise struct.error(f"{size} bytes wanted, {len(self._payload) - self.offset} left")
        taken = self._payload[self.offset : end]
        self.offset = end
        return taken

    def name(self) -> str:
        (size,) = self.take(1)
        return self.take(size).decode()

    def column(self, dtype: str, rows: int) -> npt.NDArray[Any]:
        (form,) = self.take(1)
        item = np.dtype(dtype)
        if form == _SHARED:
            return np.full(rows, np.frombuffer(self.take(item.itemsize), dtype=item)[0])
        if form != _ALL:
            raise struct.error(f"column form {form} is not known")
        return np.frombuffer(self.take(item.itemsize * rows), dtype=item)
