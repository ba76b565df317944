"""The second look for far heads."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from core.settings import VisionSettings
from smartsite.demo import scene
from vision.detections import Detections, pairwise_iou
from vision.detectors import load_detector
from vision.tiles import look_closely, span

SIZE = (1600, 900)
_HEAD = (160, 62, 272, 200)  # of the photograph that the surveyor is cut from


def test_a_far_head_that_the_whole_picture_hides_is_found_once_where_it_is() -> None:
    detector = load_detector(VisionSettings())
    picture, box = yard(head_px=32, at=(930, 790))
    wide = span(640, 3)
    look = cv2.resize(picture, (wide, wide * 9 // 16), interpolation=cv2.INTER_AREA)
    assert len(look_closely(detector, look, 1)) == 0
    found = look_closely(detector, look, 3)
    assert [detector.classes[kind] for kind in found.class_id] == ["head"]
    assert pairwise_iou(found.scaled(1920 / wide, 1920 / wide).xyxy, np.array([box], np.float32))[0, 0] > 0.4


def yard(*, head_px: int, at: tuple[int, int]) -> tuple[np.ndarray, list[float]]:
    """The empty site at 1920x1080 with the surveyor far away (left, top), and the box of his head."""
    site = scene.view(scene.panorama(with_person=False), 0.2)
    picture = cv2.resize(site, (1920, 1080), interpolation=cv2.INTER_CUBIC)
    man, opacity = scene.person()
    scale = head_px / (0.8 * (_HEAD[3] - _HEAD[1]))
    small = cv2.resize(man, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    seen = cv2.resize(opacity, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[..., None]
    left, top = at
    part = picture[top : top + small.shape[0], left : left + small.shape[1]]
    part[:] = small * seen + part * (1 - seen)
    shift = (left, top, left, top)
    return picture, [corner * 0.8 * scale + origin for corner, origin in zip(_HEAD, shift, strict=True)]


class Painted:
    """A detector that sees every white rectangle, whole or not, surer the larger it is."""

    name = "painted"
    classes = ("helmet", "head")

    def __init__(self, *, least: int = 1) -> None:
        self.looks: list[tuple[int, int]] = []
        self._least = least

    def input_shape(self, height: int, width: int) -> tuple[int, int]:
        return height, width

    def detect(self, image: np.ndarray) -> Detections:
        self.looks.append(image.shape[:2])
        _, _, found, _ = cv2.connectedComponentsWithStats(image[:, :, 0])
        rows = [row for row in found[1:] if row[3] * 1000 // image.shape[1] >= self._least]
        boxes = np.array([[x, y, x + w, y + h] for x, y, w, h, _ in rows], np.float32).reshape(-1, 4)
        scores = np.array([0.5 + w * h / 1e6 for _, _, w, h, _ in rows], np.float32)
        return Detections(boxes, scores, np.ones(len(rows), np.int16))


@pytest.mark.parametrize("tiles", [2, 3, 4])
def test_a_small_head_is_found_once_wherever_it_stands(tiles: int) -> None:
    rng = np.random.default_rng(tiles)
    for _ in range(60):
        x, y = int(rng.integers(0, SIZE[0] - 24)), int(rng.integers(0, SIZE[1] - 30))
        image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
        image[y : y + 30, x : x + 24] = 255
        # 30 of 1600 pixels is too little for the whole picture, and enough for each tile.
        found = look_closely(Painted(least=20), image, tiles)
        assert found.xyxy.tolist() == [[x, y, x + 24, y + 30]], (x, y)


def test_a_large_head_is_told_whole_and_not_in_pieces() -> None:
    image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    image[200:700, 600:1000] = 255
    assert look_closely(Painted(), image, 2).xyxy.tolist() == [[600, 200, 1000, 700]]


def test_one_tile_is_the_whole_picture_and_costs_one_look() -> None:
    detector, image = Painted(), np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    assert len(look_closely(detector, image, 1)) == 0
    assert detector.looks == [(900, 1600)]
    look_closely(detector, image, 2)
    assert detector.looks[1:] == [(900, 1600)] + [(500, 889)] * 4
    assert span(640, 1) == 640
    assert span(640, 2) == 1152
