"""Is a camera usable? Connects once, watches for a few seconds, and says what to change on the camera."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field

import cv2
import numpy as np

from core.logs import redact_url
from core.settings import CameraSettings
from vision.detectors import Detector
from vision.frame import LIVE_QUALITY, Image, bgr, jpeg
from vision.options import order_of
from vision.planes import full
from vision.source import Counts, Sample, Sampler, Source, SourceError
from vision.wire import Pace

_WATCH_S = 5.0
_COLOURS = {"head": (40, 40, 230), "helmet": (80, 190, 60)}
_LARGE = 1920 * 1080


@dataclass(slots=True)
class CameraReport:
    """What was found; `state` and `reason` are those of the camera's row, `online` where a picture came."""

    url: str
    """Without its password."""
    state: str = "starting"
    reason: str = ""
    message: str = ""
    open_s: float = 0.0
    """Seconds until the stream was open."""
    codec: str = ""
    width: int = 0
    height: int = 0
    fps: float = 0.0
    key_interval_s: float = 0.0
    """0: none came twice while it was watched."""
    corrupt: int = 0
    """Packets and pictures that could not be decoded."""
    boxes: list[tuple[str, float]] = field(default_factory=list)
    """Class and score of what the detector saw on the picture."""
    picture: bytes = b""
    """The newest picture as JPEG, with boxes."""
    advice: list[str] = field(default_factory=list)

    @property
    def usable(self) -> bool:
        """Whether pictures come."""
        return self.state == "online"


def check_source(
    url: str, options: CameraSettings | None = None, *, detector: Detector | None = None, watch_s: float = _WATCH_S
) -> CameraReport:
    """Read the camera for `watch_s` seconds; takes as long, plus its time-outs. Blocks: call it in a thread.

    Raises nothing for what the camera does; that is what the report tells.
    """
    options = options or CameraSettings()
    report = CameraReport(redact_url(url))
    counts, sampler = Counts(), Sampler(Pace(30))
    order = order_of(url, options, sampler.pace)
    newest: Sample | None = None
    began = time.monotonic()
    try:
        with contextlib.closing(Source(order, sampler, counts)) as source:
            report.open_s = round(time.monotonic() - began, 2)
            report.codec = source.codec
            end = time.monotonic() + watch_s
            for sample in source.samples():
                newest, report.state = sample, "online"
                if time.monotonic() >= end:
                    break
    except SourceError as error:
        if newest is None:
            report.state, report.reason, report.message = error.state, error.reason, str(error)
            return report
        report.advice.append(f"the stream broke off after a while: {error}")
    if newest is None:
        report.state, report.reason, report.message = "broken", "not_decodable", "no picture could be decoded"
        return report
    report.fps, report.key_interval_s = round(sampler.fps, 2), round(sampler.key_interval_s, 2)
    report.corrupt = counts.corrupt
    _describe(report, newest, detector)
    report.advice += _advice(report, options)
    return report


def _describe(report: CameraReport, sample: Sample, detector: Detector | None) -> None:
    """Size and picture, with what the detector sees on it."""
    planes = full(sample.frame)
    report.width, report.height = planes.width, planes.height
    image = bgr(planes)
    if detector is not None:
        found = detector.detect(image)
        report.boxes = [
            (detector.classes[kind], round(float(score), 2))
            for kind, score in zip(found.class_id, found.score, strict=True)
        ]
        _draw(image, report.boxes, found.xyxy)
    report.picture = jpeg(image, LIVE_QUALITY)


def _draw(image: Image, names: list[tuple[str, float]], boxes: np.ndarray) -> None:
    for (name, score), (x1, y1, x2, y2) in zip(names, boxes.round().astype(int).tolist(), strict=True):
        colour = _COLOURS.get(name, (200, 200, 200))
        cv2.rectangle(image, (x1, y1), (x2, y2), colour, 2)
        cv2.putText(image, f"{name} {score:.2f}", (x1, max(12, y1 - 6)), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1)


def _advice(report: CameraReport, options: CameraSettings) -> list[str]:
    """What to change on the camera."""
    advice = []
    if not report.key_interval_s or report.key_interval_s > 1.1 / options.fps:
        advice.append(
            f"set the key-frame (I-frame) interval to {1 / options.fps:g} s: then only key frames are decoded, "
            "at a quarter of the CPU"
        )
    if report.width * report.height > _LARGE:
        advice.append("use the sub-stream or 1920x1080: a larger picture costs CPU and finds little more")
    if report.corrupt:
        advice.append(f"{report.corrupt} pictures arrived broken: check the network, or set transport to tcp")
    if report.fps and report.fps < options.attentive_fps:
        advice.append(
            f"send at least {options.attentive_fps:g} frames a second, so that a passer-by is seen often enough"
        )
    return advice
