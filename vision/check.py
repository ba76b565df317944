"""Is a camera usable? Connects once, watches for a few seconds, and says what to change on the camera."""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any

import av
import cv2

from core.logs import redact_url
from core.settings import CameraSettings
from vision.advice import REMEDIES, Advice, about_picture, advice
from vision.blur import blurred
from vision.detectors import Detector
from vision.frame import LIVE_QUALITY, Image, bgr, jpeg
from vision.options import order_of
from vision.planes import full
from vision.source import Counts, Sample, Sampler, Source, SourceError
from vision.tiles import look_closely
from vision.wire import Pace

_WATCH_S = 5.0
_GAP_S = 20.0
_COLOURS = {"head": (40, 40, 230), "helmet": (80, 190, 60)}


@dataclass(frozen=True, slots=True)
class Box:
    """A head that the detector saw: class, score, and x1, y1, x2, y2 in pixels."""

    label: str
    score: float
    xyxy: tuple[float, float, float, float]

    @property
    def height_px(self) -> float:
        """Its height."""
        return self.xyxy[3] - self.xyxy[1]


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
    first_picture_s: float = 0.0
    """Seconds until the first picture was there: what a reconnect costs."""
    codec: str = ""
    width: int = 0
    height: int = 0
    fps: float = 0.0
    bit_rate_mbit: float = 0.0
    key_interval_s: float = 0.0
    """0: none came twice while it was watched."""
    key_jitter_s: float = 0.0
    """Difference of the longest and the shortest interval."""
    jitter_s: float = 0.0
    """How much later than the quickest the slowest packet came, by the stream's clock: delay of network and buffers."""
    corrupt: int = 0
    """Packets and pictures that could not be decoded."""
    time_outs: dict[str, float] = field(default_factory=dict)
    """Seconds that it had to answer, and to send something."""
    boxes: list[Box] = field(default_factory=list)
    """What the detector saw on the picture."""
    picture: bytes = b""
    """The newest picture as JPEG, with boxes."""
    blurred: bytes = b""
    """The same for who may not see faces."""
    advice: list[Advice] = field(default_factory=list)

    @property
    def usable(self) -> bool:
        """Whether pictures come."""
        return self.state == "online"

    @property
    def remedy(self) -> str:
        """What helps a camera that is not usable; empty where it is."""
        return "" if self.usable else REMEDIES.get(self.reason, "try its url in another program")

    def plain(self) -> dict[str, Any]:
        """Everything but the pictures, as JSON takes it."""
        found = asdict(self)
        del found["picture"], found["blurred"]
        return {**found, "usable": self.usable, "remedy": self.remedy}


class _Meter:
    """Measures packets as they come."""

    def __init__(self) -> None:
        self.bytes = 0
        self._keys: list[float] = []
        self._times: list[float] = []
        self._lateness: list[float] = []

    def take(self, packet: av.Packet[Any]) -> None:
        """The next packet."""
        now = time.monotonic()
        self.bytes += packet.size
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is None or packet.time_base is None:
            return
        at = float(stamp * packet.time_base)
        if self._times and not 0 <= at - self._times[-1] < _GAP_S:
            # The camera set its clock: what was seen before belongs to another one.
            self._times, self._keys, self._lateness, self.bytes = [], [], [], packet.size
        self._times.append(at)
        self._lateness.append(now - at)
        if packet.is_keyframe:
            self._keys.append(at)

    def tell(self, report: CameraReport) -> None:
        """Write the figures into the report."""
        span = self._times[-1] - self._times[0] if len(self._times) > 1 else 0.0
        if span > 0:
            report.fps = round((len(self._times) - 1) / span, 2)
            report.bit_rate_mbit = round(8 * self.bytes / span / 1e6, 2)
        gaps = [later - earlier for earlier, later in pairwise(self._keys)]
        if gaps:
            report.key_interval_s = round(median(gaps), 2)
            report.key_jitter_s = round(max(gaps) - min(gaps), 2)
        # A recorder sends what it holds at once and then in step: the beginning says nothing about the network.
        steady = self._lateness[len(self._lateness) // 4 :]
        if steady:
            report.jitter_s = round(max(steady) - min(steady), 2)


def check_source(
    url: str, options: CameraSettings | None = None, *, detector: Detector | None = None, watch_s: float = _WATCH_S
) -> CameraReport:
    """Read the camera for `watch_s` seconds; takes as long, plus its time-outs. Blocks: call it in a thread.

    Raises nothing for what the camera does; that is what the report tells.
    """
    options = options or CameraSettings()
    report = CameraReport(redact_url(url))
    report.time_outs = {"open_s": options.open_timeout_s, "read_s": options.read_timeout_s}
    counts, meter, sampler = Counts(), _Meter(), Sampler(Pace(30))
    order = order_of(url, options, sampler.pace)
    newest: Sample | None = None
    began = time.monotonic()
    try:
        with contextlib.closing(Source(order, sampler, counts, tap=meter.take)) as source:
            report.open_s = round(time.monotonic() - began, 2)
            report.codec = source.codec
            end = time.monotonic() + watch_s
            for sample in source.samples():
                if newest is None:
                    report.first_picture_s = round(time.monotonic() - began, 2)
                newest, report.state = sample, "online"
                if time.monotonic() >= end:
                    break
    except SourceError as error:
        if newest is None:
            report.state, report.reason, report.message = error.state, error.reason, str(error)
            return report
        report.advice.append(Advice("broke_off", reason=str(error)))
    if newest is None:
        report.state, report.reason, report.message = "broken", "not_decodable", "no picture could be decoded"
        return report
    meter.tell(report)
    report.corrupt = counts.corrupt
    _describe(report, newest, detector, options)
    return report


def _describe(report: CameraReport, sample: Sample, detector: Detector | None, options: CameraSettings) -> None:
    """Size and picture, with what the detector sees on it, and what to change."""
    planes = full(sample.frame)
    report.width, report.height = planes.width, planes.height
    image = bgr(planes)
    about = about_picture(image)
    if detector is not None:
        found = look_closely(detector, image, options.tiles)
        report.boxes = [
            Box(detector.classes[kind], round(float(score), 2), (x1, y1, x2, y2))
            for kind, score, (x1, y1, x2, y2) in zip(
                found.class_id, found.score, found.xyxy.round(1).tolist(), strict=True
            )
        ]
        unknown = blurred(image, found.xyxy)
        _draw(unknown, report.boxes)
        report.blurred = jpeg(unknown, LIVE_QUALITY)
        _draw(image, report.boxes)
    report.picture = jpeg(image, LIVE_QUALITY)
    report.advice += [*advice(report, options), *about]


def _draw(image: Image, boxes: list[Box]) -> None:
    for box in boxes:
        colour = _COLOURS.get(box.label, (200, 200, 200))
        x1, y1, x2, y2 = (round(value) for value in box.xyxy)
        cv2.rectangle(image, (x1, y1), (x2, y2), colour, 2)
        text = f"{box.label} {box.score:.2f}"
        cv2.putText(image, text, (x1, max(12, y1 - 6)), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1)
