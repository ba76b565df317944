"""`smartsite vision evaluate`: the run-time detector scored on a folder of labelled pictures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from core.settings import VisionSettings
from smartsite.cli import main
from tests.vision import photographs as made
from vision.detections import Detections
from vision.detectors import load_detector
from vision.evaluate import PHOTOGRAPH_PX, AtBestShape, compare, figures
from vision.labelled import photographs
from vision.mistakes import mistakes, new_folder, write


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


def test_average_precision_counts_boxes_of_the_weakest_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As ultralytics' `val` does: from 0.001, not from where production begins."""
    seen: list[float] = []

    def noted(*given: Any) -> Any:
        result = compare(*given)
        seen.extend(score for one in result[0] for score in one.found.score.tolist())
        return result

    monkeypatch.setattr("vision.evaluate.compare", noted)
    assert main(["vision", "evaluate", "--data", str(made.small_set(tmp_path)), "--input-px", "320"]) == 0
    assert 0.001 <= min(seen) < 0.005
    assert capsys.readouterr().out


class Mistaken(Knowing):
    """Sees every label but that of the first picture, takes helmets for bare heads, and one head too many."""

    def detect(self, image: np.ndarray) -> Detections:
        right = super().detect(image)
        if image.tobytes() == self.first:
            return Detections.empty()
        boxes = np.concatenate([right.xyxy, np.array([[2, 2, 30, 40]], np.float32)])
        return Detections(boxes, np.array([0.8, 0.7], np.float32), np.array([0, 0], np.int16))


def test_mistakes_are_told_with_what_is_there_instead(tmp_path: Path) -> None:
    folder = made.small_set(tmp_path / "set")
    detector, given = Mistaken(folder), photographs(folder)
    detector.first = given[0].read().image.tobytes()
    compared, _ = compare(detector, given)
    found = mistakes(compared, 0.5, 50)
    told = [(one.picture, one.kind, one.label, one.score, one.instead) for one in found]
    helmets, all_but_first = ["man-2.png", "man-4.png"], [f"man-{number}.png" for number in range(1, 6)]
    assert sorted(told, key=str) == sorted(
        [("man-0.png", "missed", "helmet", None, "")]
        + [(name, "missed", "helmet", None, "head") for name in helmets]
        + [(name, "wrong", "head", 0.8, "helmet") for name in helmets]
        + [(name, "wrong", "head", 0.7, "") for name in all_but_first],
        key=str,
    )
    scores = [one.score for one in found if one.kind == "wrong"]
    assert scores == sorted(scores, reverse=True), "the strongest first"
    assert len(mistakes(compared, 0.5, 1)) == 2
    assert not [one for one in mistakes(compared, 0.75, 50) if one.score == 0.7]

    write(new_folder(tmp_path / "out"), found, given)
    rows = json.loads((tmp_path / "out" / "mistakes.json").read_text())
    assert [row["piece"] for row in rows if row["kind"] == "wrong"] == [
        f"head-wrong-{rank:03}.jpg" for rank in range(1, 8)
    ]
    for row in rows:
        piece = cv2.imread(str(tmp_path / "out" / row["piece"])).astype(int)
        red, green = piece[..., 2] - piece[..., 1], piece[..., 1] - piece[..., 2]
        assert (red > 100).any() == (row["kind"] == "wrong")
        assert (green > 60).any() or not (row["kind"] == "missed" or row["instead"])


def test_the_command_writes_mistakes_into_a_new_folder_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = made.small_set(tmp_path / "set")
    command = ["vision", "evaluate", "--data", str(folder), "--input-px", "320", "--score", "0.05"]
    assert main([*command, "--mistakes", str(tmp_path / "out")]) == 0
    assert len(list((tmp_path / "out").glob("*.jpg"))) == len(json.loads((tmp_path / "out/mistakes.json").read_text()))
    capsys.readouterr()
    assert main([*command, "--mistakes", str(tmp_path / "out")]) == 78
    assert "is not empty" in capsys.readouterr().err


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
