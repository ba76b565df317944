"""What the benchmark's cameras see, with labels: a minute of drawn building site in which twelve seconds move.

Somebody crosses the picture: the surveyor without a hard hat, or under a drawn one, by day or at dusk; or no person at
all, but a truck, a swinging load, rain. Every picture has grain of its own, as sensors do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from smartsite.demo import scene
from smartsite.demo.clip import Clip

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

FPS = 25
ROUND_S = 60
MOVING_S = 12
_STILL_S = 4  # of the quiet time this much is encoded, and repeated
WIDTH, HEIGHT = 1920, 1080
_BIT_RATE = 4_000_000
# The surveyor's head on his cut-out picture, in its pixels: centre and half its width.
_HEAD = (173, 67)
_HALF = 32
_GRAIN, _DUSK_GRAIN = 2.5, 7.0


@dataclass(frozen=True, slots=True)
class Walker:
    """Somebody who crosses: `scale` of the cut-out picture, hat colour (BGR; None: bare), direction."""

    scale: float
    hat: tuple[int, int, int] | None = None
    leftward: bool = False
    behind_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Sequence:
    """A minute: who crosses, and what else goes on."""

    name: str
    walkers: tuple[Walker, ...] = ()
    dusk: bool = False
    extra: Callable[[Image, float], None] | None = None

    @property
    def bare(self) -> tuple[tuple[float, float], ...]:
        """When a whole bare head is in the picture: seconds of the round, one pair a visit."""
        return tuple(_visible(walker) for walker in self.walkers if walker.hat is None)


def _truck(picture: Image, second: float) -> None:
    left = round(-700 + second / MOVING_S * (WIDTH + 700))
    cv2.rectangle(picture, (left, 560), (left + 480, 860), (60, 120, 190), -1)
    cv2.rectangle(picture, (left + 490, 640), (left + 660, 860), (40, 70, 200), -1)
    cv2.rectangle(picture, (left + 560, 670), (left + 640, 750), (200, 190, 170), -1)
    for wheel in (90, 330, 580):
        cv2.circle(picture, (left + wheel, 870), 60, (36, 36, 38), -1, cv2.LINE_AA)
        cv2.circle(picture, (left + wheel, 870), 24, (130, 130, 134), -1, cv2.LINE_AA)


def _load(picture: Image, second: float) -> None:
    """A round bucket on a rope, about as large as a head or two."""
    x = round(WIDTH / 2 + 500 * np.sin(2 * np.pi * second / MOVING_S))
    cv2.line(picture, (WIDTH // 2, 0), (x, 420), (60, 60, 60), 3, cv2.LINE_AA)
    cv2.circle(picture, (x, 480), 62, (70, 110, 150), -1, cv2.LINE_AA)
    cv2.ellipse(picture, (x, 430), (60, 14), 0, 0, 360, (50, 80, 110), -1, cv2.LINE_AA)


def _rain(picture: Image, second: float) -> None:
    random = np.random.default_rng(round(second * FPS))
    for x, y, size in zip(
        random.integers(0, WIDTH, 260), random.integers(0, HEIGHT, 260), random.integers(12, 40, 260), strict=True
    ):
        cv2.line(picture, (int(x), int(y)), (int(x) - 4, int(y) + int(size)), (210, 205, 200), 1, cv2.LINE_AA)


_YELLOW, _WHITE, _RED = (30, 200, 250), (240, 240, 240), (40, 60, 220)

SEQUENCES = (
    Sequence("bare", (Walker(1.0),)),
    Sequence("yellow hat", (Walker(1.0, _YELLOW),)),
    Sequence("bare, far, leftward", (Walker(0.8, leftward=True),)),
    Sequence("truck", extra=_truck),
    Sequence("bare behind a red hat", (Walker(1.0, _RED), Walker(1.1, behind_s=3.0))),
    Sequence("white hat at dusk", (Walker(1.1, _WHITE),), dusk=True),
    Sequence("bare at dusk", (Walker(1.2),), dusk=True),
    Sequence("swinging load, rain", extra=lambda picture, second: (_load(picture, second), _rain(picture, second))[0]),
)


def clip(sequence: Sequence, *, key_interval_s: float, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Clip:
    """The minute as H.264 at 25 frames a second; 1080p at 4 Mb/s, other sizes in proportion to their pixels."""
    bit_rate = round(_BIT_RATE * max(0.2, size[0] * size[1] / (WIDTH * HEIGHT)))
    short = scene.encode(_pictures(sequence, size), fps=FPS, key_interval_s=key_interval_s, bit_rate=bit_rate)
    still = short.pictures[: _STILL_S * FPS]
    again = (ROUND_S - MOVING_S) // _STILL_S
    return replace(short, pictures=still * again + short.pictures[len(still) :])


def _pictures(sequence: Sequence, size: tuple[int, int]) -> Iterator[Image]:
    site = scene.view(scene.panorama(with_person=False), 0.0)
    background = np.asarray(cv2.resize(site, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)
    figures = [_figure(walker.hat, walker.scale) for walker in sequence.walkers]
    grains = _grains(_DUSK_GRAIN if sequence.dusk else _GRAIN)
    for number in range((_STILL_S + MOVING_S) * FPS):
        second = number / FPS - _STILL_S
        picture = background.copy()
        if second >= 0:
            if sequence.extra is not None:
                sequence.extra(picture, second)
            for walker, (figure, opacity) in zip(sequence.walkers, figures, strict=True):
                _paste(picture, figure, opacity, _left(walker, second, figure.shape[1]))
        if sequence.dusk:
            picture = (picture * 0.28).astype(np.uint8)
        picture = cv2.add(picture, next(grains), dtype=cv2.CV_8U)
        if size != (WIDTH, HEIGHT):
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        yield np.asarray(picture, np.uint8)


def _grains(strength: float) -> Iterator[npt.NDArray[np.int16]]:
    random = np.random.default_rng(5)
    grain = random.normal(0, strength, (HEIGHT, WIDTH, 1)).astype(np.int16).repeat(3, axis=2)
    while True:
        shift = random.integers(0, (HEIGHT, WIDTH))
        yield np.roll(grain, shift, axis=(0, 1))


def _figure(hat: tuple[int, int, int] | None, scale: float) -> tuple[Image, Floats]:
    """The surveyor, BGR [height, width, 3], and his opacity [height, width, 1]; with a hat drawn on, if any."""
    picture, opacity = scene.person()
    mask = (opacity[..., 0] * 255).astype(np.uint8)
    if hat is not None:
        x, y = _HEAD
        shade = tuple(round(part * 0.85) for part in hat)
        for layer, dome, brim in ((picture, hat, shade), (mask, 255, 255)):
            cv2.ellipse(layer, (x, y), (_HALF, _HALF - 1), 0, 180, 360, dome, -1, cv2.LINE_AA)  # type: ignore[call-overload]
            cv2.ellipse(layer, (x + 6, y), (_HALF + 9, 7), 0, 0, 360, brim, -1, cv2.LINE_AA)  # type: ignore[call-overload]
        cv2.ellipse(picture, (x - 8, y - 14), (10, 6), -30, 0, 360, (255, 255, 255), -1, cv2.LINE_AA)
    width, height = round(picture.shape[1] * scale), round(picture.shape[0] * scale)
    return (
        np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8),
        np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA), np.float32)[..., None] / 255,
    )


def _left(walker: Walker, second: float, width: int) -> int:
    """Where the figure's left edge is; outside before and after."""
    part = (second - walker.behind_s) / (MOVING_S - walker.behind_s)
    way = round(-width + part * (WIDTH + width)) if 0 <= part <= 1 else -width
    return WIDTH - width - way if walker.leftward else way


def _visible(walker: Walker) -> tuple[float, float]:
    width = round(scene.person()[0].shape[1] * walker.scale)
    head = (_HEAD[0] - _HALF) * walker.scale, (_HEAD[0] + _HALF) * walker.scale
    seconds = [number / FPS for number in range(MOVING_S * FPS)]
    inside = [
        second
        for second in seconds
        if (left := _left(walker, second, width)) + head[0] >= 0 and left + head[1] <= WIDTH
    ]
    quiet = ROUND_S - MOVING_S
    return quiet + inside[0], quiet + inside[-1]


def _paste(picture: Image, figure: Image, opacity: Floats, left: int) -> None:
    """Stand the figure on the lower edge with its left edge at `left`, cut at the picture's sides."""
    height, width = figure.shape[:2]
    start, end = max(0, -left), min(width, WIDTH - left)
    if start >= end:
        return
    region = picture[HEIGHT - height :, left + start : left + end]
    share = opacity[:, start:end]
    region[:] = (figure[:, start:end] * share + region * (1 - share)).astype(np.uint8)
