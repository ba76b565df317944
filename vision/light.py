"""What light and weather make of a camera's pictures: measures of one, and what they mean over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vision.planes import Planes
from vision.wire import Condition, Sight

if TYPE_CHECKING:  # every capture process measures, and the settings would be 14 MB in each
    from core.settings import CameraSettings

_GREY, _COLOURED = 2.0, 3.0  # distance of the colour planes from neutral, below which there is none, and is some again
_NEUTRAL = 128
# What clears a condition, of what raises it: at its level it would come and go with every picture.
_BRIGHTER, _QUIETER, _CLEARER = 1.15, 0.6, 1.3


def measure(planes: Planes) -> Sight:
    """Measures of a picture but for its noise, which the motion gate tells from two."""
    luma = planes.luma[::8, ::8]
    dark, light = np.percentile(luma, [5, 95])
    colour = np.frombuffer(planes.data, np.uint8)[planes.width * planes.height :: 16]
    return Sight(
        luma=round(float(luma.mean()), 2),
        colour=round(float(np.abs(colour.astype(np.int16) - _NEUTRAL).mean()), 2),
        contrast=round(float(light - dark), 2),
        noise=0.0,
    )


class Conditions:
    """The conditions of one camera. One comes or goes when it was measured for as long as the camera's `weather_s`,
    without a break; between its two levels it stays as it is."""

    def __init__(self, options: CameraSettings) -> None:
        self._options = options
        self._now: frozenset[Condition] | None = None
        self._other_since: dict[Condition, int] = {}

    def saw(self, sight: Sight, at: int) -> frozenset[Condition]:
        """Take in the measures of a picture of `at` (microseconds since the epoch); what stands now."""
        measured = self._measured(sight)
        if self._now is None:
            # Who begins to watch at night need not wait.
            self._now = frozenset(name for name, there in measured.items() if there)
            return self._now
        for name, there in measured.items():
            if there is None or there == (name in self._now):
                self._other_since.pop(name, None)
            elif at - self._other_since.setdefault(name, at) >= self._options.weather_s * 1e6:
                self._now ^= {name}
                del self._other_since[name]
        return self._now

    def _measured(self, sight: Sight) -> dict[Condition, bool | None]:
        """Of each condition whether it is there; None: between its levels."""
        options = self._options
        night = _level(sight.luma, options.night_luma, options.night_luma * _BRIGHTER)
        if sight.colour < _GREY:
            night = True
        elif sight.colour < _COLOURED and night is False:
            night = None
        hazy = _level(sight.contrast, options.haze_contrast, options.haze_contrast * _CLEARER)
        return {
            "night": night,
            "noisy": _level(-sight.noise, -options.noise_level, -options.noise_level * _QUIETER),
            # The dark has little contrast of itself.
            "hazy": False if night else hazy,
        }


def _level(value: float, below: float, above: float) -> bool | None:
    return True if value < below else False if value > above else None
