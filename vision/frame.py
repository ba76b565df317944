"""One picture of a camera, and the JPEGs that are made of it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from core.errors import SmartsiteError

Image = npt.NDArray[np.uint8]

_EVIDENCE_QUALITY = 90
LIVE_QUALITY = 75
_CROP_MARGIN = 1.0  # box heights around the head, so that the person can be seen
_CROP_LEAST = 96  # pixels a side


class EncodingFailed(SmartsiteError):
    """A picture could not be made into a JPEG."""

    code = "encoding_failed"


@dataclass(frozen=True, slots=True)
class Frame:
    """I420 planes of a picture (height * 3 / 2 rows of `width` bytes) and the wall time of its arrival, microseconds
    since the epoch."""

    time: int
    width: int
    height: int
    planes: bytes

    def bgr(self) -> Image:
        """The picture in OpenCV's order [height, width, 3]."""
        rows = np.frombuffer(self.planes, np.uint8).reshape(self.height * 3 // 2, self.width)
        return np.asarray(cv2.cvtColor(rows, cv2.COLOR_YUV2BGR_I420), np.uint8)


def jpeg(image: Image, quality: int = _EVIDENCE_QUALITY) -> bytes:
    """The picture as JPEG."""
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise EncodingFailed(f"OpenCV refused to encode a picture of {image.shape}")
    return data.tobytes()


def crop(image: Image, box: tuple[float, float, float, float]) -> Image:
    """The part of the picture around a head: `box` is x1, y1, x2, y2 in pixels."""
    x1, y1, x2, y2 = box
    side = max(_CROP_LEAST, (1 + 2 * _CROP_MARGIN) * max(x2 - x1, y2 - y1)) / 2
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    height, width = image.shape[:2]
    left, right = max(0, round(x - side)), min(width, round(x + side))
    top, bottom = max(0, round(y - side)), min(height, round(y + side))
    return image[top:bottom, left:right]
