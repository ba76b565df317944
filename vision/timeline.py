"""Times of packets made fit for an MP4: they begin at 0 and always go on, whatever the camera's clock does."""

from __future__ import annotations

from fractions import Fraction

_LONGEST_S = 10  # a longer step is a clock that was set, no pause of the picture


class Timeline:
    """Places packets one after another; a jump of the stream's clock becomes one ordinary step."""

    def __init__(self, base: Fraction) -> None:
        """`base` is the length of a tick of the stream's clock in seconds."""
        self._largest = round(_LONGEST_S / base)
        self._step = max(1, round(1 / (25 * base)))
        self._place = 0
        self._before: int | None = None

    def place(self, dts: int, pts: int) -> tuple[int, int]:
        """Decoding and showing time of the next packet, in ticks since the first one."""
        if self._before is not None:
            moved = dts - self._before
            self._step = moved if 0 < moved <= self._largest else self._step
            self._place += self._step
        self._before = dts
        return self._place, self._place + min(max(0, pts - dts), self._largest)
