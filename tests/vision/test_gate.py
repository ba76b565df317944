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
