"""Is a picture one of the night: dark, or without colour because the camera sees by infrared?"""

from __future__ import annotations

import numpy as np

from vision.planes import Planes

_GREY = 2.0  # mean distance of the colour planes from their neutral 128, below which there is no colour
_NEUTRAL = 128


def is_night(planes: Planes, luma: float) -> bool:
    """Whether the mean brightness is below `luma` (16: black, 235: white), or there is no colour."""
    if planes.luma[::8, ::8].mean() < luma:
        return True
    colour = np.frombuffer(planes.data, np.uint8)[planes.width * planes.height :: 16]
    return bool(np.abs(colour.astype(np.int16) - _NEUTRAL).mean() < _GREY)
