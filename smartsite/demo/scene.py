"""What the demo's cameras see: a drawn building site, and on it a photographed surveyor without a hard hat.

The person is real, because the detector is: scikit-image's `camera` photograph (CC0), cut out along a traced outline.
The camera patrols between an empty part of the site and the surveyor's, so a person comes into view and leaves it
again and again. Everything is drawn with a fixed seed: every demo shows the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from fractions import Fraction
from functools import cache

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.video.codeccontext import VideoCodecContext

from core.errors import ConfigurationError
from smartsite.demo.clip import Clip, Codec

Image = npt.NDArray[np.uint8]

WIDTH, HEIGHT = 1280, 720
_PANORAMA = 2560
_DWELL_S, _PAN_S = 10.5, 1.5  # at each end of the patrol, and on the way
ROUND_S = 2 * (_DWELL_S + _PAN_S)
_GROUND = 520  # the horizon's row
_PERSON_SCALE = 0.8
_PERSON_AT = (1850, 382)  # left and top in the panorama

# The man with his camera down to the tripod's knee, in pixels of the photograph, clockwise.
_OUTLINE = """
0,258 20,228 50,200 62,175 78,148 100,132 130,124 150,107 162,104 167,90 180,75 198,64 215,64 235,72 252,84 265,99
271,112 269,124 258,131 255,139 285,141 318,138 325,145 325,152 320,165 319,173 325,168 331,178 331,195 322,215
312,230 308,247 301,240 304,270 298,280 297,312 304,318 311,316 325,302 337,300 338,306 325,308 312,320 316,332
390,476 407,511 400,511 382,480 306,335 300,346 298,484 289,484 288,345 283,345 240,500 236,511 230,511 232,490
278,335 278,318 288,312 289,287 270,300 247,312 230,305 206,294 190,320 165,352 142,382 150,440 150,511 0,511
"""

# Colours in OpenCV's order: blue, green, red.
_SKY_TOP, _SKY_LOW = (214, 178, 136), (236, 226, 214)
_CITY, _STEEL, _CONCRETE = (206, 192, 178), (38, 160, 232), (164, 170, 176)
_EARTH, _EARTH_NEAR = (142, 168, 190), (106, 134, 158)
_HOARDING, _HOARDING_TRIM = (156, 112, 44), (230, 230, 226)


@cache
def _photograph() -> Image:
    try:
        from skimage import data
    except ImportError as error:
        raise ConfigurationError(
            "the demo's camera needs scikit-image, which carries its photograph",
            hint="install smartsite[demo]",
        ) from error
    return np.asarray(data.camera(), np.uint8)  # type: ignore[no-untyped-call]


def person() -> tuple[Image, npt.NDArray[np.float32]]:
    """The surveyor as a BGR picture [height, width, 3] and his opacity 0..1 [height, width, 1]."""
    photograph = _photograph()
    outline = np.array([point.split(",") for point in _OUTLINE.split()], np.int32)
    inside: Image = np.zeros(photograph.shape, np.uint8)
    cv2.fillPoly(inside, [outline], 255)
    # A traced line runs a little outside: one pixel less, and a soft edge.
    soft = cv2.GaussianBlur(cv2.erode(inside, np.ones((2, 2), np.uint8)), (3, 3), 0)
    # A grey photograph in a coloured scene: warm where it is lit, blue-black in the cloth.
    level = photograph.astype(np.float32)[..., None] / 255
    tint = np.array([0.80, 0.92, 1.06], np.float32) * level + np.array([0.035, 0.02, 0.015], np.float32)
    picture = (tint.clip(0, 1) * 255).astype(np.uint8)
    width, height = (round(side * _PERSON_SCALE) for side in photograph.shape)
    opacity = cv2.resize(soft, (width, height), interpolation=cv2.INTER_AREA)
    return (
        cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8),
        (opacity[..., None] / 255).astype(np.float32),
    )


def panorama(*, with_person: bool = True) -> Image:
    """The whole site, wider than a camera's view: BGR [720, 2560, 3]."""
    canvas = np.empty((HEIGHT, _PANORAMA, 3), np.uint8)
    random = np.random.default_rng(7)
    _draw_sky(canvas, random)
    _draw_city(canvas, random)
    _draw_building(canvas, left=260, right=760, floors=5)
    _draw_building(canvas, left=1420, right=1800, floors=4)
    _draw_crane(canvas, mast=930, top=70, jib_left=560, jib_right=1290)
    _draw_crane(canvas, mast=2330, top=120, jib_left=2130, jib_right=2560)
    _draw_ground(canvas, random)
    _draw_hoarding(canvas)
    if with_person:
        _paste_person(canvas)
    _draw_foreground(canvas, random)
    return canvas


