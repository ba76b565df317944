"""Heads repainted: hair and helmets in every colour, and cloth caps.

A detector that saw dark-haired people in bright helmets learns "bright top = helmet". Fair, grey, white and no hair,
dark helmets and soft caps break that short cut. What is painted is always the upper part of a labelled box; the label
stays, because a cap is no hard hat.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from vision.labelled import Image, Labelled

HELMET, HEAD = 0, 1

# BGR at full light.
_HAIR = np.array(
    [
        (150, 200, 230), (110, 170, 210), (80, 140, 190),  # fair
        (165, 165, 165), (200, 200, 200), (235, 235, 235),  # grey and white
        (60, 100, 190), (40, 60, 120), (35, 45, 70),  # red, chestnut, brown
    ],
    np.float32,
)  # fmt: skip
_SMALL = 12  # boxes lower than this many pixels show no hair


def repaint(picture: Labelled, rng: np.random.Generator) -> Labelled:
    """Some bare heads get other hair, none, or a cap; some helmets another colour; some of both dark glasses.

    The image given is not changed.
    """
    image = picture.image.copy()
    for box, kind in zip(picture.boxes, picture.kind, strict=True):
        cut = _Cut.of(image, box)
        if cut is None:
            continue
        if rng.random() < (0.06 if kind == HELMET else 0.2):
            _glasses(cut, rng)
        chance = rng.random()
        if kind == HELMET:
            if chance < 0.3:
                _tint(cut, _any_colour(rng), rng, darkest=0.35)
        elif chance < 0.35:
            _tint(cut, _HAIR[rng.integers(len(_HAIR))], rng, darkest=0.45, dark_only=True)
        elif chance < 0.45:
            _tint(cut, _any_colour(rng), rng, darkest=0.4, dark_only=True)
        elif chance < 0.55:
            _shave(cut, rng)
        elif chance < 0.65:
            _knit(cut, _any_colour(rng), rng)
    return Labelled(image, picture.boxes, picture.kind)


class _Cut:
    """A view of a head in its picture, and the soft mask of its upper part."""

    def __init__(self, view: Image) -> None:
        self.view = view
        height, width = view.shape[:2]
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        x, y = (x + 0.5) / width, (y + 0.5) / height
        inside = 1.12 - np.sqrt(((x - 0.5) / 0.5) ** 2 + ((y - 0.5) / 0.5) ** 2)
        self.ellipse: npt.NDArray[np.float32] = np.clip(inside / 0.16, 0, 1)
        self.x, self.y = x, y
        self.light: npt.NDArray[np.float32] = cv2.cvtColor(view, cv2.COLOR_BGR2GRAY).astype(np.float32)

    @classmethod
    def of(cls, image: Image, box: npt.NDArray[np.float32]) -> _Cut | None:
        height, width = image.shape[:2]
        left, top, right, bottom = np.round(box).astype(int)
        left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
        if bottom - top < _SMALL or right - left < _SMALL:
            return None
        return cls(image[top:bottom, left:right])

    def above(self, line: float, softness: float = 0.1) -> npt.NDArray[np.float32]:
        """1 above `line` (share of the height), 0 below, within the ellipse of the head."""
        mask: npt.NDArray[np.float32] = np.clip((line - self.y) / softness + 0.5, 0, 1) * self.ellipse
        return mask

    def skin(self) -> npt.NDArray[np.float32]:
        """Median colour of the middle of the face [3]."""
        height, width = self.view.shape[:2]
        middle = self.view[int(height * 0.5) : int(height * 0.75), int(width * 0.35) : int(width * 0.65)]
        colour: npt.NDArray[np.float32] = np.median(middle.reshape(-1, 3), axis=0).astype(np.float32)
        return colour

    def paint(self, colour: npt.NDArray[np.float32], mask: npt.NDArray[np.float32]) -> None:
        """Mix `colour` ([height, width, 3] or one [3]) into the picture."""
        alpha = mask[:, :, None]
        self.view[:] = np.clip(self.view * (1 - alpha) + colour * alpha, 0, 255).astype(np.uint8)


def _any_colour(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """A colour of cloth or plastic: any hue, from pale to strong."""
    hsv = np.array([[[rng.integers(180), rng.integers(20, 255), rng.integers(90, 255)]]], np.uint8)
    colour: npt.NDArray[np.float32] = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, 0].astype(np.float32)
    return colour


def _tint(
    cut: _Cut, colour: npt.NDArray[np.float32], rng: np.random.Generator, *, darkest: float, dark_only: bool = False
) -> None:
    """Another colour under the same light and texture; `dark_only` leaves what is lighter than hair."""
    mask = cut.above(rng.uniform(0.45, 0.6))
    if dark_only:
        face = max(float(cut.skin().mean()), 40.0)
        mask = mask * np.clip((0.85 * face - cut.light) / (0.2 * face) + 0.5, 0, 1)
        mask = cv2.GaussianBlur(mask, (0, 0), max(0.5, cut.view.shape[0] / 60))
    painted = cut.light[mask > 0.5]
    if len(painted) < 20:
        return
    low, high = np.percentile(painted, [5, 95])
    shade = darkest + (1.05 - darkest) * np.clip((cut.light - low) / max(high - low, 12.0), 0, 1.15)
    # The scene's own light: nothing shines at night.
    scene = np.clip(cut.skin().mean() / 150, 0.3, 1.1)
    cut.paint(colour * (shade * scene)[:, :, None], mask * np.float32(rng.uniform(0.8, 1)))


def _shave(cut: _Cut, rng: np.random.Generator) -> None:
    """A bald head: skin over the hair, lighter where lamp or sky is mirrored."""
    mask = cut.above(rng.uniform(0.38, 0.55), softness=0.25)
    glint = np.exp(-(((cut.x - rng.uniform(0.3, 0.7)) / 0.2) ** 2 + ((cut.y - rng.uniform(0.1, 0.25)) / 0.15) ** 2))
    round_off = 1 - 0.35 * ((cut.x - 0.5) / 0.5) ** 2
    texture = 0.1 * (cut.light - cut.light.mean()) / (cut.light.std() + 10)
    shade = round_off + rng.uniform(0, 0.3) * glint + texture
    cut.paint(cut.skin() * shade[:, :, None].astype(np.float32), mask * np.float32(rng.uniform(0.8, 1)))


def _knit(cut: _Cut, colour: npt.NDArray[np.float32], rng: np.random.Generator) -> None:
    """A cloth cap or hood: soft edge low on the forehead, folds, weave, no gloss."""
    height, width = cut.view.shape[:2]
    line = rng.uniform(0.3, 0.45) + rng.uniform(-0.1, 0.1) * (cut.x - 0.5)
    mask = np.clip((line - cut.y) / 0.06 + 0.5, 0, 1) * cut.ellipse
    if rng.random() < 0.3:  # a hood goes down beside the face
        beside = np.clip((np.abs(cut.x - 0.5) - 0.3) / 0.08, 0, 1) * cut.ellipse
        mask = np.maximum(mask, beside)
    folds = cv2.resize(rng.normal(0, 1, (6, 6)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    weave = cv2.GaussianBlur(rng.normal(0, 1, (height, width)).astype(np.float32), (0, 0), max(0.5, height / 80))
    shade = 0.75 - 0.3 * ((cut.x - 0.5) / 0.5) ** 2 + 0.1 * folds + 0.15 * weave
    scene = np.clip(cut.skin().mean() / 150, 0.3, 1.1)
    cut.paint(colour * (np.clip(shade, 0.1, 1.1) * scene)[:, :, None].astype(np.float32), mask.astype(np.float32))


def _glasses(cut: _Cut, rng: np.random.Generator) -> None:
    """Dark glasses: who wears them in the photographs mostly wears a helmet too, and must not be one for that."""
    eyes = rng.uniform(0.42, 0.54) + rng.uniform(-0.15, 0.15) * (cut.x - 0.5)
    middle, half = rng.uniform(0.42, 0.58), rng.uniform(0.13, 0.18)
    tall = rng.uniform(0.05, 0.09)
    away = np.abs(np.abs(cut.x - middle) - half * 1.15) / half
    lens = np.clip((1.1 - np.sqrt(away**4 + ((cut.y - eyes) / tall) ** 4) ** 0.5) / 0.25, 0, 1)
    bar = (np.abs(cut.y - eyes + 0.4 * tall) < 0.02) & (np.abs(cut.x - middle) < 0.42)
    mask = np.maximum(lens, bar) * np.clip(1.15 * cut.ellipse, 0, 1)
    mask = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), max(0.4, cut.view.shape[0] / 120))
    shine = rng.uniform(0, 70) * np.clip(1 - (cut.y - eyes + tall) / (2 * tall), 0, 1)
    tone = rng.uniform(10, 45) + rng.uniform(-8, 8, 3)
    cut.paint((tone + shine[:, :, None]).astype(np.float32), mask * np.float32(rng.uniform(0.8, 1)))
