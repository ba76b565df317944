"""`python -m benchmarks.vision.weather --data DIR [--pictures N]`: what haze, rain and grain do to the detector.

Labelled photographs (YOLO layout, `images/` and `labels/`) are made worse as weather and a camera's gain do it, and the
run-time detector is scored on each: precision and recall of bare heads, and the helmets that it calls bare heads, at
the score of a clear picture and at that for noise (`noise_score`). Three in five have bare heads; which photographs,
and the weather in each, are the same in every run.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.report import conclude, machine
from core.settings import CameraSettings, VisionSettings
from vision.detections import pairwise_iou
from vision.detectors import load_detector
from vision.evaluate import compare
from vision.labelled import CLASSES, Image, Labelled, Photograph, photographs
from vision.scoring import Compared, tally

Weather = Callable[[Image, np.random.Generator], Image]

_HELMET, _HEAD = CLASSES.index("helmet"), CLASSES.index("head")
_SKY = 200
"""Grey level of haze, of 255."""


def haze(share: float) -> Weather:
    """`share` of each pixel is the sky's grey, as of light scattered on the way (Koschmieder's law, one depth)."""
    return lambda image, _: _bytes(image * (1 - share) + _SKY * share)


def grain(sigma: float) -> Weather:
    """Noise of the gain at night: `sigma` grey levels, the same in all three colours."""
    return lambda image, rng: _bytes(image + rng.normal(0, sigma, (*image.shape[:2], 1)))


def rain(image: Image, rng: np.random.Generator) -> Image:
    """250 bright streaks and a wet lens."""
    wet = image.copy()
    height, width = image.shape[:2]
    for x, y, length in rng.integers((0, 0, 8), (width, height, 25), (250, 3)).tolist():
        cv2.line(wet, (x, y), (x - 2, y + length), (210, 205, 200), 1, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(wet, (0, 0), 0.8), np.uint8)


WEATHERS: Mapping[str, Weather] = {
    "clear": lambda image, _: image,
    "haze, half": haze(0.5),
    "haze, 7 of 10": haze(0.7),
    "haze, 17 of 20": haze(0.85),
    "rain": rain,
    "grain, 15 levels": grain(15),
    "grain, 30 levels": grain(30),
}


@dataclass(frozen=True, slots=True)
class InWeather:
    """A photograph that is read in some weather, the same each time."""

    photograph: Photograph
    weather: Weather

    def read(self) -> Labelled:
        """As the photograph's, with the weather in it."""
        clear = self.photograph.read()
        rng = np.random.default_rng(zlib.crc32(self.photograph.path.stem.encode()))
        return Labelled(self.weather(clear.image, rng), clear.boxes, clear.kind)


def chosen(folder: Path, count: int) -> list[Photograph]:
    """`count` photographs, three of five with a bare head if there are so many."""
    rng = np.random.default_rng(0)
    found = photographs(folder)
    order = [found[index] for index in rng.permutation(len(found))]
    with_head = [one for one in order if any(row[0] == _HEAD for row in one.rows)][: count * 3 // 5]
    others = [one for one in order if one not in with_head]
    return with_head + others[: count - len(with_head)]


def figures(compared: Sequence[Compared], score: float) -> dict[str, float | int | None]:
    """Of bare heads at `score`, and the labelled helmets that lie under a box of a bare head."""
    heads = tally(compared, _HEAD, score).figures()
    mistaken = 0
    for picture in compared:
        called = picture.found[(picture.found.class_id == _HEAD) & (picture.found.score >= score)]
        helmets = picture.boxes[picture.kind == _HELMET]
        if len(called) and len(helmets):
            mistaken += int((pairwise_iou(called.xyxy, helmets) >= 0.5).any(axis=0).sum())
    return {**heads, "helmets_called_heads": mistaken}


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.vision.weather", description=__doc__)
    parser.add_argument("--json", action="store_true", help="the JSON object is all that is printed in any case")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder with images/ and labels/")
    parser.add_argument("--pictures", type=int, default=200)
    options = parser.parse_args()
    about = machine()
    detector = load_detector(VisionSettings())
    defaults = CameraSettings()
    pictures = chosen(options.data, options.pictures)
    table: dict[str, Any] = {}
    for name, weather in WEATHERS.items():
        compared, _ = compare(detector, [InWeather(one, weather) for one in pictures])
        table[name] = {str(score): figures(compared, score) for score in (defaults.score, defaults.noise_score)}
        print(name, table[name], file=sys.stderr, flush=True)
    conclude({"pictures": len(pictures), "model": detector.name, "weather": table}, about, [])


def _bytes(pixels: np.ndarray[Any, Any]) -> Image:
    return np.asarray(np.clip(pixels, 0, 255), np.uint8)


if __name__ == "__main__":
    main()
