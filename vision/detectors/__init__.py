"""Detectors behind one interface; each is one module of this folder."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from core.settings import VisionSettings
from vision.detections import Detections

MODELS = Path(__file__).parent.parent / "models"
QUICK_MODEL = MODELS / "hardhat-yolo26n-quick.xml"

SCORE_FLOOR = 0.25
"""Weaker boxes are never worth a look; what counts in a vote is decided per camera."""


class Detector(Protocol):
    """Finds objects on one picture at a time; not to be called by two threads at once."""

    name: str
    """Model and version, as it is written beside every episode."""

    classes: tuple[str, ...]
    """Names by class id; the decision knows `head` (bare) and `helmet`."""

    def detect(self, image: npt.NDArray[np.uint8]) -> Detections:
        """Boxes on a BGR picture [height, width, 3], in its pixels."""
        ...


def load_detector(settings: VisionSettings) -> Detector:
    """The detector that the settings name; ConfigurationError where its model is not usable."""
    from vision.detectors.openvino import OpenVinoDetector

    return OpenVinoDetector(settings.model or QUICK_MODEL, threads=settings.threads, score=SCORE_FLOOR)
