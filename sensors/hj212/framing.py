"""Cuts frames out of a stream of bytes.

A frame is `##`, 4 digits, data, CRC, CR LF. The digits give the length of the *plain* data, vendors get them wrong,
and an encrypted section is longer than they say: so it is CR LF that ends a frame, and a new header that ends one
whose tail never came. What stands between frames comes out as a piece of its own, to be set aside.
"""

from __future__ import annotations

import re
from typing import NamedTuple

HEADER = re.compile(rb"##[0-9]{4}")
TAIL = b"\r\n"
KEPT_BYTES = 4096
"""Bytes that are kept of a piece that is too long."""


class Piece(NamedTuple):
    """Bytes between two cuts, without CR LF. `framed`: they begin with a header; `overlong`: their end never came."""

    raw: bytes
    framed: bool
    overlong: bool = False


class Splitter:
    """Takes bytes as they come; holds at most `limit` bytes of a frame that is not complete."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._searched = 0
        self._skipping = False

    @property
    def pending(self) -> int:
        """Bytes that wait for the rest of their frame."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Piece]:
        """The pieces that are complete now, in order."""
        buffer = self._buffer
        buffer += data
        pieces: list[Piece] = []
        start = 0
        while (end := buffer.find(TAIL, max(start, self._searched))) >= 0:
            self._cut(bytes(buffer[start:end]), pieces)
            start = self._searched = end + len(TAIL)
        del buffer[:start]
        if len(buffer) > self._limit:
            self._overflow(pieces)
        # A CR at the end may be half of the tail.
        self._searched = max(0, len(buffer) - 1)
        return pieces

    def _cut(self, line: bytes, pieces: list[Piece]) -> None:
        """Take the frames of one line: one as a rule, more where tails are missing."""
        starts = [match.start() for match in HEADER.finditer(line)]
        if self._skipping:
            # The rest of what was too long, up to the next header.
            line, starts = (line[starts[0] :], [at - starts[0] for at in starts]) if starts else (b"", [])
            self._skipping = False
        if not starts:
            if line.strip(b"\0\t\r\n "):
                pieces.append(_piece(line, framed=False, limit=self._limit))
            return
        if line[: starts[0]].strip(b"\0\t\r\n "):
            pieces.append(_piece(line[: starts[0]], framed=False, limit=self._limit))
        for begin, end in zip(starts, [*starts[1:], len(line)], strict=True):
            pieces.append(_piece(line[begin:end], framed=True, limit=self._limit))

    def _overflow(self, pieces: list[Piece]) -> None:
        """Give up what has no end; a header near the end of it may be a good frame's beginning."""
        buffer = self._buffer
        last = max((match.start() for match in HEADER.finditer(buffer)), default=0)
        keep = last if last > 0 and len(buffer) - last <= self._limit else len(buffer)
        if not self._skipping:
            pieces.append(Piece(bytes(buffer[: min(keep, KEPT_BYTES)]), framed=False, overlong=True))
        del buffer[:keep]
        self._skipping = not buffer


def _piece(raw: bytes, *, framed: bool, limit: int) -> Piece:
    """A piece; one that came whole in a single read may still be too long."""
    return Piece(raw[:KEPT_BYTES], framed=False, overlong=True) if len(raw) > limit else Piece(raw, framed)
