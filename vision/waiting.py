"""Pieces of video that wait for a slow reader."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

MOST_BYTES = 4_000_000
"""Eight seconds at 4 Mbit/s: who is further behind than that sees a jump."""


class Waiting(Generic[T]):
    """What waits for a reader. Never more than `most_bytes`: a slow reader loses fragments up to the next key frame."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._items: deque[tuple[str, int, T]] = deque()
        self._skips = False
        self.bytes = 0
        self.lost = 0

    def __bool__(self) -> bool:
        return bool(self._items)

    def put(self, item: T, *, kind: str, key: bool, size: int) -> None:
        """Queue it, or leave it out; a `picture` takes the place of those that still wait."""
        if kind == "init":
            self._leave_out(lambda _: False)  # what belongs to the MP4 before is of no use any more
            self._skips = False
        elif kind == "picture":
            self._leave_out(lambda waiting: waiting != "picture")
        elif kind == "fragment" and key:
            self._skips = False
        elif kind == "fragment" and self._skips:
            self.lost += 1
            return
        if self.bytes + size > self._most_bytes:
            self._leave_out(lambda waiting: waiting == "init")
            self._skips = not key
            if self._skips or self.bytes + size > self._most_bytes:
                self._skips = True
                self.lost += 1
                return
        self._items.append((kind, size, item))
        self.bytes += size

    def take(self) -> list[T]:
        """Everything that waits."""
        items = [item for _, _, item in self._items]
        self._items.clear()
        self.bytes = 0
        return items

    def _leave_out(self, stays: Callable[[str], bool]) -> None:
        kept = [one for one in self._items if stays(one[0])]
        self.lost += len(self._items) - len(kept)
        self._items = deque(kept)
        self.bytes = sum(size for _, size, _ in kept)
