from __future__ import annotations

import numpy as np
import pytest

from tests.vision.boxes import detections
from vision.detections import Detections, pairwise_iou


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((0, 0, 10, 10), (0, 0, 10, 10), 1.0),
        ((0, 0, 10, 10), (5, 0, 15, 10), 1 / 3),
        ((0, 0, 10, 10), (10, 0, 20, 10), 0.0),
        ((0, 0, 10, 10), (30, 30, 40, 40), 0.0),
        ((5, 5, 5, 5), (5, 5, 5, 5), 0.0),
    ],
)
def test_iou(first: tuple[float, ...], second: tuple[float, ...], expected: float) -> None:
    boxes = [np.array([box], np.float32) for box in (first, second)]
    assert pairwise_iou(*boxes)[0, 0] == pytest.approx(expected)


def test_one_head_seen_as_two_classes_is_one_head_of_the_stronger_class() -> None:
    both = detections(("helmet", 0.4, (0, 0, 20, 20)), ("head", 0.6, (1, 0, 21, 20)), ("head", 0.3, (90, 0, 110, 20)))
    kept = both.without_overlaps(0.6)
    assert kept.class_id.tolist() == [1, 1]
    assert kept.score.tolist() == pytest.approx([0.6, 0.3])


def test_empty_detections_can_be_worked_with() -> None:
    nothing = Detections.empty()
    assert len(nothing.without_overlaps(0.5)) == 0
    assert nothing.height.shape == (0,)


def test_arrays_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="do not match"):
        Detections(np.zeros((2, 4), np.float32), np.zeros(1, np.float32), np.zeros(2, np.int16))
