"""The second look for far heads: the picture once whole and once more in tiles that overlap.

A tile is as large as the detector's input, so a head keeps the pixels that the whole picture loses by being fitted in.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt

from vision.detections import Detections
from vision.detectors import Detector
from vision.frame import Image

_OVERLAP = 0.2  # of a tile's side
_EDGE = 2.0  # pixels from a tile's inner edge within which a box is a part of something
_SAME = 0.45  # boxes of two looks at one head overlap less well than those of one look


def span(side: int, tiles: int) -> int:
    """Pixels that `tiles` tiles of `side` pixels reach over."""
    return round(side * (tiles - (tiles - 1) * _OVERLAP))


def look_closely(detector: Detector, image: Image, tiles: int) -> Detections:
    """Boxes on a BGR picture [height, width, 3], in its pixels, from one look at the whole and, where `tiles` is more
    than 1, `tiles` x `tiles` looks at parts.

    Tiles vouch only for heads that are lower than their overlap: such a head lies whole on one of them, and a larger
    one shows on the whole picture.
    """
    looks = [detector.detect(image)]
    if tiles > 1:
        height, width = image.shape[:2]
        for (top, bottom), (left, right) in product(_cuts(height, tiles), _cuts(width, tiles)):
            found = detector.detect(np.ascontiguousarray(image[top:bottom, left:right]))
            whole = _is_whole(found, (left, top, right, bottom), (width, height))
            shift = np.array([left, top, left, top], np.float32)
            looks.append(Detections(found.xyxy + shift, found.score, found.class_id)[whole])
    if len(looks) == 1:
        return looks[0]
    together = Detections(
        np.concatenate([look.xyxy for look in looks]),
        np.concatenate([look.score for look in looks]),
        np.concatenate([look.class_id for look in looks]),
    )
    return together.without_overlaps(_SAME)


def _cuts(length: int, tiles: int) -> list[tuple[int, int]]:
    """First pixel and the one behind the last of each tile along a side."""
    side = min(length, int(np.ceil(length / (tiles - (tiles - 1) * _OVERLAP))))
    starts = np.linspace(0, length - side, tiles).round().astype(int)
    return [(int(start), int(start) + side) for start in starts]


def _is_whole(found: Detections, tile: tuple[int, int, int, int], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Which boxes of a tile (left, top, right, bottom in a picture of `size`) may stand [n]."""
    left, top, right, bottom = tile
    x1, y1, x2, y2 = found.xyxy.T
    cut = (
        ((x1 < _EDGE) & (left > 0))
        | ((y1 < _EDGE) & (top > 0))
        | ((x2 > right - left - _EDGE) & (right < size[0]))
        | ((y2 > bottom - top - _EDGE) & (bottom < size[1]))
    )
    lowest = _OVERLAP * min(right - left, bottom - top)
    return np.asarray(~cut & (found.height < lowest))
