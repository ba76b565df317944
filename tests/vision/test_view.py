"""What a camera's pictures tell of the camera itself."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest

from core.settings import CameraSettings
from smartsite.demo import scene
from vision.view import ViewWatch


@cache
def drawn(position: float) -> np.ndarray:
    """What the camera sees there, small and grey."""
    picture = scene.view(scene.panorama(), position)
    return cv2.resize(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), (640, 360), interpolation=cv2.INTER_AREA)


def look(position: float = 0.2, *, light: float = 1.0, seed: int = 0) -> np.ndarray:
    """A small Y plane of the drawn site with grain of its own."""
    grey = drawn(position)
    grain = np.random.default_rng(seed).normal(0, 2, grey.shape)
    return (16 + 0.85 * light * grey + grain).clip(0, 255).astype(np.uint8)


def flat(level: float, seed: int) -> np.ndarray:
    return (level + np.random.default_rng(seed).normal(0, 3, (360, 640))).clip(0, 255).astype(np.uint8)


def watch() -> ViewWatch:
    return ViewWatch(frozen_s=60, blind_s=10, shift=0.05)


def test_a_picture_that_stays_the_same_to_the_last_bit_is_frozen() -> None:
    view, picture = watch(), look()
    assert [view.judge(picture, second) for second in (0, 59, 60)] == ["", "", "frozen"]
    assert view.judge(look(seed=1), 61) == ""
    assert [view.judge(look(seed=second), second) for second in (100, 200, 300)] == ["", "", ""]


@pytest.mark.parametrize(("level", "fault"), [(17, "black"), (90, "covered"), (200, "covered")])
def test_a_picture_without_anything_on_it_is_black_or_covered(level: float, fault: str) -> None:
    view = watch()
    assert [view.judge(flat(level, second), second) for second in range(12)] == [""] * 10 + [fault] * 2
    assert view.judge(look(seed=99), 12) == "", "over with the first look that shows something"


@pytest.mark.parametrize("light", [0.2, 0.5])
def test_dusk_is_neither_black_nor_covered_nor_another_view(light: float) -> None:
    view = watch()
    for second in range(30):
        assert view.judge(look(seed=second), second) == ""
    assert {view.judge(look(light=light, seed=second), second) for second in range(30, 120, 5)} == {""}


def test_a_camera_that_was_turned_is_told_and_one_that_is_turned_back_too() -> None:
    view = watch()
    for second in range(30):
        assert view.judge(look(seed=second), second) == ""
    turned = [view.judge(look(0.4, seed=second), second) for second in range(30, 90, 5)]
    assert turned[:6] == [""] * 6
    assert set(turned[6:]) == {"moved"}
    assert view.judge(look(seed=100), 100) == ""


def test_somebody_before_the_camera_does_not_move_it() -> None:
    view = watch()
    for second in range(30):
        view.judge(look(seed=second), second)
    for second in range(30, 120, 5):
        picture = look(seed=second)
        picture[150:360, 3 * second : 3 * second + 90] = 40
        assert view.judge(picture, second) == ""


@pytest.mark.parametrize("begun", [0, 6, 11, 18])
def test_the_patrol_of_the_demo_is_no_turned_camera(begun: int) -> None:
    """It comes back to each end before a turned camera would be told."""
    ends = {place: look(place) for place in {scene.position(begun + second) for second in range(120)}}
    view = ViewWatch(frozen_s=0, blind_s=10, shift=CameraSettings().view_shift)
    told = {view.judge(ends[scene.position(begun + second)], second) for second in range(120)}
    assert told == {""}


def test_everything_can_be_turned_off() -> None:
    view = ViewWatch(frozen_s=0, blind_s=0, shift=0)
    assert {view.judge(flat(17, 0), second) for second in range(0, 500, 50)} == {""}


def test_a_camera_that_is_moved_on_purpose_is_not_told_and_learns_nothing_from_it() -> None:
    view = watch()
    for second in range(30):
        assert view.judge(look(seed=second), second) == ""
    view.quiet(120)
    assert {view.judge(look(0.4, seed=second), second) for second in range(30, 120, 5)} == {""}
    # Whoever brings it back hears nothing; whoever leaves it there is told.
    assert view.judge(look(seed=120), 120) == ""
    left = [view.judge(look(0.4, seed=second), second) for second in range(125, 165, 5)]
    assert left == [""] * 6 + ["moved"] * 2
    view.quiet(200)
    assert view.judge(look(0.4, seed=170), 170) == "", "over as soon as somebody sees to it"


def test_a_camera_that_is_moved_before_its_view_is_known_is_held_against_the_one_that_it_comes_back_to() -> None:
    view = watch()
    view.quiet(50)
    for second in range(30):
        assert view.judge(look(0.4, seed=second), second) == ""
    assert {view.judge(look(seed=second), second) for second in range(50, 150, 2)} == {""}
