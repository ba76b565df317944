"""What to change on a camera, told from what was seen of it: words for the person who installs it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

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


def advice(report: CameraReport, options: CameraSettings) -> list[str]:
    """What to change, most important first."""
    return [*_stream(report, options), *_heads(report, options)]


def _stream(report: CameraReport, options: CameraSettings) -> list[str]:
    said = []
    wanted = 1 / options.fps
    smart = report.key_interval_s > max(_SMART_S, 1.5 * wanted) or report.key_jitter_s > 1.0
    if not report.key_interval_s or report.key_interval_s > 1.1 * wanted:
        seen = f"it is {report.key_interval_s:g} s" if report.key_interval_s else "none came twice while it was watched"
        said.append(
            f"set the key-frame (I-frame) interval to {wanted:g} s ({seen}): then only key frames are decoded, "
            "at a quarter of the CPU, and clips are short"
        )
    if smart:
        said.append("switch off the smart codec (H.264+, H.265+, U-Code): it leaves out key frames when little moves")
    if report.codec not in ("h264", "hevc"):
        said.append(f"set H.264: {report.codec} costs more and gives no clips")
    if report.width * report.height > _LARGE:
        smaller = sub_stream(report.url)
        said.append(
            "use the sub-stream or 1920x1080: a larger picture costs CPU and finds little more"
            + (f"; the sub-stream may be {smaller}" if smaller else "")
        )
    if report.corrupt:
        said.append(f"{report.corrupt} pictures arrived broken: check the network, or set transport to tcp")
    if report.fps and report.fps < options.attentive_fps:
        said.append(
            f"send at least {options.attentive_fps:g} frames a second, so that a passer-by is seen often enough"
        )
    if report.fps > _MANY_FPS:
        said.append(f"25 frames a second are enough, {report.fps:g} only cost")
    if report.bit_rate_mbit > _MANY_MBIT:
        said.append(f"lower the bit rate ({report.bit_rate_mbit:g} Mbit/s): 2 to 4 Mbit/s are enough for 1920x1080")
    if report.jitter_s > _LATE_S:
        said.append(f"pictures arrive up to {report.jitter_s:g} s late: the network or the camera is overloaded")
    return said


def _heads(report: CameraReport, options: CameraSettings) -> list[str]:
    small = [box for box in report.boxes if box.height_px < options.head_px]
    if report.boxes and len(small) == len(report.boxes):
        tallest = max(box.height_px for box in report.boxes)
        return [
            f"heads are too small ({tallest:.0f} px, {options.head_px:g} are needed): move the camera nearer, zoom "
            "in, or take a larger stream"
        ]
    return []


def about_picture(image: Image) -> list[str]:
    """What is wrong with a picture (BGR): dark, glaring, covered, out of focus, tilted."""
    luma = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    height, width = luma.shape
    small = cv2.resize(luma, (640, max(1, round(640 * height / width))), interpolation=cv2.INTER_AREA)
    mean, spread = float(small.mean()), float(small.std())
    said = []
    if mean < _DARK:
        said.append(f"the picture is dark (mean {mean:.0f} of 255): add light, or set exposure or infrared light")
    elif mean > _BRIGHT:
        said.append(f"the picture is overexposed (mean {mean:.0f} of 255): set exposure or WDR, turn it from the sun")
    if spread < _FLAT:
        said.append("the picture shows hardly anything: the lens may be covered, dirty or fogged")
    elif cv2.Laplacian(small, cv2.CV_64F).var() < _BLURRED:
        said.append("the picture is blurred: focus the camera, clean its lens")
    degrees = _tilt(small)
    if abs(degrees) >= _TILTED_DEGREES:
        said.append(f"the picture seems tilted by {degrees:+.0f} degrees: level the camera, heads are trained upright")
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
