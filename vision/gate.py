"""The motion gate: is a picture different enough from the last one looked at to be worth a look?

What changes everywhere alike is weather or the sensor: what counts is how much a part of the picture stands out.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_STEP = 2  # one pixel in two each way: a head that counts still covers several
_DIFFERENCE = 25  # grey levels; above sensor noise and compression, below a person before a wall
_LEAST_DIFFERENCE = 10  # where there is haze or dusk, and so less between a person and a wall
_OF_CONTRAST = 0.25
_OF_NOISE = 6.0
_TILES = (6, 8)
_STANDS_OUT = 4.0  # spreads of the tiles' counts

Difference = npt.NDArray[np.int16]


class MotionGate:
    """Compares the brightness of pictures; holds the last one that passed."""

    def __init__(self, *, share: float, look_s: float) -> None:
        """`share` of the pixels must have changed; after `look_s` seconds any picture passes. `share` 0 passes all."""
        self._share = share
        self._look_s = look_s
        self._passed: Difference | None = None
        self._passed_at = 0.0
        self.noise = 0.0
        """Grey levels by which still pixels differ from picture to picture (standard deviation), as of the last."""

    def passes(self, luma: npt.NDArray[np.uint8], at: float, *, contrast: float = 255.0) -> bool:
        """Judge the Y plane [height, width] at the size for a look of a picture taken at `at` (monotonic seconds).

        `contrast`: grey levels between the dark and the light parts of the picture.
        """
        small = luma[::_STEP, ::_STEP].astype(np.int16)
        # A cloud before the sun moves every pixel alike; the mean takes that out.
        small -= np.int16(small.mean())
        if self._passed is not None and self._passed.shape == small.shape:
            difference = np.abs(small - self._passed)
            self.noise = _noise(difference[::4, ::4])
            if self._share > 0 and at - self._passed_at < self._look_s and not self._stands_out(difference, contrast):
                return False
        self._passed, self._passed_at = small, at
        return True

    def _stands_out(self, difference: Difference, contrast: float) -> bool:
        least = max(_LEAST_DIFFERENCE, _OF_NOISE * self.noise, min(_DIFFERENCE, _OF_CONTRAST * contrast))
        changed = difference > least
        if np.count_nonzero(changed) <= self._share * difference.size:
            return False
        counts = _tiles(changed)
        usual = float(np.median(counts))
        if usual:
            # Rain, snow, a sensor's noise: of tiles that differ by chance alone few stand out, and those by little.
            spread = 1.48 * float(np.median(np.abs(counts - usual))) + 1
            counts = np.maximum(counts - usual - _STANDS_OUT * spread, 0)
        return bool(counts.sum() > self._share * difference.size)


def _noise(difference: Difference) -> float:
    """Standard deviation of what most pixels, on which nothing moved, differ by; each of two pictures has its noise."""
    usual = float(np.median(difference))
    return float(np.minimum(difference, 3 * usual + 1).mean() * 1.253 / 1.414)


def _tiles(changed: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Number of changed pixels by tile; the last row and column of tiles are larger where it does not divide."""
    rows = np.add.reduceat(changed, _edges(changed.shape[0], _TILES[0]), axis=0, dtype=np.int32)
    tiles = np.add.reduceat(rows, _edges(changed.shape[1], _TILES[1]), axis=1)
    return np.asarray(tiles, np.float64)


def _edges(length: int, parts: int) -> npt.NDArray[np.intp]:
    return np.unique(np.arange(parts) * length // parts)
