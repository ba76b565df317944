"""Detections without a picture or a model."""

from __future__ import annotations

import numpy as np

from vision.detections import Detections

CLASSES = ("helmet", "head")

Box = tuple[float, float, float, float]


def detections(*boxes: tuple[str, float, Box]) -> Detections:
    """From (class, score, x1 y1 x2 y2)."""
    if not boxes:
        return Detections.empty()
    return Detections(
        np.array([box for _, _, box in boxes], np.float32),
        np.array([score for _, score, _ in boxes], np.float32),
        np.array([CLASSES.index(name) for name, _, _ in boxes], np.int16),
    )


def head(
    x: float = 100, *, score: float = 0.8, size: float = 40, name: str = "head", y: float = 100
) -> tuple[str, float, Box]:
    """One square box with its left edge at `x`."""
    return name, score, (x, y, x + size, y + size)
