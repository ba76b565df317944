"""How the benchmark holds episodes against what its cameras showed."""

from __future__ import annotations

import pytest

from benchmarks.vision.events import score, visits
from benchmarks.vision.sequences import SEQUENCES

EPOCH = 1000.0


def test_visits_repeat_every_minute_and_only_whole_ones_count() -> None:
    [(start, end)] = SEQUENCES[0].bare
    assert 48 < start < end < 60
    shown = visits(1, EPOCH, EPOCH, EPOCH + 180)
    assert [(visit.camera, visit.start, visit.end) for visit in shown] == [
        (0, EPOCH + 60 * turn + start, EPOCH + 60 * turn + end) for turn in range(3)
    ]
    assert len(visits(1, EPOCH, EPOCH + start + 1, EPOCH + 180)) == 2
    assert visits(2, EPOCH, EPOCH, EPOCH + 60)[0].camera == 0, "camera 1 shows a hat"
    assert {visit.camera for visit in visits(2, EPOCH, EPOCH, EPOCH + 120)} == {0}


@pytest.mark.parametrize(
    ("episodes", "found", "duplicates", "false"),
    [
        pytest.param([(0, 1.0, 8.0)], 1, 0, 0, id="one"),
        pytest.param([(0, 1.0, 3.0), (0, 5.0, 8.0)], 1, 1, 0, id="the same visit twice"),
        pytest.param([(0, 20.0, 22.0)], 0, 0, 1, id="nobody was there"),
        pytest.param([(3, 1.0, 8.0)], 0, 0, 1, id="another camera"),
        pytest.param([], 0, 0, 0, id="missed"),
    ],
)
def test_score(episodes: list[tuple[int, float, float]], found: int, duplicates: int, false: int) -> None:
    [(start, _)] = SEQUENCES[0].bare
    shown = visits(1, EPOCH, EPOCH, EPOCH + 60)
    told = [(camera, EPOCH + start + first, EPOCH + start + last) for camera, first, last in episodes]
    result = score(shown, told)
    assert (result["visits"], result["found"], result["duplicates"], result["false"]) == (1, found, duplicates, false)
    assert sum(result["missed_by_sequence"].values()) == 1 - found
