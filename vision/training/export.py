"""A trained .pt in the forms that run without torch: OpenVINO (FP32, FP16, INT8) and ONNX."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from core.errors import ConfigurationError, InvalidInput
from vision.detectors.network import Floats, Preparation, fitting_shape
from vision.labelled import Photograph
from vision.yolo import load_ultralytics

Precision = Literal["fp32", "fp16", "int8"]
_CALIBRATION = 300  # photographs; more change nothing


def export(
    weights: Path, out: Path, *, precision: Precision, input_px: int, calibration: Sequence[Photograph] = ()
) -> Path:
    """Write `out` (.xml with its .bin, or .onnx) with the one-to-many head and an input of open size.

    int8 is for OpenVINO and takes its ranges from the `calibration` photographs, fitted into inputs of `input_px`.
    Raises InvalidInput where form and precision do not go together, ConfigurationError where weights or extra lack.
    """
    if out.suffix not in {".xml", ".onnx"}:
        raise InvalidInput(f"{out.name} is no form that can be written", hint="end it in .xml (OpenVINO) or .onnx")
    if out.suffix == ".onnx" and precision != "fp32":
        raise InvalidInput(f"{precision} is for OpenVINO", hint="leave --precision away for ONNX")
    if precision == "int8" and not calibration:
        raise InvalidInput("int8 needs photographs to take its ranges from", hint="name a folder with --data")
    if not weights.is_file():
        raise ConfigurationError(f"there are no weights at {weights}", hint="name a .pt file")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="smartsite-export-") as folder:
        copy = Path(folder) / f"{out.stem}.pt"  # ultralytics writes beside the weights
        shutil.copy(weights, copy)
        form = "openvino" if out.suffix == ".xml" else "onnx"
        model = load_ultralytics().YOLO(copy, task="detect")
        made = Path(model.export(format=form, dynamic=True, imgsz=fitting_shape(1080, 1920, input_px), verbose=False))
        if form == "onnx":
            shutil.copy(made, out)
        else:
            _save(made / f"{out.stem}.xml", out, precision, calibration, input_px)
    return out


def _save(made: Path, out: Path, precision: Precision, calibration: Sequence[Photograph], input_px: int) -> None:
    import openvino

    network = openvino.Core().read_model(made)
    if precision == "int8":
        import nncf

        chosen = calibration[:: max(1, len(calibration) // _CALIBRATION)][:_CALIBRATION]
        network = nncf.quantize(
            network,
            nncf.Dataset(list(_inputs(chosen, input_px))),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(chosen),
            # What turns the network's last features into places: eight bits are too coarse for those.
            ignored_scope=nncf.IgnoredScope(
                patterns=[r".*model\.23/aten::(add|sub|mul|div|sigmoid|cat|split)/.*", r".*model\.23\.cv2\..*"],
                validate=False,
            ),
        )
    openvino.save_model(network, out, compress_to_fp16=precision != "fp32")


def _inputs(photographs: Sequence[Photograph], input_px: int) -> Iterator[Floats]:
    preparation = Preparation()
    for photograph in photographs:
        image = photograph.read().image
        height, width = image.shape[:2]
        blob, *_ = preparation.fit(image, fitting_shape(height, width, input_px))
        yield blob.copy()
