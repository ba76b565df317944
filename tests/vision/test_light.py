"""Light and weather: measured on pictures, and slow to come and go."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.settings import CameraSettings
from vision.light import Conditions, measure
from vision.planes import Planes
from vision.wire import Condition, Sight

DAY = Sight(luma=120, colour=12, contrast=150, noise=0.5)
NIGHT = Sight(luma=30, colour=12, contrast=20, noise=0.5)
INFRARED = Sight(luma=120, colour=1, contrast=90, noise=0.5)
NOISY = Sight(luma=120, colour=12, contrast=150, noise=5)
HAZY = Sight(luma=170, colour=12, contrast=30, noise=0.5)


def after(*seen: tuple[Sight, int]) -> frozenset[Condition]:
    """What stands after these measures, each for so many seconds, a picture a second."""
    conditions = Conditions(CameraSettings())
    sights = [sight for sight, seconds in seen for _ in range(seconds)]
    return [conditions.saw(sight, second * 1_000_000) for second, sight in enumerate(sights)][-1]


@pytest.mark.parametrize(
    ("seen", "stands"),
    [
        pytest.param([(DAY, 1)], set(), id="day"),
        pytest.param([(NIGHT, 1)], {"night"}, id="begun at night: dark, and no haze for its little contrast"),
        pytest.param([(INFRARED, 1)], {"night"}, id="infrared"),
        pytest.param([(DAY, 1), (NOISY, 20)], set(), id="noise for less than 20 s"),
        pytest.param([(DAY, 1), (NOISY, 21)], {"noisy"}, id="noise for 20 s"),
        pytest.param([(DAY, 1), (NOISY, 15), (DAY, 1), (NOISY, 15)], set(), id="noise with a break"),
        pytest.param([(NOISY, 21), (DAY, 20)], {"noisy"}, id="gone for less than 20 s"),
        pytest.param([(NOISY, 21), (DAY, 21)], set(), id="gone for 20 s"),
        pytest.param([(DAY, 1), (HAZY, 21)], {"hazy"}, id="haze"),
        pytest.param([(HAZY, 1), (NIGHT, 21)], {"night"}, id="haze into the night"),
    ],
)
def test_a_condition_comes_and_goes_when_it_has_lasted(seen: list[tuple[Sight, int]], stands: set[Condition]) -> None:
    assert after(*seen) == stands


@pytest.mark.parametrize(
    ("name", "there", "between", "gone"),
    [
        ("night", {"luma": 49}, {"luma": 55}, {"luma": 58}),
        ("night", {"colour": 1.9}, {"colour": 2.9}, {"colour": 3.1}),
        ("noisy", {"noise": 4.1}, {"noise": 2.5}, {"noise": 2.3}),
        ("hazy", {"contrast": 44}, {"contrast": 58}, {"contrast": 59}),
    ],
)
def test_between_the_levels_a_condition_stays_as_it_is(
    name: Condition, there: dict[str, float], between: dict[str, float], gone: dict[str, float]
) -> None:
    def sight(change: dict[str, float]) -> Sight:
        return Sight(**{"luma": 120, "colour": 12, "contrast": 150, "noise": 0.5, **change})

    assert after((sight(there), 1), (sight(between), 100)) == {name}
    assert after((sight(gone), 1), (sight(between), 100)) == set()
    assert after((sight(there), 1), (sight(gone), 100)) == set()


@given(st.lists(st.sampled_from([DAY, NIGHT, INFRARED, NOISY, HAZY]), min_size=1, max_size=200))
def test_nothing_changes_twice_within_the_time_it_must_last(sights: list[Sight]) -> None:
    conditions = Conditions(CameraSettings())
    changed: dict[str, int] = {}
    before = conditions.saw(sights[0], 0)
    for second, sight in enumerate(sights[1:], 1):
        now = conditions.saw(sight, second * 1_000_000)
        for name in before ^ now:
            assert second - changed.get(name, 0) >= 20
            changed[name] = second
        before = now


def test_measures_of_a_picture() -> None:
    planes = np.full(64 * 36 * 3 // 2, 128 + 9, np.uint8)
    luma = planes[: 64 * 36].reshape(36, 64)
    luma[:], luma[:, 32:] = 40, 200
    assert measure(Planes(64, 36, planes.tobytes())) == Sight(luma=120, colour=9, contrast=160, noise=0)
