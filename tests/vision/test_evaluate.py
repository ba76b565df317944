"""`smartsite vision evaluate`: the run-time detector scored on a folder of labelled pictures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from core.settings import VisionSettings
from smartsite.cli import main
from tests.vision import photographs as made
from vision.detections import Detections
from vision.detectors import load_detector
from vision.evaluate import PHOTOGRAPH_PX, AtBestShape, compare, figures
from vision.labelled import photographs


class Knowing:
    """Finds what the labels of the set say, with the classes numbered the other way round."""

    name = "knowing@00000000"
    classes = ("head", "person", "helmet")

    def __init__(self, folder: Path) -> None:
        self._answers = {photograph.read().image.tobytes(): photograph.read() for photograph in photographs(folder)}

    def input_shape(self, height: int, width: int) -> tuple[int, int]:
        return (height // 2, width // 2)

    def detect(self, image: np.ndarray) -> Detections:
        answer = self._answers[image.tobytes()]
        own = np.array([2, 0], np.int16)[answer.kind]
        return Detections(answer.boxes, np.full(len(own), 0.8, np.float32), own)


def test_a_perfect_detector_scores_one_whatever_its_numbering(tmp_path: Path) -> None:
    folder = made.small_set(tmp_path)
    compared, conditions = compare(Knowing(folder), photographs(folder))
    assert conditions["shapes"] == {"150x200": 6}
    for row in figures(compared, 0.5).values():
        assert (row["ap50"], row["ap30"], row["map"], row["precision"], row["recall"]) == (1, 1, 1, 1, 1)
    # The head is 65 px high, and the network sees half of it.
    head = figures(compared, 0.5)["head"]["buckets"]
    assert (list(head["picture_px"]), list(head["input_px"])) == (["64-128"], ["32-64"])


def test_frames_of_a_camera_are_looked_at_as_production_does() -> None:
    usual, larger = (load_detector(VisionSettings(input_px=px)) for px in (640, PHOTOGRAPH_PX))
    detector = AtBestShape(usual, larger)
    assert detector.input_shape(1080, 1920) == usual.input_shape(1080, 1920) == (384, 640)
    assert detector.input_shape(480, 640) == larger.input_shape(480, 640) != usual.input_shape(480, 640)


class Undecided(Knowing):
    """Holds every head for bare and, less surely, for helmeted, and the other way round."""

    def detect(self, image: np.ndarray) -> Detections:
        sure = super().detect(image)
        other = Detections(sure.xyxy, sure.score - np.float32(0.2), (2 - sure.class_id).astype(np.int16))
        return Detections(*(np.concatenate(pair) for pair in zip(_arrays(sure), _arrays(other), strict=True)))


def _arrays(found: Detections) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return found.xyxy, found.score, found.class_id


def test_at_work_a_head_has_one_class_and_in_average_precision_each_class_its_boxes(tmp_path: Path) -> None:
    folder = made.small_set(tmp_path)
    compared, _ = compare(Undecided(folder), photographs(folder))
    for row in figures(compared, 0.5).values():
        assert (row["precision"], row["recall"]) == (1, 1)
        assert row["ap50"] == 1  # the unsure ones come after all right ones
    assert all(len(one.found) == 2 * len(one.boxes) for one in compared)


def test_the_command_scores_the_built_in_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = made.small_set(tmp_path)
    assert main(["vision", "evaluate", "--data", str(folder), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["photographs"] == 6
    height, width = load_detector(VisionSettings(input_px=PHOTOGRAPH_PX)).input_shape(300, 400)
    assert report["input"] == {f"{height}x{width}": 6}
    assert set(report["classes"]) == {"helmet", "head"}
    for row in report["classes"].values():
        assert {"ap50", "ap30", "map", "precision", "recall", "buckets"} <= set(row)
        assert 0 <= row["ap50"] <= row["ap30"] <= 1
    assert report["classes"]["head"]["ap50"] > 0.4


def test_the_command_speaks_in_words_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = made.small_set(tmp_path)
    assert main(["vision", "evaluate", "--data", str(folder), "--half", "tuning", "--input-px", "320"]) == 0
    text = capsys.readouterr().out
    height, width = load_detector(VisionSettings(input_px=320)).input_shape(300, 400)
    assert f"inputs {height}x{width}," in text
    assert "precision" in text


def test_what_cannot_be_evaluated_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vision", "evaluate", "--data", str(tmp_path / "nowhere")]) == 1
    assert "no folder `images`" in capsys.readouterr().err
    folder = made.small_set(tmp_path)
    shutil.copy(folder / "images" / "man-0.png", tmp_path / "model.gif")
    assert main(["vision", "evaluate", "--data", str(folder), "--model", str(tmp_path / "model.gif")]) == 78
    assert "model.gif" in capsys.readouterr().err
