from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@given(
    first=st.floats(0.5, 3.0),
    second=st.floats(0.5, 3.0),
    behind=st.floats(2.5, 6.0),
    leftward=st.booleans(),
    names=st.tuples(*[st.sampled_from(["head", "helmet"])] * 2),
)
def test_walkers_keep_their_numbers(
    first: float, second: float, behind: float, leftward: bool, names: tuple[str, str]
) -> None:
    """At one picture a second: one behind the other, or each towards the other, at head heights a second."""
    size = 40
    start, speed = (1000.0, -second) if leftward else (-behind * size, second)
    tracker = Tracker(forget_s=3)
    tracker.update(detections(head(0, size=size, name=names[0])), 0)
    for at in range(1, 12):
        there = [first * size * at, start + speed * size * at]
        boxes = [head(x, size=size, name=name) for x, name in zip(there, names, strict=True)]
        shown = boxes if at > 2 else boxes[:1]  # the second comes when the first one is followed already
        numbers = tracker.update(detections(*shown), float(at)).tolist()
        if abs(there[0] - there[1]) < size:
            return  # one hides the other
        assert numbers == [1, 2][: len(shown)]


def test_of_two_as_near_the_one_of_the_same_class_is_the_same_head() -> None:
    tracker = Tracker()
    tracker.update(detections(head(200, name="helmet")), 0)
    assert tracker.update(detections(head(100), head(300, name="helmet")), 1).tolist() == [2, 1]
    tracker = Tracker()
    tracker.update(detections(head(200)), 0)
    assert tracker.update(detections(head(100), head(300, name="helmet")), 1).tolist() == [1, 2]


def test_who_stops_is_still_the_same_head() -> None:
    tracker = Tracker()
    for second in range(5):
        tracker.update(detections(head(150 * second)), float(second))
    assert [tracker.update(detections(head(600)), at).tolist() for at in (5.0, 6.0)] == [[1], [1]]


def test_tracks_are_forgotten() -> None:
    tracker = Tracker(forget_s=3)
    for second in range(100):
        tracker.update(detections(head(100 + 1000 * (second % 2), y=100 * second)), float(second))
    assert len(tracker.alive) <= 4
