"""Does the camera still see what it is there for? Frozen, black, covered and turned-away pictures.

All is told from the brightness of the small pictures that are looked at, whatever their pace.
"""

from __future__ import annotations

import zlib
from typing import Literal

import numpy as np
import numpy.typing as npt

Fault = Literal["", "frozen", "black", "covered", "moved"]

Luma = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_BLACK = 26  # mean brightness; black is 16 in video
_FLAT = 6.0  # spread of brightness over the picture ...
_SMOOTH = 0.8  # ... and mean step from one cell to the next, below which there is nothing to see
_CELLS = (36, 64)
_LEARN = 20  # looks that make a reference
_ALIKE = 0.12  # peak of the correlation from which on two views show the same scene
_MOVED_S = 30.0


class ViewWatch:
    """Watches the pictures of one camera. A fault is told when it has lasted, and is over with the first good look."""

    def __init__(self, *, frozen_s: float, blind_s: float, shift: float) -> None:
        """Seconds until a picture that stays the same to the last bit, and one on which nothing is to be seen, is
        told; `shift` is the share of the picture's width by which the view may move. 0 turns each off."""
        self._frozen_s = frozen_s
        self._blind_s = blind_s
        self._shift = shift
        self._sum: int | None = None
        self._same_since = 0.0
        self._blind: tuple[Fault, float] = ("", 0.0)
        self._reference: Floats | None = None
        self._learnt = 0
        self._moved_since: float | None = None
        self._quiet_until = 0.0

    def quiet(self, until: float) -> None:
        """Until then (monotonic seconds) the camera is moved on purpose. The view that it had stays the one that it is
        held against afterwards."""
        self._quiet_until = until

    def judge(self, luma: Luma, at: float) -> Fault:
        """What is wrong with the Y plane [height, width] of a look at `at` (monotonic seconds)."""
        if frozen := self._frozen(luma, at):
            return frozen
        if not self._blind_s and not self._shift:
            return ""
        cells = _cells(luma)
        return self._blinded(cells, at) or self._moved(cells, at)

    def _frozen(self, luma: Luma, at: float) -> Fault:
        if not self._frozen_s:
            return ""
        digest = zlib.crc32(luma.tobytes())
        if digest != self._sum:
            self._sum, self._same_since = digest, at
        return "frozen" if at - self._same_since >= self._frozen_s else ""

    def _blinded(self, cells: Floats, at: float) -> Fault:
        if not self._blind_s:
            return ""
        steps = (np.abs(np.diff(cells, axis=0)).mean() + np.abs(np.diff(cells, axis=1)).mean()) / 2
        now: Fault = ""
        if cells.std() < _FLAT and steps < _SMOOTH:
            now = "black" if cells.mean() < _BLACK else "covered"
        if now != self._blind[0]:
            self._blind = (now, at)
        return now if now and at - self._blind[1] >= self._blind_s else ""

    def _moved(self, cells: Floats, at: float) -> Fault:
        if not self._shift or self._blind[0]:
            return ""
        if at < self._quiet_until:
            self._moved_since = None
            return ""
        edges = _edges(cells)
        if self._reference is None or self._learnt < _LEARN:
            self._learn(edges, 1 / (self._learnt + 1))
            return ""
        alike, across, down = _offset(self._reference, edges)
        width, height = _CELLS[1], _CELLS[0]
        if alike >= _ALIKE and max(abs(across) / width, abs(down) / height) <= self._shift:
            self._moved_since = None
            self._learn(edges, 1 / 200)  # follows the sun and the building, not a turned camera
            return ""
        if self._moved_since is None:
            self._moved_since = at
        return "moved" if at - self._moved_since >= _MOVED_S else ""

    def _learn(self, edges: Floats, weight: float) -> None:
        self._learnt += 1
        self._reference = edges if self._reference is None else self._reference + weight * (edges - self._reference)


def _cells(luma: Luma) -> Floats:
    """Mean brightness of a grid of cells [36, 64]."""
    rows, columns = luma.shape[0] // _CELLS[0], luma.shape[1] // _CELLS[1]
    if not rows or not columns:  # a tiny picture is its own grid
        return luma.astype(np.float32)
    whole = luma[: rows * _CELLS[0], : columns * _CELLS[1]]
    cells = whole.reshape(_CELLS[0], rows, _CELLS[1], columns).mean(axis=(1, 3), dtype=np.float32)
    return np.asarray(cells, np.float32)


def _edges(cells: Floats) -> Floats:
    """Strength of edges, of unit spread: it stays where the light changes."""
    across, down = np.diff(cells, axis=1)[:-1], np.diff(cells, axis=0)[:, :-1]
    strength = np.log1p(np.hypot(across, down))
    return np.asarray((strength - strength.mean()) / (strength.std() + 1e-6), np.float32)


def _offset(first: Floats, second: Floats) -> tuple[float, int, int]:
    """How alike two views are (0..1) where they fit best, and how many cells the second lies right and below."""
    product = np.fft.rfft2(second) * np.conj(np.fft.rfft2(first))
    surface = np.fft.irfft2(product, s=first.shape) / first.size
    down, across = np.unravel_index(int(surface.argmax()), surface.shape)
    height, width = surface.shape
    return (
        float(surface.max()),
        int(across) - width * (across > width // 2),
        int(down) - height * (down > height // 2),
    )
