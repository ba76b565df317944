"""ultralytics' own predictor behind the detector's interface: .pt files, TensorRT engines, GPUs.

It is the reference that the other detectors are measured against, and the way to a GPU; it needs the extra `yolo`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from core.errors import ConfigurationError
from vision.detections import Detections
from vision.detectors.network import ONE_HEAD, Image, digest, fitting_shape
from vision.yolo import load_ultralytics


class UltralyticsDetector:
    """One model with ultralytics' own letterbox, decoding and suppression."""

    def __init__(self, model: Path, *, threads: int, score: float, input_px: int) -> None:
        """`model` is anything that ultralytics loads; ConfigurationError where it does not."""
        ultralytics = load_ultralytics()
        import torch

        # Its predictor sets the threads of the process to this number.
        ultralytics.utils.torch_utils.NUM_THREADS = threads
        torch.set_num_threads(threads)
        try:
            self._model: Any = ultralytics.YOLO(model, task="detect")
            names: dict[int, str] = self._model.names
            self.name = f"{model.stem}@{digest(model)}"
        except Exception as error:  # whatever torch, pickle or TensorRT make of a broken file
            raise ConfigurationError(
                f"the detector's model {model} is not usable: {error}", hint="name a whole .pt or .engine file"
            ) from error
        self.classes = tuple(names[number] for number in sorted(names))
        self._score = score
        self._input_px = input_px

    def input_shape(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the input that a picture of this size is fitted into."""
        return fitting_shape(height, width, self._input_px)

    def detect(self, image: Image) -> Detections:
        """See `Detector.detect`."""
        boxes = self._model.predict(
            image,
            imgsz=self.input_shape(*image.shape[:2]),
            conf=self._score,
            iou=ONE_HEAD,
            agnostic_nms=True,
            rect=False,
            verbose=False,
        )[0].boxes
        return Detections(
            np.asarray(boxes.xyxy.cpu().numpy(), np.float32),
            np.asarray(boxes.conf.cpu().numpy(), np.float32),
            np.asarray(boxes.cls.cpu().numpy()).astype(np.int16),
        )
