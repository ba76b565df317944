"""What to change on a camera, told from what was seen of it: words for the person who installs it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from core.settings import CameraSettings
from vision.frame import Image

if TYPE_CHECKING:
    from vision.check import CameraReport

_LARGE = 1920 * 1080
_MANY_FPS = 26
_MANY_MBIT = 8.0
_SMART_S = 4.0  # key frames that come more seldom, or at no fixed time, are those of "smart" codecs
_LATE_S = 1.0
_DARK, _BRIGHT = 40.0, 225.0  # mean luma
_FLAT = 12.0  # standard deviation of luma: fog, a covered or dirty lens
_BLURRED = 12.0  # variance of the Laplacian of a picture 640 pixels wide
_TILTED_DEGREES = 4.0
_LEAST_LINES = 8

REMEDIES = {
    "wrong_password": "correct user and password in its url; write special characters as %40 (@), %3A (:), %2F (/)",
    "forbidden": "this user may not see live video: give it the right on the camera",
    "not_found": "correct the path in its url: the camera is there and does not know it",
    "refused": "see that the port in its url is the camera's RTSP port (usually 554) and RTSP is switched on",
    "time_out": "see that it is switched on and reachable from here",
    "cannot_connect": "see that its name and address are right and reachable from here",
    "no_data": "see its limit of sessions: many cameras serve only a few viewers at a time",
    "no_video": "this address gives no video (a page, audio only, another protocol): see the camera's manual",
    "not_decodable": "set H.264 or H.265 without encryption and without smart codec; over UDP try transport tcp",
    "unknown_protocol": "its url must begin with rtsp://, rtsps://, rtmp:// or http(s)://, or be a path or a number",
    "connection_lost": "see the network between here and the camera",
}
"""By the reason of a camera's state: what helps."""

TEXTS = {
    "key_interval": "set the key-frame (I-frame) interval to {wanted} s (it is {seen} s): then only key frames are "
    "decoded, at a quarter of the CPU, and clips are short",
    "key_interval_unseen": "set the key-frame (I-frame) interval to {wanted} s (none came twice while it was watched): "
    "then only key frames are decoded, at a quarter of the CPU, and clips are short",
    "smart_codec": "switch off the smart codec (H.264+, H.265+, U-Code): it leaves out key frames when little moves",
    "codec": "set H.264: {codec} costs more and gives no clips",
    "large": "use the sub-stream or 1920x1080: a larger picture costs CPU and finds little more",
    "large_sub_stream": "use the sub-stream or 1920x1080: a larger picture costs CPU and finds little more; the "
    "sub-stream may be {url}",
    "corrupt": "{count} pictures arrived broken: check the network, or set transport to tcp",
    "slow": "send at least {least} frames a second, so that a passer-by is seen often enough",
    "fast": "25 frames a second are enough, {fps} only cost",
    "bit_rate": "lower the bit rate ({mbit} Mbit/s): 2 to 4 Mbit/s are enough for 1920x1080",
    "late": "pictures arrive up to {seconds} s late: the network or the camera is overloaded",
    "small_heads": "heads are too small ({tallest} px, {needed} are needed): move the camera nearer, zoom in, or take "
    "a larger stream",
    "dark": "the picture is dark (mean {mean} of 255): add light, or set exposure or infrared light",
    "bright": "the picture is overexposed (mean {mean} of 255): set exposure or WDR, turn it from the sun",
    "flat": "the picture shows hardly anything: the lens may be covered, dirty or fogged",
    "blurred": "the picture is blurred: focus the camera, clean its lens",
    "tilted": "the picture seems tilted by {degrees} degrees: level the camera, heads are trained upright",
    "broke_off": "the stream broke off after a while: {reason}",
}
"""By the code of an advice: what it says in English."""


