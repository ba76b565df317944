"""What the water of a site's sprayers does to its dust."""

from __future__ import annotations

import math

# Fog binds most of what it reaches within some seconds, and the wet ground goes on binding for a while.
_BINDS_S, _DRIES_S = 12.0, 25.0
_MOST = 0.7


class Spray:
    """How much of a site's dust is bound: moves towards its most while any sprayer of the site runs, and back after."""

    def __init__(self) -> None:
        self._running: set[object] = set()
        self._level = 0.0
        self._at: float | None = None

    def turn(self, sprayer: object, *, on: bool, seconds: float) -> None:
        """A sprayer of the site starts or stops at a time in seconds on any scale."""
        self.share(seconds)
        if on:
            self._running.add(sprayer)
        else:
            self._running.discard(sprayer)

    def share(self, seconds: float) -> float:
        """The share of the dust that is bound, 0..1; an earlier time than the last one asked for counts as that one."""
        if self._at is not None and seconds > self._at:
            aim, tau = (1.0, _BINDS_S) if self._running else (0.0, _DRIES_S)
            self._level = aim + (self._level - aim) * math.exp(-(seconds - self._at) / tau)
        self._at = seconds if self._at is None else max(self._at, seconds)
        return _MOST * self._level
