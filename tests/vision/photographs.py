"""A folder in the YOLO layout, made of scikit-image's photographs and shapes; nothing of the data set."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from skimage import data


def cameraman(side: int) -> np.ndarray:
    """scikit-image's CC0 photograph: a dark-haired bare head at (160, 62)..(272, 200) of 512."""
    return cv2.resize(cv2.cvtColor(data.camera(), cv2.COLOR_GRAY2BGR), (side, side), interpolation=cv2.INTER_AREA)


HEAD_IN_CAMERAMAN = (160 / 512, 62 / 512, 272 / 512, 200 / 512)


def write(folder: Path, name: str, image: np.ndarray, rows: list[tuple[int, float, float, float, float]]) -> None:
    """`rows`: class, left, top, right, bottom in shares of the picture."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / "images" / f"{name}.png"), image)
    lines = [f"{kind} {(x0 + x1) / 2} {(y0 + y1) / 2} {x1 - x0} {y1 - y0}" for kind, x0, y0, x1, y1 in rows]
    (folder / "labels" / f"{name}.txt").write_text("\n".join(lines))


def small_set(folder: Path, count: int = 6) -> Path:
    """`count` pictures of the cameraman, the label moved along with him; every second one wears a painted helmet."""
    rng = np.random.default_rng(1)
    for number in range(count):
        man = cameraman(240)
        kind = number % 2
        if kind == 0:
            cv2.ellipse(man, (101, 55), (30, 30), 0, 180, 360, (0, 210, 240), -1)
        picture = rng.integers(90, 160, (300, 400, 3), np.uint8)
        left = 20 + 20 * number
        picture[60:300, left : left + 240] = man
        x0, y0, x1, y1 = (share * 240 for share in HEAD_IN_CAMERAMAN)
        box = ((left + x0) / 400, (60 + y0) / 300, (left + x1) / 400, (60 + y1) / 300)
        write(folder, f"man-{number}", picture, [(kind, *box)])
    return folder
