"""The built-in model on real photographs; and models that are none."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.errors import ConfigurationError
from core.settings import VisionSettings
from tests.vision.photographs import HEAD_IN_CAMERAMAN, cameraman
from vision.detectors import BUILT_IN, Detector, load_detector, open_detector
from vision.detectors.network import boxes_of, fitting_shape
from vision.detectors.openvino import OpenVinoDetector


@pytest.fixture(scope="module")
def detector() -> Detector:
    return load_detector(VisionSettings())


def photograph(height: int, width: int, share: float) -> np.ndarray:
    """The cameraman, `share` of the frame's height, on a grey wall."""
    side = round(height * share)
    picture = np.full((height, width, 3), (200, 190, 170), np.uint8)
    left = (width - side) // 3
    picture[height - side :, left : left + side] = cameraman(side)
    return picture


@pytest.mark.parametrize(("height", "width"), [(720, 1280), (1080, 1920), (480, 640), (1280, 720)])
def test_a_real_bare_head_is_found_where_it_is(detector: Detector, height: int, width: int) -> None:
    share = 0.5
    found = detector.detect(photograph(height, width, share))
    assert [detector.classes[kind] for kind in found.class_id] == ["head"]
    assert found.score[0] > 0.5
    side = round(height * share)
    left, top = (width - side) // 3, height - side
    expected = [corner + share * side for corner, share in zip((left, top, left, top), HEAD_IN_CAMERAMAN, strict=True)]
    assert found.xyxy[0] == pytest.approx(expected, abs=0.06 * side)


def test_an_empty_wall_has_no_head(detector: Detector) -> None:
    assert len(detector.detect(np.full((720, 1280, 3), 128, np.uint8))) == 0


def test_the_name_tells_model_and_version(detector: Detector) -> None:
    name, _, digest = detector.name.partition("@")
    assert name == BUILT_IN.stem
    assert len(digest) == 8


@pytest.mark.parametrize(
    ("height", "width", "longest", "shape"),
    [
        (1080, 1920, 640, (384, 640)),
        (360, 640, 640, (384, 640)),
        (480, 640, 640, (480, 640)),
        (1280, 720, 640, (640, 384)),
        (321, 480, 480, (320, 480)),  # one pixel of rounding costs no stride
        (500, 500, 416, (416, 416)),
        (10, 2000, 640, (32, 640)),
        (300, 400, 640, (480, 640)),  # enlarged
        (100, 200, 640, (224, 416)),  # but not more than twofold
    ],
)
def test_the_input_fits_the_picture(height: int, width: int, longest: int, shape: tuple[int, int]) -> None:
    assert fitting_shape(height, width, longest) == shape


def test_both_kinds_of_output_say_the_same() -> None:
    without = np.zeros((1, 300, 6), np.float32)
    without[0, 0] = [10, 20, 30, 50, 0.9, 1]
    without[0, 1] = [100, 20, 140, 60, 0.6, 0]
    without[0, 2] = [100, 20, 140, 60, 0.1, 0]
    many = np.zeros((1, 6, 5040), np.float32)
    many[0, :, 7] = [20, 35, 20, 30, 0.2, 0.9]
    many[0, :, 8] = [20, 35, 20, 28, 0.2, 0.7]  # the same head once more
    many[0, :, 9] = [120, 40, 40, 40, 0.6, 0.5]
    for output in (without, many):
        found = boxes_of(output, 0.25)
        assert found.xyxy.tolist() == [[10, 20, 30, 50], [100, 20, 140, 60]]
        assert found.score == pytest.approx([0.9, 0.6])
        assert found.class_id.tolist() == [1, 0]


def test_a_head_has_one_class_unless_each_class_is_asked_for() -> None:
    output = np.zeros((1, 6, 100), np.float32)
    output[0, :, 7] = [20, 35, 20, 30, 0.2, 0.9]
    output[0, :, 8] = [20, 35, 20, 28, 0.6, 0.3]
    assert boxes_of(output, 0.25).class_id.tolist() == [1]
    assert boxes_of(output, 0.25, by_class=True).class_id.tolist() == [1, 0]
    # A place counts for a class that another is likelier than.
    found = boxes_of(output, 0.1, by_class=True)
    assert found.class_id.tolist() == [1, 0]
    assert boxes_of(output[:, :, :8], 0.1, by_class=True).score == pytest.approx([0.9, 0.2])
    assert boxes_of(output[:, :, :8], 0.1).score == pytest.approx([0.9])


def copied(folder: Path) -> Path:
    for path in (BUILT_IN, BUILT_IN.with_suffix(".bin")):
        shutil.copy(path, folder)
    return folder / BUILT_IN.name


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda model: cut(model), id="structure cut off"),
        pytest.param(lambda model: cut(model.with_suffix(".bin")), id="weights cut off"),
        pytest.param(lambda model: model.with_suffix(".bin").unlink(), id="no weights"),
        pytest.param(lambda model: model.unlink(), id="no model"),
        pytest.param(lambda model: model.write_bytes(b"\x00" * 100), id="no XML"),
        pytest.param(
            lambda model: model.write_text(model.read_text().replace("labels value", "lables value")), id="no labels"
        ),
    ],
)
def test_an_unusable_model_is_a_configuration_error_that_names_it(
    tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    model = copied(tmp_path)
    spoil(model)
    with pytest.raises(ConfigurationError, match=rf"{model.stem}\.xml is not usable") as caught:
        OpenVinoDetector(model, threads=1, score=0.25, input_px=640)
    assert caught.value.hint


def test_the_form_is_told_by_the_ending(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nothing is known of models like a\.weights"):
        open_detector(tmp_path / "a.weights", threads=1, score=0.25, input_px=640)


def test_a_network_of_another_trade_is_refused(tmp_path: Path) -> None:
    import openvino
    from openvino import opset13

    picture = opset13.parameter([1, 3, 64, 64], np.float32)
    network = openvino.Model([opset13.reduce_mean(picture, np.array([2, 3]), False)], [picture], "mean")
    network.set_rt_info("helmet head", ["model_info", "labels"])
    openvino.save_model(network, tmp_path / "mean.xml")
    with pytest.raises(ConfigurationError, match=r"neither \[1, n, 6\] nor \[1, 6, n\]"):
        OpenVinoDetector(tmp_path / "mean.xml", threads=1, score=0.25, input_px=640)


def test_pictures_of_many_shapes_take_turns(detector: Detector) -> None:
    """More shapes than are kept compiled, and the first once more."""
    shapes = [(480, 640), (640, 480), (600, 600), (360, 640), (640, 360), (400, 640), (560, 640), (480, 640)]
    for height, width in shapes:
        found = detector.detect(photograph(height, width, 0.5))
        assert [detector.classes[kind] for kind in found.class_id] == ["head"], (height, width)
