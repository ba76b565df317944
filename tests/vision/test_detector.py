"""The built-in model on a real photograph; and models that are none."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from core.errors import ConfigurationError
from core.settings import VisionSettings
from vision.detectors import QUICK_MODEL, Detector, load_detector
from vision.detectors.openvino import OpenVinoDetector


@pytest.fixture(scope="module")
def detector() -> Detector:
    return load_detector(VisionSettings())


def photograph(height: int, width: int, share: float) -> np.ndarray:
    """scikit-image's CC0 cameraman, `share` of the frame's height, on a grey wall."""
    side = round(height * share)
    man = cv2.resize(cv2.cvtColor(data.camera(), cv2.COLOR_GRAY2BGR), (side, side), interpolation=cv2.INTER_AREA)
    picture = np.full((height, width, 3), (200, 190, 170), np.uint8)
    left = (width - side) // 3
    picture[height - side :, left : left + side] = man
    return picture


@pytest.mark.parametrize(("height", "width"), [(720, 1280), (1080, 1920), (480, 640), (1280, 720)])
def test_a_real_bare_head_is_found_where_it_is(detector: Detector, height: int, width: int) -> None:
    share = 0.5
    found = detector.detect(photograph(height, width, share))
    assert [detector.classes[kind] for kind in found.class_id] == ["head"]
    assert found.score[0] > 0.5
    # In the photograph of 512 x 512 the head is at 160..272, 62..200.
    side = round(height * share)
    left, top, scale = (width - side) // 3, height - side, side / 512
    expected = [left + 160 * scale, top + 62 * scale, left + 272 * scale, top + 200 * scale]
    assert found.xyxy[0] == pytest.approx(expected, abs=0.06 * side)


def test_an_empty_wall_has_no_head(detector: Detector) -> None:
    assert len(detector.detect(np.full((720, 1280, 3), 128, np.uint8))) == 0


def test_the_name_tells_model_and_version(detector: Detector) -> None:
    name, _, digest = detector.name.partition("@")
    assert name == "hardhat-yolo26n-quick"
    assert len(digest) == 8


def copied(folder: Path) -> Path:
    for path in (QUICK_MODEL, QUICK_MODEL.with_suffix(".bin")):
        shutil.copy(path, folder)
    return folder / QUICK_MODEL.name


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
def test_an_unusable_model_is_a_configuration_error_that_names_it(tmp_path: Path, spoil: object) -> None:
    model = copied(tmp_path)
    spoil(model)  # type: ignore[operator]
    with pytest.raises(ConfigurationError, match=r"hardhat-yolo26n-quick\.xml is not usable") as caught:
        OpenVinoDetector(model, threads=1, score=0.25)
    assert caught.value.hint
