"""Pictures for ordinary readers: every head is made unrecognizable, while its colours still tell a hat from hair."""

from __future__ import annotations

import cv2
import numpy as np

from vision.detections import Boxes
from vision.frame import Image

_MARGIN = 0.2  # of a head's width and height, on each side: boxes are never exact
_BLOCKS = 6  # a head becomes so many blocks a side
_LIVE_MARGIN = 0.5  # where a picture may be later than the look whose heads are blurred
_REMEMBERED_S = 2.0


class RecentHeads:
    """Heads of a camera's last looks: one that a look misses, or that has moved on since, is blurred all the same.

    A picture that was not looked at is like the one before, so only a new look makes an old one forgotten.
    """

    def __init__(self) -> None:
        self._looks: list[tuple[int, Boxes]] = []

    def saw(self, time: int, heads: Boxes) -> None:
        """Heads [n, 4] of a look at `time` (microseconds since the epoch), in the stream's pixels."""
        since = time - round(_REMEMBERED_S * 1e6)
        self._looks = [look for look in self._looks if look[0] >= since] + [(time, heads)]

    def boxes(self) -> Boxes:
        """All of them [n, 4]; those of one head overlap."""
        return np.concatenate([np.zeros((0, 4), np.float32), *(heads for _, heads in self._looks)])


def blurred_live(image: Image, heads: Boxes, size: tuple[int, int]) -> Image:
    """As `blurred`, with the margin for heads that move; they are in pixels of a picture of `size` (width, height)."""
    scale = np.array([image.shape[1] / size[0], image.shape[0] / size[1]] * 2, np.float32)
    return blurred(image, heads * scale, margin=_LIVE_MARGIN)


def blurred(image: Image, heads: Boxes, *, margin: float = _MARGIN) -> Image:
    """A copy of the picture in which each head [n, 4] (x1, y1, x2, y2 in pixels) is replaced by coarse blocks, and
    `margin` of its size on each side.

    What the detector has not found stays as it is.
    """
    shown = image.copy()
    height, width = image.shape[:2]
    for x1, y1, x2, y2 in heads.tolist():
        wide, high = margin * (x2 - x1), margin * (y2 - y1)
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
