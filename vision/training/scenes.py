"""What a site camera does to a picture: wide lenses, night, rain, blur, few bits."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from vision.labelled import Image, Labelled


def as_seen_on_site(picture: Labelled, rng: np.random.Generator) -> Labelled:
    """The picture through a random camera, in random weather; boxes move only with the lens."""
    if rng.random() < 0.1:
        picture = _wide_lens(picture, rng)
    image = _colours(picture.image, rng)
    if rng.random() < 0.1:
        image = _round_object(image, picture.boxes, rng)
    if rng.random() < 0.12:
        image = _night(image, rng)
    if rng.random() < 0.15:
        image = _grey(image)
    if rng.random() < 0.06:
        image = _rain(image, rng)
    chance = rng.random()
    if chance < 0.12:
        image = _blur(image, rng)
    elif chance < 0.3:
        image = _sharpen(image, rng)
    elif chance < 0.42:
        image = _coarse(image, rng)
    if rng.random() < 0.3:
        image = _few_bits(image, rng)
    return Labelled(image, picture.boxes, picture.kind)


def _wide_lens(picture: Labelled, rng: np.random.Generator) -> Labelled:
    """Barrel distortion as of a 2.8 mm gate camera; a box becomes the hull of its bent outline."""
    height, width = picture.image.shape[:2]
    bend = rng.uniform(0.15, 0.6)
    centre = np.array([width / 2, height / 2], np.float32)
    reach = float(np.hypot(*centre))
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    dx, dy = (x - centre[0]) / reach, (y - centre[1]) / reach
    stretch = (1 + bend * (dx * dx + dy * dy)) / (1 + bend)  # from bent to straight; the corners stay
    straight_x, straight_y = dx * stretch * reach + centre[0], dy * stretch * reach + centre[1]
    bent_image = cv2.remap(picture.image, straight_x, straight_y, cv2.INTER_LINEAR, borderValue=(114, 114, 114))
    image = np.asarray(bent_image, np.uint8)
    if not len(picture.boxes):
        return Labelled(image, picture.boxes, picture.kind)
    share = np.linspace(0, 1, 5, dtype=np.float32)
    edges = np.concatenate(
        [np.stack([share, np.full(5, side, np.float32)], 1) for side in (0, 1)]
        + [np.stack([np.full(5, side, np.float32), share], 1) for side in (0, 1)]
    )
    low, size = picture.boxes[:, None, :2], (picture.boxes[:, 2:] - picture.boxes[:, :2])[:, None]
    straight = (low + edges * size - centre) / reach
    radius = np.linalg.norm(straight, axis=2)
    bent = radius.copy()
    for _ in range(12):  # Newton: bent * (1 + bend * bent^2) / (1 + bend) = radius
        bent -= (bent * (1 + bend * bent**2) - radius * (1 + bend)) / (1 + 3 * bend * bent**2)
    points = straight * (bent / np.maximum(radius, 1e-6))[:, :, None] * reach + centre
    boxes = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
    limits = np.array([width, height, width, height], np.float32)
    return Labelled(image, boxes.clip(0, limits).astype(np.float32), picture.kind)


def _colours(image: Image, rng: np.random.Generator) -> Image:
    """Another white balance, saturation, light and contrast."""
    gains = rng.uniform(0.85, 1.15, 3) * rng.uniform(0.6, 1.35)
    contrast, saturation = rng.uniform(0.75, 1.25), rng.uniform(0.3, 1.4)
    # All of it is linear, so that one matrix [3, 3 + 1] does it in a pass: contrast around 110 and gains first, then
    # each channel's distance from the mean of the three.
    mix = saturation * np.eye(3) + (1 - saturation) / 3
    linear = mix @ np.diag(gains * contrast)
    offset = mix @ (gains * 110 * (1 - contrast))
    return np.asarray(cv2.transform(image, np.column_stack([linear, offset])), np.uint8)


def _grey(image: Image) -> Image:
    return np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), np.uint8)


def _night(image: Image, rng: np.random.Generator) -> Image:
    """Little light from a lamp somewhere, its colour, and the noise of the gain."""
    height, width = image.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    lamp = ((x / width - rng.uniform(0, 1)) ** 2 + (y / height - rng.uniform(0, 1)) ** 2) / rng.uniform(0.1, 0.8)
    light = rng.uniform(0.15, 0.35) + rng.uniform(0.1, 0.5) * np.exp(-lamp)
    cast = np.array([rng.uniform(0.6, 1.1), rng.uniform(0.85, 1.0), rng.uniform(0.85, 1.1)], np.float32)
    dark = 255 * (image / np.float32(255)) ** np.float32(rng.uniform(1.0, 1.5)) * light[:, :, None] * cast
    noise = rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(2, 12))
    return _bytes(dark.astype(np.float32) + noise)


def _rain(image: Image, rng: np.random.Generator) -> Image:
    """Streaks of one direction and length, and the veil between."""
    height, width = image.shape[:2]
    drops = (rng.random((height, width)) < rng.uniform(0.002, 0.01)).astype(np.float32)
    length = int(rng.integers(7, 21))
    streak = np.zeros((length, length), np.float32)
    lean = int(rng.integers(-length // 3, length // 3 + 1))
    cv2.line(streak, (length // 2 - lean, 0), (length // 2 + lean, length - 1), 1.0)
    streaks = np.clip(cv2.filter2D(drops, -1, streak), 0, 1)[:, :, None] * np.float32(rng.uniform(40, 110))
    veil = np.float32(rng.uniform(0, 0.25))
    return _bytes(image * (1 - veil) + 170 * veil + streaks)


def _blur(image: Image, rng: np.random.Generator) -> Image:
    """Out of focus, or moving."""
    if rng.random() < 0.5:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 2.0)), np.uint8)
    length = int(rng.integers(3, 9))
    kernel = np.zeros((length, length), np.float32)
    angle = rng.uniform(0, np.pi)
    middle, reach = (length - 1) / 2, np.array([np.cos(angle), np.sin(angle)]) * (length - 1) / 2
    ends = [tuple(round(middle + sign * part) for part in reach) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)


def _sharpen(image: Image, rng: np.random.Generator) -> Image:
    """The edge enhancement of cameras, so that an enlarged head is not known by its softness."""
    soft = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.8, 2.5))
    amount = rng.uniform(0.4, 1.8)
    return np.asarray(cv2.addWeighted(image, 1 + amount, soft, -amount, 0), np.uint8)


def _coarse(image: Image, rng: np.random.Generator) -> Image:
    """A small sensor: fewer pixels, enlarged."""
    height, width = image.shape[:2]
    factor = rng.uniform(0.4, 0.85)
    small = cv2.resize(image, (round(width * factor), round(height * factor)), interpolation=cv2.INTER_AREA)
    way = cv2.INTER_LINEAR if rng.random() < 0.7 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(small, (width, height), interpolation=way), np.uint8)


def _few_bits(image: Image, rng: np.random.Generator) -> Image:
    coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 70))])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)


def _round_object(image: Image, boxes: npt.NDArray[np.float32], rng: np.random.Generator) -> Image:
    """Balls, lamps, buckets: shaded ellipses that touch no head and are no head."""
    changed = image.copy()
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(1, 4))):
        across, high = rng.uniform(0.03, 0.2, 2) * min(height, width)
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        apart = (
            (boxes[:, 0] > x + across)
            | (boxes[:, 2] < x - across)
            | (boxes[:, 1] > y + high)
            | (boxes[:, 3] < y - high)
        )
        if not apart.all():
            continue
        colour = rng.uniform(20, 255, 3)
        for ring in range(6):  # lighter towards the lamp
            part = 1 - ring / 6
            middle = (round(x - 0.3 * across * (1 - part)), round(y - 0.3 * high * (1 - part)))
            axes = (max(1, round(across * part)), max(1, round(high * part)))
            cv2.ellipse(changed, middle, axes, 0, 0, 360, tuple(np.clip(colour * (0.6 + 0.1 * ring), 0, 255)), -1)
    return changed


def _bytes(values: npt.NDArray[np.float32]) -> Image:
    return np.clip(values, 0, 255).astype(np.uint8)
