"""One picture of a camera, and the JPEGs that are made of it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from core.errors import SmartsiteError
from vision import wire
from vision.planes import Planes

Image = npt.NDArray[np.uint8]

_EVIDENCE_QUALITY = 90
LIVE_QUALITY = 75
_CROP_MARGIN = 1.0  # box heights around the head, so that the person can be seen
_CROP_LEAST = 96  # pixels a side


class EncodingFailed(SmartsiteError):
    """A picture could not be made into a JPEG."""

    code = "encoding_failed"


def bgr(planes: Planes) -> Image:
    """The picture in OpenCV's order [height, width, 3]."""
    rows = np.frombuffer(planes.data, np.uint8).reshape(planes.height * 3 // 2, planes.width)
    return np.asarray(cv2.cvtColor(rows, cv2.COLOR_YUV2BGR_I420), np.uint8)


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture that came with its planes: its wall time of arrival (microseconds since the epoch), the stream's size,
    the planes for a look, and those in full size where they were asked for."""

    time: int
    width: int
    height: int
    look: Planes
    full: Planes | None

    @classmethod
    def from_wire(cls, picture: wire.Picture, payload: bytes) -> Frame:
        """From a message of the capture process with a payload."""
        size = picture.look_width * picture.look_height * 3 // 2
        look = Planes(picture.look_width, picture.look_height, payload[:size])
        full = Planes(picture.width, picture.height, payload[size:]) if picture.full else None
        return cls(picture.time, picture.width, picture.height, look, full)

    def best(self) -> Planes:
        """The larger ones of what there is."""
        return self.full or self.look


def jpeg(image: Image, quality: int = _EVIDENCE_QUALITY) -> bytes:
    """The picture as JPEG."""
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise EncodingFailed(f"OpenCV refused to encode a picture of {image.shape}")
    return data.tobytes()


def enlarged(image: Image, height: int, width: int) -> Image:
    """The picture at another size."""
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def crop(image: Image, box: tuple[float, float, float, float]) -> Image:
    """The part of the picture around a head: `box` is x1, y1, x2, y2 in pixels."""
    x1, y1, x2, y2 = box
    side = max(_CROP_LEAST, (1 + 2 * _CROP_MARGIN) * max(x2 - x1, y2 - y1)) / 2
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    height, width = image.shape[:2]
    left, right = max(0, round(x - side)), min(width, round(x + side))
    top, bottom = max(0, round(y - side)), min(height, round(y + side))
    return image[top:bottom, left:right]
