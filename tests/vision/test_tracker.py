from __future__ import annotations

import pytest

from tests.vision.boxes import Box, detections, head
from vision.tracker import Tracker

Pictures = list[tuple[float, list[tuple[str, float, Box]]]]


@pytest.mark.parametrize(
    ("pictures", "expected"),
    [
        pytest.param([(0, [head(100)]), (0.2, [head(108)])], [[1], [1]], id="a small step keeps the number"),
        pytest.param([(0, [head(100)]), (1, [head(240)])], [[1], [1]], id="a walker at one picture a second"),
        pytest.param([(0, [head(100)]), (0.2, [head(400)])], [[1], [2]], id="nobody jumps so far so soon"),
        pytest.param([(0, [head(100)]), (1, [head(100, size=90)])], [[1], [2]], id="nor grows to twice the size"),
        pytest.param(
            [(0, [head(100)]), (1, [head(100, name="helmet")])], [[1], [1]], id="putting the helmet on is the same head"
        ),
        pytest.param(
            [(0, [head(100), head(300)]), (0.2, [head(304), head(102)])], [[1, 2], [2, 1]], id="order does not matter"
        ),
        pytest.param(
            [(0, [head(100), head(160)]), (0.2, [head(130), head(190)])], [[1, 2], [1, 2]], id="two walk side by side"
        ),
        pytest.param([(0, [head(100)]), (2, []), (2.9, [head(100)])], [[1], [], [1]], id="hidden for a moment"),
        pytest.param([(0, [head(100)]), (3.1, [head(100)])], [[1], [2]], id="gone for too long"),
    ],
)
def test_numbers(pictures: Pictures, expected: list[list[int]]) -> None:
    tracker = Tracker(forget_s=3)
    assert [tracker.update(detections(*boxes), at).tolist() for at, boxes in pictures] == expected


def test_tracks_are_forgotten() -> None:
    tracker = Tracker(forget_s=3)
    for second in range(100):
        tracker.update(detections(head(100 + 1000 * (second % 2), y=100 * second)), float(second))
    assert len(tracker.alive) <= 4
