"""Folders of labelled photographs: what is read, what is refused, which half a photograph belongs to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.errors import InvalidInput
from tests.vision import photographs as made
from vision.labelled import Photograph, photographs


def test_boxes_are_read_in_pixels(tmp_path: Path) -> None:
    made.write(tmp_path, "one", np.zeros((100, 200, 3), np.uint8), [(1, 0.1, 0.2, 0.5, 0.6), (0, 0, 0, 1, 1)])
    (photograph,) = photographs(tmp_path)
    picture = photograph.read()
    assert picture.image.shape == (100, 200, 3)
    assert picture.boxes == pytest.approx(np.array([[20, 20, 100, 60], [0, 0, 200, 100]]), abs=1e-3)
    assert picture.kind.tolist() == [1, 0]


def test_a_picture_without_label_file_has_no_heads(tmp_path: Path) -> None:
    made.write(tmp_path, "empty", np.zeros((10, 10, 3), np.uint8), [])
    (tmp_path / "labels" / "empty.txt").unlink()
    (photograph,) = photographs(tmp_path)
    assert photograph.read().boxes.shape == (0, 4)


@pytest.mark.parametrize(
    "line", ["2 .5 .5 .1 .1", "0 .5 .5 .1", "0 1.5 .5 .1 .1", "0 .5 .5 0 .1", "head .5 .5 .1 .1", "nan nan nan nan nan"]
)
def test_a_wrong_label_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    made.write(tmp_path, "one", np.zeros((10, 10, 3), np.uint8), [(0, 0, 0, 1, 1)])
    path = tmp_path / "labels" / "one.txt"
    path.write_text(path.read_text() + "\n" + line + "\n")
    with pytest.raises(InvalidInput, match=r"one\.txt:2"):
        photographs(tmp_path)


def test_what_is_no_folder_of_photographs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="images"):
        photographs(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(InvalidInput, match="no pictures"):
        photographs(tmp_path)
    (tmp_path / "images" / "broken.png").write_bytes(b"\x89PNG")
    (broken,) = photographs(tmp_path)
    with pytest.raises(InvalidInput, match=r"broken\.png"):
        broken.read()


def test_halves_are_fixed_by_the_name_and_about_equal(tmp_path: Path) -> None:
    halves = [Photograph(Path(f"somewhere/photo-{number}.jpg"), ()).half for number in range(400)]
    assert 150 < halves.count("test") < 250
    # Whoever measured on the test half must find the same photographs in it tomorrow.
    of_letters = {name: Photograph(Path(f"{name}.webp"), ()).half for name in "abcdefg"}
    assert [name for name, half in of_letters.items() if half == "test"] == ["e", "f", "g"]
    made.small_set(tmp_path)
    together = {photograph.path for half in ("tuning", "test") for photograph in photographs(tmp_path, half)}  # type: ignore[arg-type]
    assert together == {photograph.path for photograph in photographs(tmp_path)}
