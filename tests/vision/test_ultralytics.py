"""With the real ultralytics: training, resuming, export, and the same boxes from every form of the same weights."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from core.errors import ConfigurationError, InvalidInput
from smartsite.cli import main
from tests.vision import photographs as made
from vision.detections import Detections, pairwise_iou
from vision.detectors import BUILT_IN, Detector, open_detector

WEIGHTS = BUILT_IN.with_suffix(".pt")

pytestmark = [
    pytest.mark.needs("yolo"),
    # torch, onnx and nncf warn of each other's and their own old ways.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The committed weights in every form, exported by the command."""
    folder = tmp_path_factory.mktemp("forms")
    photos = made.small_set(folder / "photos")
    made_of = {"pt": WEIGHTS, "built-in": BUILT_IN}
    for name, file, more in (
        ("onnx", "model.onnx", []),
        ("fp32", "fp32.xml", ["--precision", "fp32"]),
        ("fp16", "fp16.xml", []),
        ("int8", "int8.xml", ["--precision", "int8", "--data", str(photos)]),
    ):
        made_of[name] = folder / file
        assert main(["vision", "export", "--weights", str(WEIGHTS), "--out", str(made_of[name]), *more]) == 0
    return made_of


def opened(path: Path, *, score: float = 0.3, by_class: bool = False) -> Detector:
    return open_detector(path, threads=1, score=score, input_px=640, by_class=by_class)


def pictures() -> dict[str, np.ndarray]:
    import ultralytics

    assets = Path(ultralytics.__file__).parent / "assets"
    return {
        "cameraman": cv2.cvtColor(data.camera(), cv2.COLOR_GRAY2BGR),
        "astronaut": cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR),
        "zidane": cv2.imread(str(assets / "zidane.jpg")),
        "bus": cv2.imread(str(assets / "bus.jpg")),
    }


def assert_same(found: Detections, expected: Detections, *, px: float, score: float, least: float) -> None:
    """Every box whose score is clear of the threshold is in both, at the same place, of the same class."""
    for one, other in ((found, expected), (expected, found)):
        for box, value, kind in zip(one.xyxy, one.score, one.class_id, strict=True):
            if value < least + score:
                continue
            overlap = pairwise_iou(box[None], other.xyxy)[0]
            assert len(overlap), f"nothing at {box}"
            nearest = int(overlap.argmax())
            assert other.xyxy[nearest] == pytest.approx(box, abs=px)
            assert other.score[nearest] == pytest.approx(value, abs=score)
            assert other.class_id[nearest] == kind


@pytest.mark.parametrize(("form", "px", "score"), [("onnx", 1.5, 0.02), ("fp32", 1.5, 0.02), ("fp16", 1.5, 0.02)])
def test_every_form_finds_the_boxes_of_ultralytics(forms: dict[str, Path], form: str, px: float, score: float) -> None:
    reference, detector = opened(forms["pt"]), opened(forms[form])
    assert detector.classes == reference.classes == ("helmet", "head")
    boxes = 0
    for picture in pictures().values():
        assert detector.input_shape(*picture.shape[:2]) == reference.input_shape(*picture.shape[:2])
        expected = reference.detect(picture)
        boxes += len(expected)
        assert_same(detector.detect(picture), expected, px=px * max(picture.shape) / 640, score=score, least=0.3)
    assert boxes >= 4


def test_average_precision_takes_the_boxes_that_ultralytics_would(forms: dict[str, Path]) -> None:
    """Each class by itself, down to scores that say hardly anything."""
    reference, detector = (opened(forms[form], score=0.02, by_class=True) for form in ("pt", "fp32"))
    shared = 0
    for picture in pictures().values():
        expected, found = reference.detect(picture), detector.detect(picture)
        for kind in (0, 1):
            one, other = (boxes[boxes.class_id == kind] for boxes in (found, expected))
            assert_same(one, other, px=3 * max(picture.shape) / 640, score=0.02, least=0.03)
        overlaps = pairwise_iou(expected[expected.class_id == 0].xyxy, expected[expected.class_id == 1].xyxy)
        shared += int((overlaps > 0.9).sum())
    assert shared, "no head was taken for both"


