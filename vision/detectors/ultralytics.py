"""ultralytics' own predictor behind the detector's interface: .pt files, TensorRT engines, GPUs.

It is the reference that the other detectors are measured against, and the way to a GPU; it needs the extra `yolo`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from core.errors import ConfigurationError
from vision.detections import ONE_HEAD, Detections
from vision.detectors.network import Image, digest, fitting_shape
from vision.yolo import load_ultralytics


class UltralyticsDetector:
    """One model with ultralytics' own letterbox, decoding and suppression."""

    def __init__(self, model: Path, *, threads: int, score: float, input_px: int, by_class: bool = False) -> None:
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
        self._by_class = by_class
        self._input_px = input_px
        self._predictor = _every_class() if by_class else None

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
            agnostic_nms=not self._by_class,
            rect=False,
            verbose=False,
            predictor=self._predictor,
        )[0].boxes
        return Detections(
            np.asarray(boxes.xyxy.cpu().numpy(), np.float32),
            np.asarray(boxes.conf.cpu().numpy(), np.float32),
            np.asarray(boxes.cls.cpu().numpy()).astype(np.int16),
        )


def _every_class() -> type:
    """A predictor that gives the boxes of each class by themselves, as ultralytics' own validator does."""
    from ultralytics.models.yolo.detect import DetectionPredictor
    from ultralytics.utils.nms import non_max_suppression

    class EveryClass(DetectionPredictor):  # type: ignore[misc]
        def postprocess(self, preds: Any, img: Any, orig_imgs: Any, **kwargs: Any) -> Any:
            found = non_max_suppression(
                preds,
                self.args.conf,
                self.args.iou,
                multi_label=True,
                max_det=self.args.max_det,
                end2end=getattr(self.model, "end2end", False),
            )
            return self.construct_results(found, img, orig_imgs, **kwargs)

    return EveryClass
