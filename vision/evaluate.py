"""The run-time detector measured on labelled photographs, with the preparation and suppression of production."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from core.errors import ConfigurationError
from vision.detections import Detections
from vision.detectors import Detector
from vision.labelled import CLASSES, Image, Labelled
from vision.scoring import COCO_THRESHOLDS, Compared, average_precision, buckets, tally

FLOOR = 0.001
"""Least score of a box in average precision, as in ultralytics' `val`; production drops weak ones earlier."""

PHOTOGRAPH_PX = 736
"""Longer side of the input for photographs, whose heads are fewer pixels high than those of a camera at a gate."""

_FRAME = 1.6
"""Pictures at least so many times as wide as high count as a camera's frame (16:9, or 16:10)."""


class Readable(Protocol):
    """A labelled photograph."""

    def read(self) -> Labelled:
        """Its pixels and boxes."""


class AtBestShape:
    """A detector that looks at frames of a camera as production does, and at photographs at a shape of their own."""

    def __init__(self, frames: Detector, photographs: Detector) -> None:
        self.name, self.classes = frames.name, frames.classes
        self._frames, self._photographs = frames, photographs

    def _for(self, height: int, width: int) -> Detector:
        return self._frames if width >= _FRAME * height else self._photographs

    def input_shape(self, height: int, width: int) -> tuple[int, int]:
        """See `Detector.input_shape`."""
        return self._for(height, width).input_shape(height, width)

    def detect(self, image: Image) -> Detections:
        """See `Detector.detect`."""
        return self._for(*image.shape[:2]).detect(image)


def compare(
    detector: Detector, photographs: Sequence[Readable], tell: Callable[[int], None] = lambda _: None
) -> tuple[list[Compared], dict[str, Any]]:
    """Run the detector over the photographs; what it found, and the shapes and CPU time that it took."""
    if missing := set(CLASSES) - set(detector.classes):
        raise ConfigurationError(
            f"the model {detector.name} knows {', '.join(detector.classes)}, not {', '.join(sorted(missing))}",
            hint="evaluate a model of hard hats",
        )
    # The model may number the classes otherwise than the labels.
    number = np.array([CLASSES.index(name) if name in CLASSES else -1 for name in detector.classes], np.int16)
    compared: list[Compared] = []
    shapes: Counter[str] = Counter()
    cpu: list[float] = []
    for count, (shape, photograph) in enumerate(_by_shape(detector, photographs), 1):
        picture = photograph.read()
        height, width = picture.image.shape[:2]
        shapes[f"{shape[0]}x{shape[1]}"] += 1
        before = time.process_time()
        found = detector.detect(picture.image)
        cpu.append(time.process_time() - before)
        found.class_id[:] = number[found.class_id]
        scale = min(shape[0] / height, shape[1] / width)
        compared.append(Compared(found, picture.boxes, picture.kind, scale, picture.name))
        tell(count)
    return compared, {"shapes": dict(shapes.most_common()), "cpu_ms": round(float(np.median(cpu)) * 1000, 2)}


def _by_shape(detector: Detector, photographs: Sequence[Readable]) -> list[tuple[tuple[int, int], Readable]]:
    """The photographs with their inputs' shapes, those of a shape together: a network is compiled for each shape."""
    shaped: list[tuple[tuple[int, int], Readable]] = []
    for photograph in photographs:
        height, width = photograph.read().image.shape[:2]
        shaped.append((detector.input_shape(height, width), photograph))
    return sorted(shaped, key=lambda pair: pair[0])


def figures(compared: Sequence[Compared], score: float) -> dict[str, Any]:
    """AP at overlaps of 0.5, 0.3 and COCO's mean, and precision and recall at `score`, for each class.

    Average precision is of each class by itself, as COCO's is, where the detector gives the boxes of each (`by_class`);
    precision and recall are those of production, where a head has one class.
    """
    return {name: _class_figures(compared, kind, score) for kind, name in enumerate(CLASSES)}


def _class_figures(compared: Sequence[Compared], kind: int, score: float) -> dict[str, Any]:
    by_overlap = {threshold: average_precision(compared, kind, threshold) for threshold in (0.3, *COCO_THRESHOLDS)}
    at_work = tally(compared, kind, score).figures()
    return {
        "ap50": _rounded(by_overlap[0.5]),
        "ap30": _rounded(by_overlap[0.3]),
        "map": _rounded(float(np.mean([by_overlap[threshold] for threshold in COCO_THRESHOLDS]))),
        **at_work,
        "buckets": {
            "picture_px": buckets(compared, kind, score, of_input=False),
            "input_px": buckets(compared, kind, score, of_input=True),
        },
    }


def _rounded(value: float) -> float | None:
    """JSON knows no nan."""
    return None if np.isnan(value) else round(value, 4)