class Advice(str):
    """What to change, in English; `code` and `values` let a page say it in another language."""

    code: str
    values: dict[str, str]

    def __new__(cls, code: str, **values: str) -> Advice:
        """Fill in the text of that code."""
        said = super().__new__(cls, TEXTS[code].format(**values))
        said.code, said.values = code, values
        return said

    def __deepcopy__(self, _memo: dict[int, Any]) -> Advice:
        return self

    def plain(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {"code": self.code, "values": self.values, "text": str(self)}


_SUB_STREAMS = (
    (r"/Streaming/Channels/(\d+)01\b", r"/Streaming/Channels/\g<1>02"),  # Hikvision, Ezviz
    (r"/h264/ch(\d+)/main/", r"/h264/ch\1/sub/"),  # Hikvision, old
    (r"\bsubtype=0\b", "subtype=1"),  # Dahua, Amcrest
    (r"/unicast/c(\d+)/s0/", r"/unicast/c\1/s1/"),  # Uniview
    (r"/media/video1\b", "/media/video2"),  # Uniview
    (r"/stream1\b", "/stream2"),  # TP-Link
    (r"Preview_(\d+)_main\b", r"Preview_\1_sub"),  # Reolink
    (r"/profile1/media\.smp", "/profile2/media.smp"),  # Hanwha
    (r"\binst=1\b", "inst=2"),  # Bosch
    (r"/onvif1\b", "/onvif2"),
    (r"/live/ch0*0_0\b", "/live/ch00_1"),
)


def sub_stream(url: str) -> str | None:
    """The address of the smaller stream beside this one, where its form is one of a maker that we know."""
    for pattern, replacement in _SUB_STREAMS:
        changed, count = re.subn(pattern, replacement, url, count=1, flags=re.IGNORECASE)
        if count:
            return changed
    return None


def advice(report: CameraReport, options: CameraSettings) -> list[Advice]:
    """What to change, most important first."""
    return [*_stream(report, options), *_heads(report, options)]


def _stream(report: CameraReport, options: CameraSettings) -> list[Advice]:
    said: list[Advice] = []
    wanted = 1 / options.fps
    smart = report.key_interval_s > max(_SMART_S, 1.5 * wanted) or report.key_jitter_s > 1.0
    if not report.key_interval_s or report.key_interval_s > 1.1 * wanted:
        seen = report.key_interval_s
        interval = f"{wanted:g}"
        said.append(
            Advice("key_interval", wanted=interval, seen=f"{seen:g}")
            if seen
            else Advice("key_interval_unseen", wanted=interval)
        )
    if smart:
        said.append(Advice("smart_codec"))
    if report.codec not in ("h264", "hevc"):
        said.append(Advice("codec", codec=report.codec))
    if report.width * report.height > _LARGE:
        smaller = sub_stream(report.url)
        said.append(Advice("large_sub_stream", url=smaller) if smaller else Advice("large"))
    if report.corrupt:
        said.append(Advice("corrupt", count=str(report.corrupt)))
    if report.fps and report.fps < options.attentive_fps:
        said.append(Advice("slow", least=f"{options.attentive_fps:g}"))
    if report.fps > _MANY_FPS:
        said.append(Advice("fast", fps=f"{report.fps:g}"))
    if report.bit_rate_mbit > _MANY_MBIT:
        said.append(Advice("bit_rate", mbit=f"{report.bit_rate_mbit:g}"))
    if report.jitter_s > _LATE_S:
        said.append(Advice("late", seconds=f"{report.jitter_s:g}"))
    return said


def _heads(report: CameraReport, options: CameraSettings) -> list[Advice]:
    small = [box for box in report.boxes if box.height_px < options.head_px]
    if report.boxes and len(small) == len(report.boxes):
        tallest = max(box.height_px for box in report.boxes)
        return [Advice("small_heads", tallest=f"{tallest:.0f}", needed=f"{options.head_px:g}")]
    return []


def about_picture(image: Image) -> list[Advice]:
    """What is wrong with a picture (BGR): dark, glaring, covered, out of focus, tilted."""
    luma = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    height, width = luma.shape
    small = cv2.resize(luma, (640, max(1, round(640 * height / width))), interpolation=cv2.INTER_AREA)
    mean, spread = float(small.mean()), float(small.std())
    said: list[Advice] = []
    if mean < _DARK:
        said.append(Advice("dark", mean=f"{mean:.0f}"))
    elif mean > _BRIGHT:
        said.append(Advice("bright", mean=f"{mean:.0f}"))
    if spread < _FLAT:
        said.append(Advice("flat"))
    elif cv2.Laplacian(small, cv2.CV_64F).var() < _BLURRED:
        said.append(Advice("blurred"))
    degrees = _tilt(small)
    if abs(degrees) >= _TILTED_DEGREES:
        said.append(Advice("tilted", degrees=f"{degrees:+.0f}"))
    return said


def _tilt(luma: np.ndarray) -> float:
    """Degrees by which what should stand upright leans, by the long lines near the vertical; 0 where they disagree."""
    edges = cv2.Canny(luma, 60, 180)
    lines = cv2.HoughLinesP(edges, 1, np.pi / 720, 60, minLineLength=luma.shape[0] // 5, maxLineGap=4)
    if lines is None:
        return 0.0
    ends = lines.reshape(-1, 4).astype(float)  # x1, y1, x2, y2
    across, down = ends[:, 2] - ends[:, 0], ends[:, 3] - ends[:, 1]
    flip = np.where(down < 0, -1.0, 1.0)
    angles = np.degrees(np.arctan2(across * flip, down * flip))
    upright = angles[np.abs(angles) < 20]
    if len(upright) < _LEAST_LINES:
        return 0.0
    middle = float(np.median(upright))
    return middle if np.median(np.abs(upright - middle)) < 1.5 else 0.0
