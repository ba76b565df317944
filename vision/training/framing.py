"""Which part of which photographs fills the input: one photograph, a close-up of one head, or many small ones."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from vision.labelled import Image, Labelled
from vision.training.heads import HEAD

_FILL = 114
_LEAST_SHARE = 0.35  # of a head's area must be left in the picture for its label to stay
_LEAST_PX = 5.0
_MOST_ENLARGED = 10.0
_LEAST_CLOSE_UP = 12  # pixels of a head's height: what is smaller shows nothing when it is enlarged


def whole(
    picture: Labelled, size: int, rng: np.random.Generator, *, enlarged: tuple[float, float] = (0.6, 1.5)
) -> Labelled:
    """The photograph at `enlarged` (least, most) times the size of the input, turned and shifted a little."""
    height, width = picture.image.shape[:2]
    scale = size / max(height, width) * np.exp(rng.uniform(*np.log(enlarged)))
    centre = np.array([width, height]) / 2 + rng.uniform(-0.15, 0.15, 2) * (width, height)
    return _framed(picture, centre, scale, (size, size), rng)


def close_up(picture: Labelled, size: int, rng: np.random.Generator) -> Labelled:
    """One head fills a fifth to nine tenths of the input's height; a bare one where there is one."""
    heights = picture.boxes[:, 3] - picture.boxes[:, 1]
    if not len(heights) or heights.max() < _LEAST_CLOSE_UP:
        return whole(picture, size, rng)
    weights = heights * (heights >= _LEAST_CLOSE_UP)
    bare = weights * (picture.kind == HEAD)
    weights = bare if bare.any() else weights
    chosen = picture.boxes[rng.choice(len(heights), p=weights / weights.sum())]
    side = float(chosen[3] - chosen[1])
    scale = min(size * np.exp(rng.uniform(np.log(0.2), np.log(0.9))) / side, _MOST_ENLARGED)
    # The head lies anywhere in the input, mostly wholly inside.
    room = size / scale
    centre = (chosen[:2] + chosen[2:]) / 2 + rng.uniform(-0.5, 0.5, 2) * max(room - side, 0.2 * side)
    return _framed(picture, centre, scale, (size, size), rng)


def mosaic(pictures: Sequence[Labelled], size: int, rng: np.random.Generator) -> Labelled:
    """4 or 9 photographs, each filling its cell of an uneven grid: many small heads."""
    across = round(len(pictures) ** 0.5)
    lines = []
    for _ in range(2):
        even = np.arange(1, across) / across
        lines.append(np.r_[0, size * (even + rng.uniform(-0.3, 0.3, across - 1) / across), size].round().astype(int))
    canvas = np.full((size, size, 3), _FILL, np.uint8)
    boxes, kinds = [], []
    for number, picture in enumerate(pictures):
        row, column = divmod(number, across)
        left, right = lines[0][column], lines[0][column + 1]
        top, bottom = lines[1][row], lines[1][row + 1]
        height, width = picture.image.shape[:2]
        scale = max((right - left) / width, (bottom - top) / height) * rng.uniform(0.8, 1.6)
        free = np.maximum(0, np.array([width, height]) - np.array([right - left, bottom - top]) / scale)
        centre = np.array([width, height]) / 2 + rng.uniform(-0.5, 0.5, 2) * free
        cell = _framed(picture, centre, scale, (right - left, bottom - top), rng)
        canvas[top:bottom, left:right] = cell.image
        boxes.append(cell.boxes + np.array([left, top, left, top], np.float32))
        kinds.append(cell.kind)
    return Labelled(canvas, np.concatenate(boxes), np.concatenate(kinds))


def _framed(
    picture: Labelled,
    centre: npt.NDArray[np.floating],
    scale: float,
    size: tuple[int, int],
    rng: np.random.Generator,
) -> Labelled:
    """`size` (width, height) pixels around `centre` of the photograph, perhaps mirrored; boxes cut at the edge."""
    width, height = size
    angle = np.deg2rad(rng.normal(0, 3))
    stretch = np.exp(rng.normal(0, 0.05))
    mirror = -1 if rng.random() < 0.5 else 1
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.diag([scale * stretch * mirror, scale / stretch])
    shift = np.array([width, height]) / 2 - linear @ np.asarray(centre)
    matrix = np.column_stack([linear, shift])
    image = _warped(picture.image, matrix, scale, size)
    corners = picture.boxes[:, [[0, 1], [2, 1], [0, 3], [2, 3]]]
    moved = corners @ linear.T + shift
    full = np.concatenate([moved.min(axis=1), moved.max(axis=1)], axis=1)
    # The hull of a turned box is larger than the head in it.
    shrink = (abs(np.sin(angle)) / 2) * (full[:, 2:] - full[:, :2])[:, ::-1] / 2
    full += np.concatenate([shrink, -shrink], axis=1)
    cut = full.clip(0, [width, height, width, height])
    area, left_over = _area(full), _area(cut)
    keep = (left_over >= _LEAST_SHARE * area) & ((cut[:, 2:] - cut[:, :2]).min(axis=1) >= _LEAST_PX)
    return Labelled(image, cut[keep].astype(np.float32), picture.kind[keep])


def _warped(image: Image, matrix: npt.NDArray[np.float64], scale: float, size: tuple[int, int]) -> Image:
    if scale < 0.6:  # without this, fine detail turns into noise
        height, width = image.shape[:2]
        small = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = np.asarray(cv2.resize(image, small, interpolation=cv2.INTER_AREA), np.uint8)
        matrix = matrix @ np.diag([width / small[0], height / small[1], 1])
    way = cv2.INTER_CUBIC if scale > 1.5 else cv2.INTER_LINEAR
    warped = cv2.warpAffine(image, matrix, size, flags=way, borderValue=(_FILL, _FILL, _FILL))
    return np.asarray(warped, np.uint8)


def _area(boxes: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    sides = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None)
    return np.asarray(sides[:, 0] * sides[:, 1])
