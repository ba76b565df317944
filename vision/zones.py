"""Which zone of the picture a head stands in."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from core.settings.zones import Zone
from vision.detections import Boxes


class Zones:
    """The zones of one camera; heads are placed by the middle of their lower edge."""

    def __init__(self, zones: Iterable[Zone], *, camera_zone: str) -> None:
        """`camera_zone` names what is not named by a zone of the picture."""
        self._zones = tuple(zones)
        self._camera_zone = camera_zone
        self._includes = any(zone.use == "include" for zone in self._zones)

    @property
    def posts(self) -> tuple[Zone, ...]:
        """Zones in which somebody must be."""
        return tuple(zone for zone in self._zones if zone.use == "post")

    @property
    def has_forbidden(self) -> bool:
        """Whether there is one in which nobody may be."""
        return any(zone.use == "forbidden" for zone in self._zones)

    def for_hats(self, x: float, y: float) -> str | None:
        """The zone in which a hat is judged at this point (shares of the picture); None: it is not judged there."""
        inside = [zone for zone in self._zones if holds(zone, x, y)]
        if any(zone.use == "exclude" for zone in inside):
            return None
        named = next((zone.name for zone in inside if zone.use == "include"), None)
        return named if self._includes else self._camera_zone

    def forbidden(self, x: float, y: float) -> str | None:
        """The forbidden zone at this point."""
        return next((zone.name for zone in self._zones if zone.use == "forbidden" and holds(zone, x, y)), None)


def feet(box: Boxes, width: int, height: int) -> tuple[float, float]:
    """Middle of the lower edge of a box [4], in shares of the picture."""
    return float(box[0] + box[2]) / 2 / width, float(box[3]) / height


def holds(zone: Zone, x: float, y: float) -> bool:
    """Whether the point lies in the zone, by the number of sides on its right."""
    inside = False
    for (x1, y1), (x2, y2) in pairwise((*zone.polygon, zone.polygon[0])):
        if (y1 > y) != (y2 > y) and x < x1 + (y - y1) / (y2 - y1) * (x2 - x1):
            inside = not inside
    return inside
