"""YOLO networks in OpenVINO form on the CPU, without torch.

The labels are in `rt_info/model_info`. A network whose input's size is open is compiled for every shape that it meets;
cameras have few.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino

from core.errors import ConfigurationError
from core.settings import Precision
from vision.detectors.network import Floats, NetworkDetector, check_ports, digest

_MOST_SHAPES = 12


class OpenVinoDetector(NetworkDetector):
    """One network with one infer request for each shape of its input."""

    def __init__(
        self,
        model: Path,
        *,
        threads: int,
        score: float,
        input_px: int,
        precision: Precision = "f32",
        by_class: bool = False,
    ) -> None:
        """`model` is the .xml beside its .bin; `threads` of inference; boxes below `score` are dropped."""
        self._core = openvino.Core()
        self._model = model
        self._properties: dict[str, int | str] = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
        }
        if precision != "auto":
            # Left to itself OpenVINO computes in bfloat16 where the processor has instructions for it.
            self._properties["INFERENCE_PRECISION_HINT"] = precision
        self._requests: dict[tuple[int, int], openvino.InferRequest] = {}
        try:
            network = self._core.read_model(model)
            labels = str(network.get_rt_info(["model_info", "labels"]).value).split()
            check_ports(
                model,
                [_shape(port) for port in network.inputs],
                [_shape(port) for port in network.outputs],
                len(labels),
            )
            fixed = _shape(network.inputs[0])[2:]
            self._fixed = None if -1 in fixed else (fixed[0], fixed[1])
            name = f"{model.stem}@{digest(model, model.with_suffix('.bin'))}"
            super().__init__(name, tuple(labels), score=score, input_px=input_px, by_class=by_class)
            self._compile(self._fixed or self.input_shape(1080, 1920))
        except (RuntimeError, OSError) as error:
            raise ConfigurationError(
                f"the detector's model {model} is not usable: {_last_line(error)}",
                hint="check that the .xml and its .bin are complete, or leave vision.model empty for the built-in one",
            ) from error

    def input_shape(self, height: int, width: int) -> tuple[int, int]:
        return self._fixed or super().input_shape(height, width)

    def _compile(self, shape: tuple[int, int]) -> openvino.InferRequest:
        # Read again: a network keeps the shape that it was given.
        network = self._core.read_model(self._model)
        if self._fixed is None:
            network.reshape({0: [1, 3, *shape]})
        request = self._core.compile_model(network, "CPU", self._properties).create_infer_request()
        if len(self._requests) >= _MOST_SHAPES:
            del self._requests[next(iter(self._requests))]
        self._requests[shape] = request
        return request

    def _infer(self, picture: Floats) -> Floats:
        shape = (picture.shape[2], picture.shape[3])
        request = self._requests.get(shape) or self._compile(shape)
        request.infer({0: picture}, share_inputs=True)
        return np.asarray(request.get_output_tensor(0).data, np.float32)


def _shape(port: openvino.Output) -> tuple[int, ...]:
    """The port's sizes; -1 where one is left open."""
    return tuple(size.get_length() if size.is_static else -1 for size in port.partial_shape)


def _last_line(error: Exception) -> str:
    """OpenVINO's message without its call stack: the last line says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
