"""Readings and roll-ups as Parquet: typed columns, one row group after the other as the database sends them.

`time` is a timestamp in microseconds, UTC; `real` is float32, `double` and means float64, `bigint` and counts int64.
Codes, names, quality letters and the symbols of enumerations are dictionary-encoded strings; a quality of null is N.
Unit and labels of a channel are metadata of its field; kind, resolution and span those of the file.
"""

from __future__ import annotations

import io
from collections.abc import Generator, Sequence
from types import ModuleType
from typing import Any

import psycopg

from core.errors import ConfigurationError
from sensors.export import Selection
from sensors.profiles import Channel, Profile

ROWS = 50_000
"""Rows of one row group, and as many as are in memory at a time."""
_FETCH = 5_000


def pieces(connection: psycopg.Connection, selection: Selection) -> Generator[bytes, None, None]:
    """The file in pieces, at least one a row group.

    Raises:
        ConfigurationError: pyarrow is not installed.
    """
    module = _pyarrow()
    return _pieces(module, connection, selection)


def _pyarrow() -> ModuleType:
    try:
        import pyarrow.parquet as module
    except ImportError as error:
        raise ConfigurationError(
            "Parquet needs the package pyarrow", hint="pip install 'smartsite[parquet]', or export as CSV"
        ) from error
    found: ModuleType = module
    return found


def _pieces(parquet: ModuleType, connection: psycopg.Connection, selection: Selection) -> Generator[bytes, None, None]:
    import pyarrow as pa

    sink = _Sink()
    with connection.transaction(), connection.cursor(name="export", binary=True) as cursor:
        cursor.execute(selection.statement())
        assert cursor.description is not None
        schema = _schema(pa, selection, [column.name for column in cursor.description])
        symbols = [_symbols(selection.profile, field.name) for field in schema]
        with parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
            while rows := _fetch(cursor):
                columns = [
                    _column(pa, values, field.type, names)
                    for values, field, names in zip(zip(*rows, strict=True), schema, symbols, strict=True)
                ]
                del rows
                writer.write_batch(pa.record_batch(columns, schema=schema), row_group_size=ROWS)
                yield sink.take()
    yield sink.take()


def _fetch(cursor: psycopg.ServerCursor[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The rows of one row group, fetched in portions: the server's answer to one FETCH is held in memory as a whole."""
    rows: list[tuple[Any, ...]] = []
    while len(rows) < ROWS and (found := cursor.fetchmany(_FETCH)):
        rows += found
    return rows


def _schema(pa: Any, selection: Selection, names: Sequence[str]) -> Any:
    profile = selection.profile
    meta = {
        "kind": profile.kind,
        "resolution": selection.resolution,
        "start": selection.start.isoformat(),
        "end": selection.end.isoformat(),
        "quality": "letters of HJ 212; null: N, normal",
    }
    return pa.schema([_field(pa, profile, name, selection.resolution) for name in names], metadata=meta)


def _field(pa: Any, profile: Profile, name: str, resolution: str) -> Any:
    words = pa.dictionary(pa.int32(), pa.string())
    fixed = {"time": pa.timestamp("us", tz="UTC"), "flags": pa.int16(), "messages": pa.int64()}
    if name in fixed:
        return pa.field(name, fixed[name], nullable=False)
    found = _channel_of(profile, name)
    if found is None:
        return pa.field(name, words, nullable=False)  # codes and names
    channel, ending = found
    meta = {"channel": channel.name, "label": channel.label, "label_en": channel.label_en}
    if ending == "q":
        return pa.field(name, words, metadata=meta)
    if ending == "valid":
        return pa.field(name, pa.float64(), metadata=meta | {"unit": "share of the expected readings, 0 to 1"})
    own = {"real": pa.float32(), "double": pa.float64(), "bigint": pa.int64(), "enum": words}
    is_mean = not ending and resolution != "raw" and channel.type != "enum"
    return pa.field(name, pa.float64() if is_mean else own[channel.type], metadata=meta | {"unit": channel.unit})


def _channel_of(profile: Profile, name: str) -> tuple[Channel, str] | None:
    """The channel that a column belongs to, and what it is of it: '' its value, else q, min, max or valid."""
    if (channel := profile.channel(name)) is not None:
        return channel, ""
    stem, _, ending = name.rpartition("_")
    if ending in ("q", "min", "max", "valid") and (channel := profile.channel(stem)) is not None:
        return channel, ending
    return None


def _symbols(profile: Profile, name: str) -> list[str] | None:
    """What the numbers of an enumeration's column mean, None for other columns."""
    channel = profile.channel(name)
    return [symbol.name for symbol in channel.symbols] if channel is not None and channel.type == "enum" else None


def _column(pa: Any, values: Sequence[Any], type_: Any, symbols: list[str] | None) -> Any:
    if symbols is not None:
        # A number that no symbol of the profile stands for any more is kept as it is.
        values = [
            None if value is None else symbols[int(value)] if 0 <= value < len(symbols) else str(int(value))
            for value in values
        ]
    return pa.array(values, type=type_)


class _Sink(io.RawIOBase):
    """What the writer writes to: kept until it is taken. It only ever goes forward."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:
        self._parts.append(bytes(piece))
        self._written += len(self._parts[-1])
        return len(self._parts[-1])

    def tell(self) -> int:
        return self._written

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken
