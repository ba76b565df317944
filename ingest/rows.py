"""Readings of one kind as columns, and their two wire forms: PostgreSQL's binary COPY and batches of the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from core.log import Kind, NewEntry, shard_of
from sensors.batch import NORMAL, ReadingBatch, encode
from sensors.profiles import Channel, Profile

POSTGRES_EPOCH = 946_684_800_000_000
"""2000-01-01 UTC, where timestamptz counts from, in microseconds since 1970."""

_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_TRAILER = b"\xff\xff"
_WIRE = {"real": ">f4", "double": ">f8", "bigint": ">i8", "enum": ">i2"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """`n` readings of `profile`'s kind with its `c` channels.

    Attributes:
        device, site: int32[n], ids of the registry.
        time: int64[n], event time in microseconds since the epoch, UTC.
        flags: uint8[n], bits of sensors.batch.
        values: float64[n, c], NaN = no value.
        quality: uint8[n, c], `ord` of an HJ 212 letter, 0 = the message had no such channel.
        message: int32[n], place of the message in its batch.
        arrived: int64[n], microseconds.
    """

    profile: Profile
    device: npt.NDArray[np.int32]
    site: npt.NDArray[np.int32]
    time: npt.NDArray[np.int64]
    flags: npt.NDArray[np.uint8]
    values: npt.NDArray[np.float64]
    quality: npt.NDArray[np.uint8]
    message: npt.NDArray[np.int32]
    arrived: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.device)

    def pick(self, which: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Rows:
        """The rows of a mask or of places, in that order."""
        return Rows(
            profile=self.profile,
            device=self.device[which],
            site=self.site[which],
            time=self.time[which],
            flags=self.flags[which],
            values=self.values[which],
            quality=self.quality[which],
            message=self.message[which],
            arrived=self.arrived[which],
        )

    def with_cells(
        self, values: npt.NDArray[np.float64], quality: npt.NDArray[np.uint8], flags: npt.NDArray[np.uint8]
    ) -> Rows:
        """The same keys with other values, quality and flags."""
        return replace(self, values=values, quality=quality, flags=flags)


def as_stored(profile: Profile, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The values as they come back from the table: `real` columns hold float32."""
    real = np.array([channel.type == "real" for channel in profile.channels])
    stored = values.copy()
    stored[:, real] = values[:, real].astype(np.float32)
    return stored


def copy_columns(profile: Profile) -> list[str]:
    """Columns in the order in which `copy_bytes` writes them."""
    names = [channel.name for channel in profile.channels]
    return ["device_id", "time", "flags", *names, *(f"{name}_q" for name in names)]


def copy_bytes(rows: Rows) -> bytes:
    """The rows as one binary COPY stream.

    All rows are laid out with every field present, then the bytes of NULL fields are cut out: a few numpy calls a
    batch instead of a Python call a field.
    """
    channels = rows.profile.channels
    layout: list[tuple[str, str]] = [("fields", ">i2")]
    for name, wire in (("device", ">i4"), ("time", ">i8"), ("flags", ">i2")):
        layout += [(f"{name} length", ">i4"), (name, wire)]
    for place, channel in enumerate(channels):
        layout += [(f"{place} length", ">i4"), (f"{place}", _WIRE[channel.type])]
    for place in range(len(channels)):
        layout += [(f"{place}q length", ">i4"), (f"{place}q", "u1")]
    packed = np.zeros(len(rows), dtype=layout)
    assert packed.dtype.fields is not None
    keep = np.ones((len(rows), packed.dtype.itemsize), dtype=bool)

    def put(name: str, column: npt.NDArray[np.generic], null: npt.NDArray[np.bool_] | None = None) -> None:
        assert packed.dtype.fields is not None
        kind, offset = packed.dtype.fields[name][:2]
        packed[name] = column
        if null is None:
            packed[f"{name} length"] = kind.itemsize
        else:
            packed[f"{name} length"] = np.where(null, -1, kind.itemsize)
            keep[:, offset : offset + kind.itemsize] = ~null[:, np.newaxis]

    packed["fields"] = 3 + 2 * len(channels)
    put("device", rows.device)
    put("time", rows.time - POSTGRES_EPOCH)
    put("flags", rows.flags)
    for place in range(len(channels)):
        absent = np.isnan(rows.values[:, place])
        put(f"{place}", np.where(absent, 0.0, rows.values[:, place]), absent)
        quality = rows.quality[:, place]
        put(f"{place}q", quality, (quality == 0) | ((quality == NORMAL) & ~absent))
    matrix = packed.view(np.uint8).reshape(len(rows), -1)
    return _COPY_HEADER + matrix[keep].tobytes() + _COPY_TRAILER


def column_of(channel: Channel, values: npt.NDArray[np.float64]) -> list[float | int | None]:
    """One channel's values as parameters of a statement: None for NaN, int where the column is whole."""
    if channel.type in ("bigint", "enum"):
        return [None if value != value else int(value) for value in values.tolist()]
    return [None if value != value else value for value in values.tolist()]


def log_entries(parts: Sequence[Rows]) -> list[NewEntry]:
    """Entries of the log for new rows: one a shard, holding a batch a kind."""
    by_shard: dict[int, list[ReadingBatch]] = {}
    for rows in parts:
        shards = shard_of(rows.site)  # type: ignore[arg-type]  # the same arithmetic on a column
        for shard in np.unique(shards).tolist():
            chosen = rows.pick(shards == shard)
            by_shard.setdefault(shard, []).append(_batch(chosen))
    return [NewEntry(shard, Kind.READINGS, encode(batches)) for shard, batches in sorted(by_shard.items())]


def _batch(rows: Rows) -> ReadingBatch:
    names = [channel.name for channel in rows.profile.channels]
    return ReadingBatch(
        kind=rows.profile.kind,
        device=rows.device,
        site=rows.site,
        time=rows.time,
        values={name: rows.values[:, place] for place, name in enumerate(names)},
        quality={name: rows.quality[:, place] for place, name in enumerate(names)},
        flags=rows.flags,
        arrived=int(rows.arrived.max()),
    )