def _gradient(top: tuple[int, int, int], low: tuple[int, int, int], rows: int) -> npt.NDArray[np.float32]:
    """Colours from `top` to `low` [rows, 1, 3]."""
    weight = np.linspace(0, 1, rows, dtype=np.float32)[:, None, None]
    return np.array(top, np.float32) * (1 - weight) + np.array(low, np.float32) * weight


def _draw_sky(canvas: Image, random: np.random.Generator) -> None:
    clouds = np.zeros((_GROUND // 4, _PANORAMA // 4), np.float32)
    for scale in (5, 10, 20):
        grid = random.random((scale, scale * 4)).astype(np.float32)
        clouds += cv2.resize(grid, (clouds.shape[1], clouds.shape[0]), interpolation=cv2.INTER_CUBIC) / scale
    white = ((cv2.resize(clouds, (_PANORAMA, _GROUND)) - np.median(clouds)) * 260).clip(0, 34)
    canvas[:_GROUND] = (_gradient(_SKY_TOP, _SKY_LOW, _GROUND) + white[..., None]).clip(0, 255)


def _draw_city(canvas: Image, random: np.random.Generator) -> None:
    left = 0
    while left < _PANORAMA:
        width, height = int(random.integers(50, 130)), int(random.integers(60, 210))
        shade = tuple(int(part - random.integers(0, 16)) for part in _CITY)
        cv2.rectangle(canvas, (left, _GROUND - height), (left + width, _GROUND), shade, -1)
        left += width + int(random.integers(0, 40))


def _draw_building(canvas: Image, *, left: int, right: int, floors: int) -> None:
    """A concrete frame behind scaffolding and green safety net."""
    storey, bays = 74, 6
    top = _GROUND - floors * storey
    columns = np.linspace(left, right, bays).astype(int)
    cv2.rectangle(canvas, (left, top), (right, _GROUND), (122, 130, 136), -1)
    for floor in range(floors + 1):
        y = top + floor * storey
        cv2.rectangle(canvas, (left - 8, y - 7), (right + 8, y + 7), _CONCRETE, -1)
    for x in columns:
        cv2.rectangle(canvas, (int(x) - 8, top - 26), (int(x) + 8, _GROUND), _CONCRETE, -1)
        for bar in (-5, 0, 5):  # starter bars of the next floor
            cv2.line(canvas, (int(x) + bar, top - 52), (int(x) + bar, top - 26), (70, 82, 104), 1, cv2.LINE_AA)
    net = canvas[top + storey : _GROUND, left - 18 : columns[3]]
    net[:] = (net * 0.45 + np.array((86, 138, 62)) * 0.55).astype(np.uint8)
    for x in range(left - 18, right + 24, 42):
        cv2.line(canvas, (x, top - 10), (x, _GROUND), (88, 96, 102), 2, cv2.LINE_AA)
    for y in range(top, _GROUND, 37):
        cv2.line(canvas, (left - 18, y), (right + 18, y), (88, 96, 102), 1, cv2.LINE_AA)


def _draw_crane(canvas: Image, *, mast: int, top: int, jib_left: int, jib_right: int) -> None:
    """A tower crane with its lattice, cab, counterweight and hook."""
    half = 9
    for x in (mast - half, mast + half):
        cv2.line(canvas, (x, top), (x, _GROUND), _STEEL, 3, cv2.LINE_AA)
    for y in range(top, _GROUND, 2 * half):
        cv2.line(canvas, (mast - half, y), (mast + half, y + 2 * half), _STEEL, 1, cv2.LINE_AA)
        cv2.line(canvas, (mast + half, y), (mast - half, y + 2 * half), _STEEL, 1, cv2.LINE_AA)
    jib = top + 26
    for y in (jib - 12, jib):
        cv2.line(canvas, (jib_left, y), (jib_right, y), _STEEL, 2, cv2.LINE_AA)
    for x in range(jib_left, jib_right - 12, 12):
        cv2.line(canvas, (x, jib), (x + 6, jib - 12), _STEEL, 1, cv2.LINE_AA)
        cv2.line(canvas, (x + 6, jib - 12), (x + 12, jib), _STEEL, 1, cv2.LINE_AA)
    peak = (mast, top - 40)
    for end in (jib_left, jib_right):
        cv2.line(canvas, peak, ((mast + 2 * end) // 3, jib - 12), (90, 90, 90), 1, cv2.LINE_AA)
    cv2.line(canvas, (mast - half, top), peak, _STEEL, 2, cv2.LINE_AA)
    cv2.line(canvas, (mast + half, top), peak, _STEEL, 2, cv2.LINE_AA)
    cv2.rectangle(canvas, (mast + 12, jib + 2), (mast + 38, jib + 34), (226, 226, 220), -1)
    cv2.rectangle(canvas, (mast + 16, jib + 6), (mast + 34, jib + 20), (150, 120, 92), -1)
    cv2.rectangle(canvas, (jib_right - 46, jib), (jib_right - 10, jib + 30), (120, 124, 128), -1)
    hook = jib_left + (mast - jib_left) // 3
    cv2.line(canvas, (hook, jib), (hook, jib + 150), (70, 70, 70), 1, cv2.LINE_AA)
    cv2.rectangle(canvas, (hook - 8, jib + 150), (hook + 8, jib + 164), (40, 44, 48), -1)


def _draw_ground(canvas: Image, random: np.random.Generator) -> None:
    rows = HEIGHT - _GROUND
    coarse = cv2.resize(random.normal(0, 9, (rows // 8, _PANORAMA // 16)).astype(np.float32), (_PANORAMA, rows))
    fine = random.normal(0, 4, (rows, _PANORAMA)).astype(np.float32)
    canvas[_GROUND:] = (_gradient(_EARTH, _EARTH_NEAR, rows) + (coarse + fine)[..., None]).clip(0, 255)


def _draw_hoarding(canvas: Image) -> None:
    """The fence at the back of the yard."""
    top, low = _GROUND - 62, _GROUND + 16
    cv2.rectangle(canvas, (0, top), (_PANORAMA, low), _HOARDING, -1)
    for x in range(0, _PANORAMA, 80):
        cv2.line(canvas, (x, top), (x, low), (132, 92, 34), 2)
    cv2.rectangle(canvas, (0, top - 6), (_PANORAMA, top), _HOARDING_TRIM, -1)
    cv2.rectangle(canvas, (0, low), (_PANORAMA, low + 8), (150, 150, 150), -1)
    for x in range(60, _PANORAMA, 640):
        text = "SAFETY FIRST"
        cv2.putText(canvas, text, (x, top + 46), cv2.FONT_HERSHEY_DUPLEX, 1.0, _HOARDING_TRIM, 2, cv2.LINE_AA)


def _paste_person(canvas: Image) -> None:
    picture, opacity = person()
    left, top = _PERSON_AT
    height = min(picture.shape[0], HEIGHT - top)
    region = canvas[top : top + height, left : left + picture.shape[1]]
    region[:] = (picture[:height] * opacity[:height] + region * (1 - opacity[:height])).astype(np.uint8)


def _draw_foreground(canvas: Image, random: np.random.Generator) -> None:
    """Formwork panels before the surveyor's left side, where the photograph ends, bricks, and a striped barrier."""
    left = _PERSON_AT[0]
    cv2.rectangle(canvas, (left - 198, HEIGHT - 188), (left + 50, HEIGHT), (40, 62, 80), -1)
    for number in range(8):
        shift = int(random.integers(-6, 7))
        y = HEIGHT - 24 * number
        colour = (74 + 6 * (number % 3), 132 + 5 * (number % 2), 176 + 4 * (number % 3))
        cv2.rectangle(canvas, (left - 210 + shift, y - 20), (left + 62 + shift, y), colour, -1)
        cv2.rectangle(canvas, (left - 210 + shift, y - 20), (left + 62 + shift, y), (52, 92, 124), 1)
    for row in range(5):
        for column in range(11):
            x, y = 880 + 34 * column + 17 * (row % 2), 660 - 20 * row
            shade = int(random.integers(-14, 15))
            cv2.rectangle(canvas, (x, y), (x + 31, y + 17), (78 + shift + shade, 96 + shade, 168 + shade), -1)
    top = HEIGHT - 66
    for start in (0, 2180):
        end = start + 620
        cv2.rectangle(canvas, (start, top), (end, top + 26), (236, 236, 236), -1)
        for x in range(start, end, 60):
            stripe = np.array([(x, top + 26), (x + 30, top + 26), (x + 48, top), (x + 18, top)], np.int32)
            cv2.fillPoly(canvas, [stripe], (44, 52, 212), cv2.LINE_AA)
        for x in range(start + 40, end, 180):
            cv2.rectangle(canvas, (x, top + 26), (x + 10, HEIGHT), (200, 200, 200), -1)


def view(site: Image, position: float) -> Image:
    """What the camera shows at `position` 0 (empty end) .. 1 (the surveyor's end) of its patrol."""
    left = position * (_PANORAMA - WIDTH)
    return site[:, round(left) : round(left) + WIDTH]


def position(second: float) -> float:
    """Where the patrolling camera looks at `second` of its round, 0..1; eased, as a motor does."""
    second %= ROUND_S
    if second < _DWELL_S:
        return 0.0
    if second < _DWELL_S + _PAN_S:
        return _eased((second - _DWELL_S) / _PAN_S)
    if second < 2 * _DWELL_S + _PAN_S:
        return 1.0
    return 1.0 - _eased((second - 2 * _DWELL_S - _PAN_S) / _PAN_S)


def _eased(part: float) -> float:
    return part * part * (3 - 2 * part)


def clip(*, fps: int = 10, with_person: bool = True) -> Clip:
    """One round of the patrol as H.264, a key frame a second. It starts at the empty end."""
    site = panorama(with_person=with_person)
    noise = np.random.default_rng(11).normal(0, 2.0, (HEIGHT, WIDTH, 1)).astype(np.float32)
    pictures = []
    for number in range(round(ROUND_S * fps)):
        grain = np.roll(noise, (number * 37, number * 91), axis=(0, 1))
        pictures.append((view(site, position(number / fps)) + grain).clip(0, 255).astype(np.uint8))
    return encode(pictures, fps=fps)


_ENCODERS: dict[Codec, tuple[str, str]] = {"h264": ("libx264", "x264-params"), "hevc": ("libx265", "x265-params")}


def encode(
    pictures: Iterable[Image],
    *,
    fps: int,
    key_interval_s: float = 1.0,
    codec: Codec = "h264",
    bit_rate: int | None = None,
) -> Clip:
    """BGR pictures of one size as video in Annex B form, parameter sets before every key frame; `bit_rate` in bit/s,
    None: as many as it takes."""
    pictures = iter(pictures)
    first = next(pictures)
    name, parameters = _ENCODERS[codec]
    encoder = av.CodecContext.create(name, "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.height, encoder.width = first.shape[:2]
    encoder.pix_fmt = "yuv420p"
    encoder.framerate = Fraction(fps)
    encoder.gop_size = max(1, round(fps * key_interval_s))
    encoder.options = {
        "preset": "veryfast",
        "tune": "zerolatency",
        **({"crf": "26"} if bit_rate is None else {}),
        parameters: f"repeat-headers=1:scenecut=0:min-keyint={encoder.gop_size}:keyint={encoder.gop_size}"
        + (":log-level=none" if codec == "hevc" else ""),
    }
    if bit_rate is not None:
        encoder.bit_rate = bit_rate
    packets = []
    for picture in itertools.chain([first], pictures):
        packets += encoder.encode(av.VideoFrame.from_ndarray(picture, format="bgr24"))
    packets += encoder.encode(None)
    return Clip.from_annex_b(fps, [bytes(packet) for packet in packets], codec)
