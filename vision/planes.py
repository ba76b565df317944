"""A decoded picture's planes, small for a look and in full size for people, whatever the camera sends.

Full range, other chroma and odd sizes are brought to limited-range 4:2:0 of even size (I420).
"""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import Interpolation, VideoReformatter


@dataclass(frozen=True, slots=True)
class Planes:
    """I420: `height` * 3 / 2 rows of `width` bytes; both even."""

    width: int
    height: int
    data: bytes

    @property
    def luma(self) -> npt.NDArray[np.uint8]:
        """The Y plane [height, width]."""
        return np.frombuffer(self.data, np.uint8, self.width * self.height).reshape(self.height, self.width)


class Scaler:
    """Makes planes of one stream's pictures; keeps its tables between them. Not to be shared by threads."""

    def __init__(self, longest: int) -> None:
        """`longest` is the most pixels of the longer side."""
        self._longest = longest
        self._reformatter = VideoReformatter()

    def small(self, frame: av.VideoFrame) -> Planes:
        """The picture with at most `longest` pixels on its longer side."""
        scale = min(1.0, self._longest / max(frame.width, frame.height))
        return _planes(self._reformatter, frame, round(frame.width * scale), round(frame.height * scale))


def full(frame: av.VideoFrame) -> Planes:
    """The picture at its own size, less a pixel where it is odd."""
    return _planes(VideoReformatter(), frame, frame.width, frame.height)


def _planes(reformatter: VideoReformatter, frame: av.VideoFrame, width: int, height: int) -> Planes:
    width, height = max(2, width & ~1), max(2, height & ~1)
    if frame.format.name != "yuv420p" or (width, height) != (frame.width, frame.height):
        # The mean over an area: single pixels would flicker with the camera's noise.
        frame = reformatter.reformat(frame, width, height, "yuv420p", interpolation=Interpolation.AREA)
    return Planes(width, height, frame.to_ndarray().tobytes())
