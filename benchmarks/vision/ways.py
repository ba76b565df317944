"""The ways that are compared, each a run of its own on the same streams."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.vision.sequences import FPS
from benchmarks.vision.stage import STATES, Cameras, Stage
from benchmarks.vision.stock import SHAPE
from benchmarks.vision.usage import cpu_s, memory
from vision.detectors import MODELS

CAMERAS = 5
"""Of our ways: of five in a row one moves at any time."""
_SETTLE_S = 8.0  # until the key frames' interval is known everywhere

Models = dict[str, Path]
Way = Callable[[Stage, Cameras, str, Models, float], Awaitable[dict[str, float]]]

_EXPORT = f"""
import sys
from vision.yolo import load_ultralytics
print(load_ultralytics().YOLO(sys.argv[1]).export(format="openvino", imgsz={SHAPE}), file=sys.stderr)
"""


async def stock_models(stage: Stage, folder: Path) -> Models:
    """The weights in the two forms that stock ultralytics runs; in OpenVINO's as ultralytics itself exports them."""
    weights = folder / "weights.pt"
    shutil.copy(MODELS / "hardhat-yolo26n.pt", weights)
    async with stage.process("-c", _EXPORT, str(weights)) as process:
        await process.communicate()
    exported = folder / "weights_openvino_model"
    if not exported.is_dir():
        raise RuntimeError("ultralytics did not export its OpenVINO model; see processes.log")
    return {"pytorch": weights, "openvino": exported}


async def _ours(
    stage: Stage, cameras: Cameras, kind: str, seconds: float, *, model: Path | None = None, **camera: float
) -> dict[str, float]:
    urls = [cameras.url(kind, number) for number in range(CAMERAS)]
    async with stage.ours(urls, model=model, cool_down_s=0, **camera) as (pid, ready_s):
        await asyncio.sleep(_SETTLE_S)
        counts, spent, began = _counts(stage), cpu_s(pid), time.monotonic()
        await asyncio.sleep(seconds)
        used, took = cpu_s(pid) - spent, time.monotonic() - began
        looks = [after - before for after, before in zip(_counts(stage), counts, strict=True)]
        camera_s = CAMERAS * took
        return {
            "cpu_ms": round(1000 * used / camera_s, 1),
            "analysed_per_s": round(looks[0] / camera_s, 2),
            "gated_per_s": round(looks[1] / camera_s, 2),
            "ready_s": round(ready_s, 1),
            "pss_mb": memory(pid).pss,
        }


def _counts(stage: Stage) -> tuple[int, int]:
    rows = stage.rows(STATES)
    return sum(row["frames_analysed"] for row in rows), sum(row["frames_gated"] for row in rows)


async def _stock(stage: Stage, cameras: Cameras, kind: str, model: Path, seconds: float) -> dict[str, float]:
    async with stage.stock(model, cameras.url(kind, 0), FPS) as (pid, results, ready_s):
        spent, began, before = cpu_s(pid), time.monotonic(), len(results)
        await asyncio.sleep(seconds)
        used, took = cpu_s(pid) - spent, time.monotonic() - began
        return {
            "cpu_ms": round(1000 * used / took, 1),
            "analysed_per_s": round((len(results) - before) / took, 2),
            "ready_s": round(ready_s, 1),
            "pss_mb": memory(pid).pss,
        }


WAYS: dict[str, Way] = {
    "ours": lambda stage, cameras, kind, _, seconds: _ours(stage, cameras, kind, seconds, gate_share=0),
    "stock, PyTorch": lambda stage, cameras, kind, models, seconds: _stock(
        stage, cameras, kind, models["pytorch"], seconds
    ),
    # The built-in form of the weights computes in eight bits; this is the file that stock ultralytics runs.
    "ours, stock's file": lambda stage, cameras, kind, models, seconds: _ours(
        stage, cameras, kind, seconds, model=models["openvino"] / "weights.xml", gate_share=0
    ),
    "ours, gate": lambda stage, cameras, kind, _, seconds: _ours(stage, cameras, kind, seconds),
    "stock, OpenVINO": lambda stage, cameras, kind, models, seconds: _stock(
        stage, cameras, kind, models["openvino"], seconds
    ),
}
