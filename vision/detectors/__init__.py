"""Detectors behind one interface; each is one module of this folder."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from core.errors import ConfigurationError
from core.settings import Precision, VisionSettings
from vision.detections import Detections

MODELS = Path(__file__).parent.parent / "models"
BUILT_IN = MODELS / "hardhat-yolo26n.xml"

SCORE_FLOOR = 0.25
"""Weaker boxes are never worth a look; what counts in a vote is decided per camera."""


class Detector(Protocol):
    """Finds objects on one picture at a time; not to be called by two threads at once."""

    name: str
    """Model and version, as it is written beside every episode."""

    classes: tuple[str, ...]
    """Names by class id; the decision knows `head` (bare) and `helmet`."""

    def input_shape(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the network's input for a picture of this size."""
        ...

    def detect(self, image: npt.NDArray[np.uint8]) -> Detections:
        """Boxes on a BGR picture [height, width, 3], in its pixels."""
        ...


def load_detector(settings: VisionSettings) -> Detector:
    """The detector that the settings name; ConfigurationError where its model is not usable."""
    return open_detector(
        settings.model or BUILT_IN,
        threads=settings.threads,
        score=SCORE_FLOOR,
        input_px=settings.input_px,
        precision=settings.precision,
    )


def open_detector(
    model: Path,
    *,
    threads: int,
    score: float,
    input_px: int,
    precision: Precision = "f32",
    by_class: bool = False,
) -> Detector:
    """The detector for a model's form, told by the file's ending; ConfigurationError where it is not usable.

    It gives one box a head or, `by_class`, the strongest of each class: what average precision is measured on.
    """
    if model.suffix == ".xml":
        from vision.detectors.openvino import OpenVinoDetector

        return OpenVinoDetector(
            model, threads=threads, score=score, input_px=input_px, precision=precision, by_class=by_class
        )
    if model.suffix == ".onnx":
        from vision.detectors.onnx import OnnxDetector

        return OnnxDetector(model, threads=threads, score=score, input_px=input_px, by_class=by_class)
    if model.suffix in {".pt", ".engine"}:
        from vision.detectors.ultralytics import UltralyticsDetector

        return UltralyticsDetector(model, threads=threads, score=score, input_px=input_px, by_class=by_class)
    raise ConfigurationError(
        f"nothing is known of models like {model.name}",
        hint="name an OpenVINO .xml, an .onnx, a .pt or a TensorRT .engine",
    )
