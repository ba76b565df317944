"""Pictures for ordinary readers: every head is made unrecognizable, while its colours still tell a hat from hair."""

from __future__ import annotations

import cv2
import numpy as np

from vision.detections import Boxes
from vision.frame import Image

_MARGIN = 0.2  # of a head's width and height, on each side: boxes are never exact
_BLOCKS = 6  # a head becomes so many blocks a side


def blurred(image: Image, heads: Boxes) -> Image:
    """A copy of the picture in which each head [n, 4] (x1, y1, x2, y2 in pixels) is replaced by coarse blocks.

    What the detector has not found stays as it is.
    """
    shown = image.copy()
    height, width = image.shape[:2]
    for x1, y1, x2, y2 in heads.tolist():
        wide, high = _MARGIN * (x2 - x1), _MARGIN * (y2 - y1)
        left, right = max(0, int(x1 - wide)), min(width, int(np.ceil(x2 + wide)))
        top, bottom = max(0, int(y1 - high)), min(height, int(np.ceil(y2 + high)))
        if right <= left or bottom <= top:
            continue
        part = shown[top:bottom, left:right]
        blocks = (min(_BLOCKS, right - left), min(_BLOCKS, bottom - top))
        # Means of whole blocks of the original: nothing of what was in a block is left.
        coarse = cv2.resize(image[top:bottom, left:right], blocks, interpolation=cv2.INTER_AREA)
        part[:] = cv2.resize(coarse, (right - left, bottom - top), interpolation=cv2.INTER_NEAREST)
    return shown
