from __future__ import annotations

import av
import numpy as np
import pytest

from vision.gate import MotionGate
from vision.planes import Scaler

SHAPE = (1080, 1920)


def small(picture: np.ndarray) -> np.ndarray:
    """The brightness at the size for a look, as the capture process makes it."""
    colour = np.repeat(picture[..., None], 3, axis=2)
    return Scaler(640).small(av.VideoFrame.from_ndarray(colour, format="bgr24")).luma


def scene(seed: int = 0) -> np.ndarray:
    """A grey wall with sensor noise."""
    noise = np.random.default_rng(seed).normal(0, 4, SHAPE)
    return (110 + noise).clip(0, 255).astype(np.uint8)


def with_person(seed: int = 1) -> np.ndarray:
    picture = scene(seed)
    picture[500:555, 900:920] = 40
    return picture


@pytest.mark.parametrize(
    ("second", "picture", "passes"),
    [
        pytest.param(1, scene(1), False, id="noise is no change"),
        pytest.param(1, (scene(1) + 12).astype(np.uint8), False, id="a cloud before the sun neither"),
        pytest.param(1, with_person(), True, id="a person of 20 x 55 pixels is"),
        pytest.param(30, scene(1), True, id="a forced look"),
        pytest.param(1, scene(1)[:, :1440], True, id="another size"),
    ],
)
def test_gate(second: float, picture: np.ndarray, passes: bool) -> None:
    gate = MotionGate(share=0.0003, look_s=30)
    assert gate.passes(small(scene()), 0)
    assert gate.passes(small(picture), second) is passes


def weather(random: np.random.Generator, *, grain: float = 4, streaks: int = 0, haze: float = 0) -> np.ndarray:
    """Another moment of a hall front in the weather, as luma of a small stream [360, 640]."""
    picture = np.full((360, 640), 90.0)
    picture[:, ::40] = picture[::60] = 180
    for x, y in zip(random.integers(0, 640, streaks), random.integers(0, 340, streaks), strict=True):
        picture[y : y + 14, x] = 210
    picture = picture * (1 - haze) + 200 * haze
    return (picture + random.normal(0, grain, picture.shape)).clip(0, 255).astype(np.uint8)


def standing(picture: np.ndarray, level: float) -> np.ndarray:
    """The same with somebody of 110 pixels in it, a head of 18."""
    picture = picture.copy()
    picture[200:310, 300:330] = np.uint8(level)
    return picture


@pytest.mark.parametrize(
    ("conditions", "contrast", "level"),
    [
        pytest.param({}, 90, 40, id="clear"),
        pytest.param({"grain": 12}, 90, 40, id="noise"),
        pytest.param({"streaks": 250}, 90, 40, id="rain"),
        pytest.param({"streaks": 900}, 90, 40, id="downpour"),
        pytest.param({"grain": 1.5, "haze": 0.8}, 18, 168, id="haze"),
    ],
)
def test_weather_is_no_motion_and_hides_none(conditions: dict[str, float], contrast: float, level: float) -> None:
    random = np.random.default_rng(3)
    gate = MotionGate(share=0.0003, look_s=1000)
    assert gate.passes(weather(random, **conditions), 0, contrast=contrast)  # type: ignore[arg-type]
    still = [gate.passes(weather(random, **conditions), 1, contrast=contrast) for _ in range(20)]  # type: ignore[arg-type]
    assert sum(still) <= 1, still
    for _ in range(5):
        somebody = standing(weather(random, **conditions), level)  # type: ignore[arg-type]
        assert gate.passes(somebody, 1, contrast=contrast)
        assert gate.passes(weather(random, **conditions), 1, contrast=contrast)  # type: ignore[arg-type]


@pytest.mark.parametrize("grain", [2, 3, 8])
def test_the_noise_is_measured(grain: float) -> None:
    random = np.random.default_rng(2)
    gate = MotionGate(share=0, look_s=30)
    for second in range(2):
        gate.passes(standing(weather(random, grain=grain), 40 + 100 * second), second)
    assert gate.noise == pytest.approx(grain, rel=0.15)


def test_a_slow_change_adds_up() -> None:
    gate = MotionGate(share=0.0003, look_s=1000)
    results = []
    for step in range(8):
        picture = scene(0)
        picture[400:700, 800:1000] += np.uint8(step * 10)
        results.append(gate.passes(small(picture), step))
    assert sum(results) == 3


def test_share_zero_passes_everything() -> None:
    gate = MotionGate(share=0, look_s=30)
    assert [gate.passes(small(scene()), second) for second in range(3)] == [True] * 3
