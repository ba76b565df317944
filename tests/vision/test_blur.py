from __future__ import annotations

import numpy as np

from vision.blur import RecentHeads, blurred, blurred_live
from vision.detections import Boxes
from vision.frame import Image

NOISE: Image = np.random.default_rng(4).integers(0, 256, (120, 160, 3), np.uint8)
HEAD: Boxes = np.array([[40, 30, 60, 50]], np.float32)


def test_of_a_head_and_its_margin_nothing_but_blocks_is_left() -> None:
    shown = blurred(NOISE, HEAD)
    assert len(np.unique(shown[26:54, 36:64].reshape(-1, 3), axis=0)) <= 36
    changed = (shown != NOISE).any(axis=2)
    changed[26:54, 36:64] = False
    assert not changed.any()


def test_a_live_picture_of_another_size_is_blurred_where_the_head_is_and_wider() -> None:
    shown = blurred_live(NOISE, HEAD * 4, (640, 480))
    changed = (shown != NOISE).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (20, 59, 30, 69)


def test_a_head_that_one_look_misses_is_still_blurred_until_looks_have_not_found_it_for_long() -> None:
    heads = RecentHeads()
    assert heads.boxes().shape == (0, 4)
    none = np.zeros((0, 4), np.float32)
    heads.saw(0, HEAD)
    heads.saw(1_900_000, none)
    assert heads.boxes().tolist() == HEAD.tolist()
    heads.saw(2_100_000, none)
    assert heads.boxes().shape == (0, 4)
