"""Parts of a camera's picture: where heads count, where nobody may be, and where somebody must."""

from __future__ import annotations

from itertools import combinations
from typing import Literal

from pydantic import ConfigDict, Field, field_validator

from core.settings.section import Line, Section

Point = tuple[float, float]

ZoneUse = Literal["include", "exclude", "forbidden", "post"]

_LEAST_AREA = 0.0001  # of the picture


class Zone(Section):
    """One polygon of a camera's picture."""

    # Kept as JSON, which knows no infinity.
    model_config = ConfigDict(allow_inf_nan=False)

    name: Line = Field(min_length=1, max_length=40, description="Name of the zone, as episodes tell it.")
    use: ZoneUse = Field(
        default="include",
        description="include: hats are judged only in such zones; exclude: never in this one; forbidden: a person here "
        "is an episode `intrusion`; post: nobody here for absent_s is an episode `post_unmanned`.",
    )
    polygon: tuple[Point, ...] = Field(
        min_length=3,
        max_length=64,
        description="Corners x, y in shares of the picture: 0, 0 is the upper left, 1, 1 the lower right.",
    )
    absent_s: float = Field(
        default=300, ge=5, le=86_400, description="Seconds without anybody after which a post is unmanned."
    )

    @field_validator("polygon")
    @classmethod
    def _is_simple(cls, polygon: tuple[Point, ...]) -> tuple[Point, ...]:
        if any(not 0 <= part <= 1 for corner in polygon for part in corner):
            raise ValueError("a corner lies outside the picture: x and y go from 0 to 1")
        if len(set(polygon)) < len(polygon):
            raise ValueError("a corner is given twice")
        sides = [(polygon[index - 1], polygon[index]) for index in range(len(polygon))]
        for (first, one), (second, other) in combinations(enumerate(sides, 1), 2):
            shared = set(one) & set(other)
            if shared:  # neighbours; they may only meet in their corner
                meets = any(_on(*one, end) for end in set(other) - shared) or any(
                    _on(*other, end) for end in set(one) - shared
                )
            else:
                meets = _cross(*one, *other)
            if meets:
                raise ValueError(
                    f"the polygon crosses itself: the sides to corner {first} and to corner {second} intersect; "
                    "give the corners in their order around the zone"
                )
        if abs(_area(polygon)) < _LEAST_AREA:
            raise ValueError("the polygon has hardly any area")
        return polygon


def _area(polygon: tuple[Point, ...]) -> float:
    return sum(polygon[i - 1][0] * polygon[i][1] - polygon[i][0] * polygon[i - 1][1] for i in range(len(polygon))) / 2


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether ab and cd have a point in common; touching counts."""
    turns = _turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)
    if turns[0] * turns[1] < 0 and turns[2] * turns[3] < 0:
        return True
    return _on(a, b, c) or _on(a, b, d) or _on(c, d, a) or _on(c, d, b)


def _on(a: Point, b: Point, point: Point) -> bool:
    """Whether the point lies on ab."""
    return _turn(a, b, point) == 0 and all(
        min(a[axis], b[axis]) <= point[axis] <= max(a[axis], b[axis]) for axis in (0, 1)
    )