def test_eight_bits_find_the_same_heads_roughly(forms: dict[str, Path]) -> None:
    reference = opened(forms["pt"])
    for name in ("int8", "built-in"):
        size, double = (forms[form].with_suffix(".bin").stat().st_size for form in (name, "fp16"))
        assert size < 0.65 * double
        picture = pictures()["cameraman"]
        assert_same(opened(forms[name]).detect(picture), reference.detect(picture), px=12, score=0.25, least=0.3)


def test_training_runs_is_cut_short_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    folder = made.small_set(tmp_path / "photos")
    out = tmp_path / "run"
    command = ["vision", "train", "--data", str(folder), "--weights", str(WEIGHTS), "--out", str(out)]
    command += ["--size", "64", "--batch", "4", "--workers", "0", "--threads", "1"]
    assert main([*command, "--epochs", "1"]) == 0
    assert torch.load(out / "last.pt", weights_only=True)["state"]["step"] == 3
    assert main([*command, "--epochs", "2", "--resume"]) == 0
    kept = torch.load(out / "last.pt", weights_only=True)
    assert kept["state"]["step"] == 6
    assert "finished after 6 steps" in capsys.readouterr().out
    start = torch.load(WEIGHTS, weights_only=False)["model"].state_dict()
    trained = torch.load(out / "weights.pt", weights_only=False)["model"].state_dict()
    assert start.keys() == trained.keys()
    assert any(not torch.equal(start[name], trained[name]) for name in start)
    for secret in (str(WEIGHTS), str(tmp_path)):
        assert secret.encode() not in (out / "weights.pt").read_bytes(), "weights tell of the machine"
    # ultralytics loads what was trained.
    assert len(opened(out / "weights.pt").detect(made.cameraman(320))) <= 5


def test_training_is_bounded_by_time(tmp_path: Path) -> None:
    from vision.training.train import TrainingPlan, train

    folder = made.small_set(tmp_path / "photos")
    ticks = iter(range(0, 10**6, 60))  # every look at the clock finds a minute gone
    said: list[str] = []
    plan = TrainingPlan(
        [folder], WEIGHTS, tmp_path / "run", epochs=1000, hours=0.1, size=64, batch=4, workers=0, threads=1
    )
    train(plan, resume=False, say=said.append, monotonic=lambda: float(next(ticks)))
    assert said[-1].startswith("finished after 6 steps, 0.10 h")
    assert any("pictures/s" in line for line in said)


def test_what_cannot_be_trained_or_exported_is_explained(tmp_path: Path) -> None:
    from vision.training.export import export
    from vision.training.train import TrainingPlan, train

    folder = made.small_set(tmp_path / "photos")
    with pytest.raises(InvalidInput, match=r"no .*last\.pt"):
        train(TrainingPlan([folder], WEIGHTS, tmp_path / "run"), resume=True, say=lambda _: None)
    with pytest.raises(ConfigurationError, match=r"no weights at .*none\.pt"):
        train(TrainingPlan([folder], tmp_path / "none.pt", tmp_path / "run"), resume=False, say=lambda _: None)
    with pytest.raises(InvalidInput, match="int8 needs photographs"):
        export(WEIGHTS, tmp_path / "a.xml", precision="int8", input_px=640)
    with pytest.raises(InvalidInput, match="is for OpenVINO"):
        export(WEIGHTS, tmp_path / "a.onnx", precision="fp16", input_px=640)
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(ConfigurationError, match=r"broken\.pt"):
        opened(broken)


def test_average_precision_is_that_of_ultralytics() -> None:
    """On the same boxes; ultralytics reads precision by another interpolation, hence the tolerance."""
    from ultralytics.utils.metrics import ap_per_class

    from tests.vision.test_scoring import scene
    from vision.scoring import average_precision, matches

    compared = scene(np.random.default_rng(5), 200, 3.0)
    hits, scores, classes, labels = [], [], [], []
    for picture in compared:
        hit = np.zeros(len(picture.found), bool)
        for kind in (0, 1):
            mine = picture.found.class_id == kind
            hit[mine] = matches(picture.found[mine], picture.boxes[picture.kind == kind], 0.5) >= 0
        hits.append(hit)
        scores.append(picture.found.score)
        classes.append(picture.found.class_id)
        labels.append(picture.kind)
    result = ap_per_class(
        np.concatenate(hits)[:, None], np.concatenate(scores), np.concatenate(classes), np.concatenate(labels)
    )
    for kind in (0, 1):
        assert average_precision(compared, kind, 0.5) == pytest.approx(float(result[5][kind, 0]), abs=0.01)
