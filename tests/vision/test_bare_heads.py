"""Bare heads at close range on photographs that packages carry, none of them of the data set: nobody wears a helmet.

Fair, grey, bald and dark heads from 100 to 540 pixels high; each photograph as a whole and as the part of a 1920x1080
frame in which the head stands. The figures are those of the model card.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from importlib import resources

import cv2
import numpy as np
import pytest
from skimage import data

from core.settings import CameraSettings, VisionSettings
from vision.detections import pairwise_iou
from vision.detectors import Detector, load_detector

HEIGHTS = (100, 150, 200, 300, 400, 540)
FRAME = (1920, 1080)


def asset(name: str) -> np.ndarray:
    file = resources.files("ultralytics") / "assets" / name
    return cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), cv2.IMREAD_COLOR)


PHOTOGRAPHS: dict[str, tuple[Callable[[], np.ndarray], list[tuple[int, int, int, int]]]] = {
    "astronaut": (lambda: cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR), [(152, 15, 300, 189)]),
    "cameraman": (lambda: cv2.cvtColor(data.camera(), cv2.COLOR_GRAY2BGR), [(163, 63, 272, 197)]),
    "zidane": (lambda: asset("zidane.jpg"), [(477, 200, 662, 443), (890, 42, 1066, 290)]),
    # A third man is cut by the edge through his face and is not counted.
    "bus": (lambda: asset("bus.jpg"), [(102, 397, 157, 472), (264, 406, 308, 476)]),
}


@pytest.fixture(scope="module")
def detector() -> Detector:
    return load_detector(VisionSettings())


def views(name: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pictures, and the head's box in each."""
    read, heads = PHOTOGRAPHS[name]
    photograph = read()
    for head in heads:
        for height in HEIGHTS:
            scale = height / (head[3] - head[1])
            way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
            box = np.array(head, np.float32) * scale
            if max(photograph.shape) * scale < 4000:
                yield cv2.resize(photograph, None, fx=scale, fy=scale, interpolation=way), box
            # The head in the middle of the frame, two fifths down.
            shift = np.array(FRAME) * (0.5, 0.4) - (box[:2] + box[2:]) / 2
            matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
            resized = cv2.warpAffine(
                photograph if scale >= 1 else cv2.GaussianBlur(photograph, (0, 0), 0.4 / scale),
                matrix,
                FRAME,
                flags=cv2.INTER_CUBIC if scale >= 1 else cv2.INTER_LINEAR,
                borderValue=(114, 114, 114),
            )
            yield resized, box + np.tile(shift, 2).astype(np.float32)


def seen_as(detector: Detector, picture: np.ndarray, head: np.ndarray) -> str:
    """What the head comes out as, at the score at which it counts in a vote."""
    found = detector.detect(picture)
    found = found[found.score >= CameraSettings().score]
    there = np.flatnonzero(pairwise_iou(found.xyxy, head[None].astype(np.float32))[:, 0] > 0.4)
    return detector.classes[found.class_id[there[0]]] if len(there) else "nothing"


#: What the built-in model still takes for helmets, of the views of each photograph. The aim is none; a model that takes
#: its place may do no worse, and these numbers and those of the model card follow it.
TAKEN_FOR_HELMETS = {"astronaut": 0, "cameraman": 0, "zidane": 0, "bus": 2}


@pytest.mark.parametrize(
    "name",
    [
        "astronaut",
        "cameraman",
        pytest.param("zidane", marks=pytest.mark.needs("yolo")),
        pytest.param("bus", marks=pytest.mark.needs("yolo")),
    ],
)
def test_bare_heads_are_hardly_ever_helmets_and_most_are_found(detector: Detector, name: str) -> None:
    seen = Counter(seen_as(detector, picture, head) for picture, head in views(name))
    assert seen["helmet"] <= TAKEN_FOR_HELMETS[name], seen
    assert seen["head"] > 0.7 * seen.total(), seen
