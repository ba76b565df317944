"""The one door to ultralytics: offline, quiet, and with a torchvision whose compiled part is missing."""

from __future__ import annotations

import importlib
import os
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from core.errors import ConfigurationError

_registered: list[Any] = []  # torch forgets an operator with its library


def load_ultralytics() -> ModuleType:
    """The package, ready for use; ConfigurationError where the extra `yolo` is not installed."""
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    os.environ.setdefault("YOLO_OFFLINE", "1")
    os.environ.setdefault("YOLO_CONFIG_DIR", str(Path(tempfile.gettempdir()) / f"smartsite-yolo-{os.getuid()}"))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin for each other starve the rest
    Path(os.environ["YOLO_CONFIG_DIR"]).mkdir(parents=True, exist_ok=True)
    try:
        _mend_torchvision()
        ultralytics = importlib.import_module("ultralytics")
    except ImportError as error:
        raise ConfigurationError(
            f"ultralytics is not installed ({error})", hint="install the extra: pip install 'smartsite[yolo]'"
        ) from error
    return ultralytics


def _mend_torchvision() -> None:
    """Give torchvision an nms of ours where its compiled operators do not load.

    The registry's torchvision is built for CUDA; beside a CPU build of torch `import torchvision` fails with
    "operator torchvision::nms does not exist". Where it is whole nothing is done.
    """
    import torch

    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    else:
        return
    import sys

    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.impl("nms", _nms, "CPU")
    _registered.append(library)
    importlib.import_module("torchvision")
    setattr(importlib.import_module("torchvision.extension"), "_has_ops", lambda: True)  # noqa: B010


def _nms(dets: Any, scores: Any, iou_threshold: float) -> Any:
    """torchvision.ops.nms: indices of the boxes that stay, strongest first."""
    import torch

    corners, opposite = dets[:, :2], dets[:, 2:]
    area = (opposite - corners).clamp(0).prod(1)
    order = scores.argsort(descending=True, stable=True)
    kept = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        shared = torch.minimum(opposite[best], opposite[rest]) - torch.maximum(corners[best], corners[rest])
        shared = shared.clamp(0).prod(1)
        order = rest[shared / (area[best] + area[rest] - shared) <= iou_threshold]
    return torch.stack(kept) if kept else torch.empty(0, dtype=torch.long)
