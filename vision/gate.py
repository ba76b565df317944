"""The motion gate: is a picture different enough from the last one looked at to be worth a look?"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_STEP = 2  # one pixel in two each way: a head that counts still covers several
_DIFFERENCE = 25  # grey levels; above sensor noise and compression, below a person before a wall


class MotionGate:
    """Compares the brightness of pictures; holds the last one that passed."""

    def __init__(self, *, share: float, look_s: float) -> None:
        """`share` of the pixels must have changed; after `look_s` seconds any picture passes. `share` 0 passes all."""
        self._share = share
        self._look_s = look_s
        self._passed: npt.NDArray[np.int16] | None = None
        self._passed_at = 0.0

    def passes(self, luma: npt.NDArray[np.uint8], at: float) -> bool:
        """Judge the Y plane [height, width] at the size for a look of a picture taken at `at` (monotonic seconds)."""
        small = luma[::_STEP, ::_STEP].astype(np.int16)
        # A cloud before the sun moves every pixel alike; the mean takes that out.
        small -= np.int16(small.mean())
        if self._share > 0 and self._is_same(small, at):
            return False
        self._passed, self._passed_at = small, at
        return True

    def _is_same(self, small: npt.NDArray[np.int16], at: float) -> bool:
        if self._passed is None or self._passed.shape != small.shape or at - self._passed_at >= self._look_s:
            return False
        changed = np.count_nonzero(np.abs(small - self._passed) > _DIFFERENCE)
        return bool(changed <= self._share * small.size)
