"""The spool: a bounded, append-only file of records that are safe on disk while the database is away.

A position is an offset in the endless stream of all records ever appended. Segments are files named by the position
of their first byte; a record is `u32 length | u32 CRC-32 | body`, little-endian. `position.json` tells up to where the
database has everything. It is renamed into place and not fsynced: an old one after a power cut means that records are
stored again, which changes nothing (device and time are their key).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

logger = logging.getLogger(__name__)

SEGMENT_BYTES = 16 << 20
_HEAD = struct.Struct("<II")
_SUFFIX = ".segment"


class Spool:
    """Records of one worker in `folder`, at most about `limit_bytes` of them.

    One thread appends while another reads; `head` and `tail` are the positions of the first record that the database
    lacks and of the end.
    """

    def __init__(self, folder: Path, *, limit_bytes: int) -> None:
        self._folder = folder
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        self._starts: list[int] = []
        self._batch, self._next = 0, 0
        self.head = self.tail = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._open()

    @property
    def pending(self) -> int:
        """Bytes that the database lacks."""
        return self.tail - self.head

    @property
    def full(self) -> bool:
        """Whether nothing should be appended at the moment."""
        return self.pending >= self._limit

    def append(self, records: Sequence[bytes]) -> int:
        """Write records, wait until they are on disk, return the position of their end.

        Raises OSError where the disk does not take them; then nothing is appended.
        """
        data = b"".join([_HEAD.pack(len(body), zlib.crc32(body)) + body for body in records])
        with self._lock:
            if self._file is None or self.tail - self._starts[-1] >= SEGMENT_BYTES:
                self._begin_segment()
            assert self._file is not None
            size = self.tail - self._starts[-1]
            try:
                self._file.write(data)
                self._file.flush()
                os.fsync(self._file.fileno())
            except OSError:
                # Half a record must not stand in front of the next ones.
                file, self._file = self._file, None
                with contextlib.suppress(OSError):
                    file.close()
                os.truncate(self._path(self._starts[-1]), size)
                raise
            self.tail += len(data)
            return self.tail

    def read(self, limit: int, limit_bytes: int) -> tuple[list[bytes], int]:
        """The oldest records, at most `limit` and, beyond the first, `limit_bytes`; and the position of their end.

        An empty one stands for the rest of a segment that cannot be read.
        """
        records: list[bytes] = []
        size, end = 0, self.head
        for body, after in self._records(self.head):
            if not body:
                logger.error("a segment of the spool is damaged", extra={"at": end, "lost_bytes": after - end})
            size += len(body)
            if records and (len(records) >= limit or size > limit_bytes):
                break
            records.append(body)
            end = after
        return records, end

    def mark(self, batch: int, end: int) -> None:
        """Remember that the database has everything up to `end` if it has this batch: asked after a crash."""
        self._batch, self._next = batch, end
        self._save()

    def settle(self, last_batch: int) -> None:
        """Tell the number of the last batch that the database has."""
        if last_batch == self._batch and self._next > self.head:
            self.release(self._next)

    def release(self, end: int) -> None:
        """The database has everything up to this position."""
        with self._lock:
            self.head = end
            while self._starts and self._end(0) <= end:
                if len(self._starts) == 1:
                    if self._file is not None:
                        self._file.close()
                    self._file = None
                self._path(self._starts.pop(0)).unlink()
        self._save()

    def close(self) -> None:
        """Close the file that is appended to."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    # -- files --------------------------------------------------------------------------------------------------------

    def _path(self, start: int) -> Path:
        return self._folder / f"{start:020d}{_SUFFIX}"

    def _end(self, place: int) -> int:
        return self._starts[place + 1] if place + 1 < len(self._starts) else self.tail

    def _open(self) -> None:
        """Find what an earlier process left, without the torn end of its last write."""
        self._starts = sorted(int(path.name.removesuffix(_SUFFIX)) for path in self._folder.glob(f"*{_SUFFIX}"))
        position = self._folder / "position.json"
        if position.exists():
            kept = json.loads(position.read_text())
            self.head, self._batch, self._next = kept["head"], kept["batch"], kept["next"]
        self.tail = self.head
        if not self._starts:
            return
        last = self._starts[-1]
        size = self._path(last).stat().st_size
        self.tail = last + size
        self.head = max(self.head, self._starts[0])
        whole = last
        for body, after in self._records(last):
            if not body:
                break
            whole = after
        if whole < self.tail:
            logger.warning("the spool ends in a torn record, which nobody was promised", extra={"bytes": size})
            os.truncate(self._path(last), whole - last)
            self.tail = whole
        self.head = min(self.head, self.tail)
        if self.pending:
            logger.info("the spool holds messages of an earlier run", extra={"bytes": self.pending})

    def _records(self, start: int) -> Iterator[tuple[bytes, int]]:
        """Records from a position on, each with the position of its end."""
        with self._lock:
            segments = [(begin, self._end(place)) for place, begin in enumerate(self._starts)]
        for begin, end in segments:
            if end <= start:
                continue
            at = max(start, begin)
            with self._path(begin).open("rb") as file:
                file.seek(at - begin)
                while at < end:
                    head = file.read(_HEAD.size)
                    length, check = _HEAD.unpack(head) if len(head) == _HEAD.size else (0, -1)
                    body = file.read(length) if at + len(head) + length <= end else b""
                    if len(body) != length or zlib.crc32(body) != check:
                        yield b"", end
                        break
                    at += _HEAD.size + length
                    yield body, at

    def _begin_segment(self) -> None:
        if self._file is not None:
            self._file.close()
        if not self._starts or self._starts[-1] != self.tail:
            self._starts.append(self.tail)
        self._file = self._path(self.tail).open("ab")
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _save(self) -> None:
        fresh = self._folder / "position.new"
        fresh.write_text(json.dumps({"head": self.head, "batch": self._batch, "next": self._next}))
        fresh.replace(self._folder / "position.json")
