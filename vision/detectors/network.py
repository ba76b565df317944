"""What every network of the YOLO family needs around it: the picture fitted into its input, boxes read off its output.

A network says itself what it is: the names of its classes, the size of its input, and one of two kinds of output:

- [1, n, 6] from a head without duplicates: left, top, right, bottom in pixels of the input, score, class;
- [1, 4 + classes, n] from the one-to-many head: centre x, centre y, width, height, a score for each class.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from core.errors import ConfigurationError
from vision.detections import ONE_HEAD, Detections

STRIDE = 32
_GREY = 114  # what the letterbox is filled with in training
_MOST = 300  # boxes of a picture
_MOST_ENLARGED = 2.0  # heads of a few pixels are found more often when they are enlarged, up to here

Floats = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]

# The pools of OpenCV and of the detector would fight over the same few cores.
cv2.setNumThreads(1)


class NetworkDetector(ABC):
    """A detector around a network that takes one RGB picture 0..1 as float32 [1, 3, height, width]."""

    def __init__(
        self, name: str, classes: tuple[str, ...], *, score: float, input_px: int, by_class: bool = False
    ) -> None:
        """`input_px` is the longer side of the input where the network leaves its size open."""
        self.name = name
        self.classes = classes
        self._score = score
        self._by_class = by_class
        self._input_px = input_px
        self._preparation = Preparation()

    @abstractmethod
    def _infer(self, picture: Floats) -> Floats:
        """The network's first output for its input [1, 3, height, width]."""

    def input_shape(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the input that a picture of this size is fitted into."""
        return fitting_shape(height, width, self._input_px)

    def detect(self, image: Image) -> Detections:
        """See `Detector.detect`."""
        height, width = image.shape[:2]
        shape = self.input_shape(height, width)
        blob, scale, left, top = self._preparation.fit(image, shape)
        found = boxes_of(self._infer(blob), self._score, by_class=self._by_class)
        xyxy = (found.xyxy - np.array([left, top, left, top], np.float32)) / np.float32(scale)
        xyxy[:, 0::2] = xyxy[:, 0::2].clip(0, width)
        xyxy[:, 1::2] = xyxy[:, 1::2].clip(0, height)
        return Detections(xyxy, found.score, found.class_id)


class Preparation:
    """Pictures made into inputs; the memory of each shape is used again."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[int, int], tuple[Floats, Image]] = {}

    def fit(self, image: Image, shape: tuple[int, int]) -> tuple[Floats, float, int, int]:
        """The input [1, 3, height, width] that holds a BGR picture, with its scale, left and top margin in it.

        The input is overwritten by the next picture of the same shape.
        """
        if shape not in self._buffers:
            self._buffers[shape] = (np.empty((1, 3, *shape), np.float32), np.full((*shape, 3), _GREY, np.uint8))
        blob, canvas = self._buffers[shape]
        scale, left, top = _letterbox(image, canvas)
        # BGR bytes to RGB planes 0..1 in one pass over each plane.
        for channel in range(3):
            np.multiply(canvas[:, :, 2 - channel], np.float32(1 / 255), out=blob[0, channel])
        return blob, scale, left, top


def fitting_shape(height: int, width: int, longest: int) -> tuple[int, int]:
    """Height and width of the smallest input that holds the picture scaled to `longest` pixels: 384x640 for 16:9.

    A smaller picture is enlarged to `longest`, but to no more than twice its size.
    """
    scale = min(longest / max(height, width), _MOST_ENLARGED)
    # One pixel of rounding must not cost a whole stride.
    sides = [max(1, -(-int(side * scale - 0.5) // STRIDE)) * STRIDE for side in (height, width)]
    return sides[0], sides[1]


def _letterbox(image: Image, canvas: Image) -> tuple[float, int, int]:
    """Fill `canvas` with the picture, scaled to fit and centred; return scale, left and top margin."""
    height, width = image.shape[:2]
    canvas_height, canvas_width = canvas.shape[:2]
    scale = min(canvas_width / width, canvas_height / height)
    inner_width, inner_height = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (canvas_width - inner_width) // 2, (canvas_height - inner_height) // 2
    canvas[:] = _GREY
    inner = canvas[top : top + inner_height, left : left + inner_width]
    cv2.resize(image, (inner_width, inner_height), dst=inner, interpolation=cv2.INTER_LINEAR)
    return scale, left, top


def boxes_of(output: Floats, score: float, *, by_class: bool = False) -> Detections:
    """Boxes of one picture with at least `score`, in pixels of the input, strongest first.

    One a head or, `by_class`, one a head and class: then a place counts for each class that it has the score for.
    """
    rows = output[0]
    if rows.shape[1] == 6 and rows.shape[0] != 6:
        rows = rows[rows[:, 4] >= score]
        found = Detections(rows[:, :4].copy(), rows[:, 4].copy(), rows[:, 5].astype(np.int16))
    else:
        scores = rows[4:]
        if by_class:
            kinds, places = np.nonzero(scores >= score)
        else:
            places = np.flatnonzero(scores.max(axis=0) >= score)
            kinds = scores[:, places].argmax(axis=0)
        strength = scores[kinds, places]
        most = _MOST * (len(scores) if by_class else 1)
        if len(strength) > most:
            strongest = np.argsort(-strength, kind="stable")[:most]
            kinds, places, strength = kinds[strongest], places[strongest], strength[strongest]
        centre, size = rows[:2, places].T, rows[2:4, places].T
        xyxy = np.concatenate([centre - size / 2, centre + size / 2], axis=1).astype(np.float32)
        found = Detections(xyxy, strength, kinds.astype(np.int16))
    return found.without_overlaps(ONE_HEAD, by_class=by_class)


def check_ports(model: Path, inputs: Sequence[Sequence[int]], outputs: Sequence[Sequence[int]], classes: int) -> None:
    """ConfigurationError where inputs or outputs are not this module's; a size that is left open is given as -1."""
    if len(inputs) != 1 or len(inputs[0]) != 4 or inputs[0][0] not in (1, -1) or inputs[0][1] != 3:
        raise ConfigurationError(f"the detector's model {model} takes {list(inputs)}", hint="export it with batch=1")
    shape = outputs[0] if len(outputs) == 1 else ()
    if len(shape) != 3 or not (shape[2] == 6 or shape[1] == 4 + classes):
        raise ConfigurationError(
            f"the detector's model {model} gives {list(outputs)}, neither [1, n, 6] nor [1, {4 + classes}, n]",
            hint="make it with `smartsite vision export`",
        )


def digest(*files: Path) -> str:
    """First 8 hex digits of the SHA-256 of a model's files."""
    together = hashlib.sha256()
    for file in files:
        together.update(file.read_bytes())
    return together.hexdigest()[:8]
