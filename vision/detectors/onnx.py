"""YOLO networks in ONNX form through ONNX Runtime, on the CPU."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np

from core.errors import ConfigurationError
from vision.detectors.network import Floats, NetworkDetector, check_ports, digest


class OnnxDetector(NetworkDetector):
    """One session; the class names are in the file's metadata as ultralytics writes them."""

    def __init__(self, model: Path, *, threads: int, score: float, input_px: int, by_class: bool = False) -> None:
        """`model` is the .onnx; ConfigurationError where it is not usable or ONNX Runtime is not installed."""
        try:
            import onnxruntime
        except ImportError as error:
            raise ConfigurationError(
                f"ONNX Runtime, which {model} needs, is not installed",
                hint="pip install 'smartsite[onnx]', or use an OpenVINO model (.xml)",
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that spin between two pictures would take the capture processes' time.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                model.read_bytes(), options, providers=["CPUExecutionProvider"]
            )
            names = ast.literal_eval(self._session.get_modelmeta().custom_metadata_map["names"])
        except (OSError, KeyError, ValueError, SyntaxError, RuntimeError) as error:
            raise ConfigurationError(
                f"the detector's model {model} is not usable: {str(error).splitlines()[0] if str(error) else error!r}",
                hint="make it with `smartsite vision export --form onnx`",
            ) from error
        classes = tuple(names[number] for number in sorted(names))
        ports = [
            [_sizes(port.shape) for port in some] for some in (self._session.get_inputs(), self._session.get_outputs())
        ]
        check_ports(model, ports[0], ports[1], len(classes))
        fixed = ports[0][0][2:]
        self._fixed = None if -1 in fixed else (fixed[0], fixed[1])
        self._input = self._session.get_inputs()[0].name
        super().__init__(f"{model.stem}@{digest(model)}", classes, score=score, input_px=input_px, by_class=by_class)

    def input_shape(self, height: int, width: int) -> tuple[int, int]:
        return self._fixed or super().input_shape(height, width)

    def _infer(self, picture: Floats) -> Floats:
        return np.asarray(self._session.run(None, {self._input: picture})[0], np.float32)


def _sizes(shape: list[int | str]) -> tuple[int, ...]:
    """A port's sizes; -1 where one has a name instead of a number."""
    return tuple(size if isinstance(size, int) else -1 for size in shape)
