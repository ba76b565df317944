"""Saying the same thing at most once in a while."""

from __future__ import annotations

from collections.abc import Hashable

from core.clock import Clock

_REMEMBERED = 10_000


class Quiet:
    """Allows each key once in `every_s` seconds; remembers a bounded number of keys."""

    def __init__(self, clock: Clock, *, every_s: float) -> None:
        self._clock = clock
        self._every_s = every_s
        self._last: dict[Hashable, float] = {}
        self._tidied = -every_s

    def may(self, key: Hashable) -> bool:
        """True when the key has not been allowed within the span."""
        now = self._clock.monotonic()
        last = self._last.get(key)
        if last is not None and now - last < self._every_s:
            return False
        if len(self._last) >= _REMEMBERED:
            if now - self._tidied < 1:
                return False  # looking through all of them for each of a flood would be a gift to it
            self._tidied = now
            self._last = {known: at for known, at in self._last.items() if now - at < self._every_s}
            if len(self._last) >= _REMEMBERED:
                return False  # a crowd of new keys is itself the flood
        self._last[key] = now
        return True
