"""Marks on a picture: numbered boxes, arrows and strokes, drawn where the inspector put them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import cv2
import numpy as np
from cv2.typing import MatLike
from pydantic import BaseModel, ConfigDict, Field, model_validator

from core.errors import InvalidInput

_RED, _WHITE = (40, 40, 230), (255, 255, 255)  # BGR
_QUALITY = 90

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Mark(BaseModel):
    """One mark; points are shares of the picture's width and height."""

    model_config = ConfigDict(extra="forbid")

    shape: Literal["box", "arrow", "stroke"]
    points: list[tuple[Share, Share]] = Field(
        min_length=2, max_length=500, description="Two corners; tail and head; or the way of the pen."
    )

    @model_validator(mode="after")
    def _two_points(self) -> Mark:
        if self.shape != "stroke" and len(self.points) != 2:
            raise ValueError(f"{self.shape} has two points")
        return self


def draw(jpeg: bytes, marks: Sequence[Mark]) -> bytes:
    """The picture with its marks, as JPEG. Blocks for some ten milliseconds: call in a thread.

    Raises:
        InvalidInput: the picture cannot be read.
    """
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise InvalidInput("the picture cannot be read", hint="take it again")
    height, width = picture.shape[:2]
    thick = max(2, round(width / 320))
    for number, mark in enumerate(marks, start=1):
        points = [(round(x * (width - 1)), round(y * (height - 1))) for x, y in mark.points]
        # White beneath, so that red shows on red brick as well.
        for colour, pen in ((_WHITE, thick + 2), (_RED, thick)):
            if mark.shape == "box":
                cv2.rectangle(picture, points[0], points[1], colour, pen, cv2.LINE_AA)
            elif mark.shape == "arrow":
                cv2.arrowedLine(picture, points[0], points[1], colour, pen, cv2.LINE_AA, tipLength=0.15)
            else:
                cv2.polylines(picture, [np.array(points, np.int32)], False, colour, pen, cv2.LINE_AA)
        _number(picture, number, points[0], thick)
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()


def _number(picture: MatLike, number: int, at: tuple[int, int], thick: int) -> None:
    radius = 5 * thick
    height, width = picture.shape[:2]
    centre = (min(max(at[0], radius), width - 1 - radius), min(max(at[1], radius), height - 1 - radius))
    cv2.circle(picture, centre, radius, _RED, cv2.FILLED, cv2.LINE_AA)
    cv2.circle(picture, centre, radius, _WHITE, max(1, thick // 2), cv2.LINE_AA)
    scale = radius / 14
    (wide, high), _ = cv2.getTextSize(str(number), cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
    place = (centre[0] - wide // 2, centre[1] + high // 2)
    cv2.putText(picture, str(number), place, cv2.FONT_HERSHEY_SIMPLEX, scale, _WHITE, max(1, thick // 2), cv2.LINE_AA)
