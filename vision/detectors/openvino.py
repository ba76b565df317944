"""YOLO models in OpenVINO form on the CPU, without torch.

The model says itself what it is: labels in `rt_info/model_info`, the input's size in its shape. Its head is NMS-free
(YOLO26): one output [1, n, 6] of x1, y1, x2, y2 in input pixels, score, class.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import openvino

from core.errors import ConfigurationError
from vision.detections import Detections

_GREY = 114  # what the letterbox is filled with in training
_ONE_HEAD = 0.6  # boxes that overlap by more are the same head

# The pools of OpenCV and of the detector would fight over the same few cores.
cv2.setNumThreads(1)


class OpenVinoDetector:
    """One compiled model with one infer request."""

    def __init__(self, model: Path, *, threads: int, score: float) -> None:
        """`model` is the .xml beside its .bin; `threads` of inference; boxes below `score` are dropped."""
        core = openvino.Core()
        try:
            network = core.read_model(model)
            compiled = core.compile_model(
                network, "CPU", {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
            )
            labels = str(network.get_rt_info(["model_info", "labels"]).value)
        except RuntimeError as error:
            raise ConfigurationError(
                f"the detector's model {model} is not usable: {_first_line(error)}",
                hint="check that the .xml and its .bin are complete, or leave vision.model empty for the built-in one",
            ) from error
        self.classes = tuple(labels.split())
        self.name = f"{model.stem}@{_digest(model)}"
        self._score = score
        self._height, self._width = _input_size(compiled, model)
        self._request = compiled.create_infer_request()
        self._input = np.empty((1, 3, self._height, self._width), np.float32)
        self._canvas = np.full((self._height, self._width, 3), _GREY, np.uint8)

    def detect(self, image: npt.NDArray[np.uint8]) -> Detections:
        """See `Detector.detect`."""
        scale, left, top = self._letterbox(image)
        self._request.infer({0: self._input}, share_inputs=True)
        rows = self._request.get_output_tensor(0).data[0]
        rows = rows[rows[:, 4] >= self._score]
        height, width = image.shape[:2]
        xyxy = (rows[:, :4] - np.array([left, top, left, top], np.float32)) / np.float32(scale)
        xyxy[:, 0::2] = xyxy[:, 0::2].clip(0, width)
        xyxy[:, 1::2] = xyxy[:, 1::2].clip(0, height)
        found = Detections(xyxy, rows[:, 4].copy(), rows[:, 5].astype(np.int16))
        return found.without_overlaps(_ONE_HEAD)

    def _letterbox(self, image: npt.NDArray[np.uint8]) -> tuple[float, int, int]:
        """Fill the input with the picture, scaled to fit and centred; return scale, left and top margin."""
        height, width = image.shape[:2]
        scale = min(self._width / width, self._height / height)
        inner_width, inner_height = max(1, round(width * scale)), max(1, round(height * scale))
        left, top = (self._width - inner_width) // 2, (self._height - inner_height) // 2
        self._canvas[:] = _GREY
        inner = self._canvas[top : top + inner_height, left : left + inner_width]
        cv2.resize(image, (inner_width, inner_height), dst=inner, interpolation=cv2.INTER_LINEAR)
        # BGR bytes to RGB planes 0..1 in one pass over each plane.
        for channel in range(3):
            np.multiply(self._canvas[:, :, 2 - channel], np.float32(1 / 255), out=self._input[0, channel])
        return scale, left, top


def _input_size(compiled: openvino.CompiledModel, model: Path) -> tuple[int, int]:
    """Height and width of the input; ConfigurationError where input or output is not this module's."""
    shapes = [_shape(port) for port in compiled.inputs]
    outputs = [_shape(port) for port in compiled.outputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][:2] != (1, 3):
        raise ConfigurationError(f"the detector's model {model} takes {shapes}", hint="export it with batch=1")
    if len(outputs) != 1 or len(outputs[0]) != 3 or outputs[0][2] != 6:
        raise ConfigurationError(
            f"the detector's model {model} gives {outputs}, not [1, n, 6]", hint="export it with its NMS-free head"
        )
    return int(shapes[0][2]), int(shapes[0][3])


def _shape(port: openvino.ConstOutput) -> tuple[int, ...]:
    """The port's sizes; empty where they are left open."""
    shape = port.partial_shape
    return tuple(shape.to_shape()) if shape.is_static else ()


def _digest(model: Path) -> str:
    """First 8 hex digits of the SHA-256 of structure and weights."""
    digest = hashlib.sha256(model.read_bytes())
    digest.update(model.with_suffix(".bin").read_bytes())
    return digest.hexdigest()[:8]


def _first_line(error: Exception) -> str:
    """OpenVINO's message without its call stack: the last line says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
