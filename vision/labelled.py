"""Photographs with labels in the YOLO layout: `images/NAME.*` beside `labels/NAME.txt`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from core.errors import InvalidInput

CLASSES = ("helmet", "head")
"""Labels by class id: a head with a hard hat, a bare head. A box covers the whole head, the helmet included."""

_PICTURES = {".webp", ".jpg", ".jpeg", ".png", ".bmp"}

Half = Literal["tuning", "test"]
Image = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """A picture with its heads: image BGR [height, width, 3], boxes float32 [n, 4] in pixels, kind int64 [n]; `name`
    of its file, empty where it was made."""

    image: Image
    boxes: npt.NDArray[np.float32]
    kind: npt.NDArray[np.int64]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Photograph:
    """One file of a folder and the labels beside it; `rows` are class, centre x, centre y, width, height in shares."""

    path: Path
    rows: tuple[tuple[float, ...], ...]

    def read(self) -> Labelled:
        """The pixels and the boxes in them; InvalidInput where the file is no picture."""
        image = cv2.imread(str(self.path), cv2.IMREAD_COLOR)
        if image is None:
            raise InvalidInput(f"{self.path} cannot be read as a picture", hint="remove or replace it")
        height, width = image.shape[:2]
        rows = np.array(self.rows, np.float32).reshape(-1, 5)
        centre, size = rows[:, 1:3], rows[:, 3:5]
        corners = np.concatenate([centre - size / 2, centre + size / 2], axis=1)
        boxes = corners * np.array([width, height, width, height], np.float32)
        kind = rows[:, 0].astype(np.int64)
        return Labelled(np.asarray(image, np.uint8), boxes.astype(np.float32), kind, self.path.name)

    @property
    def half(self) -> Half:
        """The half that the photograph belongs to, by the hash of its name: the same on every machine."""
        return "test" if hashlib.sha256(self.path.stem.encode()).digest()[0] & 1 else "tuning"


def photographs(folder: Path, half: Half | None = None) -> list[Photograph]:
    """Every picture of `folder`/images in the order of the names, or those of one half.

    A picture without a label file has no heads. InvalidInput where the folder is not in this layout, or a label is
    not usable; the message names file and line.
    """
    if not (folder / "images").is_dir():
        raise InvalidInput(
            f"{folder} has no folder `images`", hint="give a folder with images/ and labels/ (YOLO layout)"
        )
    found = [
        Photograph(path, _rows(folder / "labels" / f"{path.stem}.txt"))
        for path in sorted((folder / "images").iterdir())
        if path.suffix.lower() in _PICTURES
    ]
    if not found:
        raise InvalidInput(f"{folder / 'images'} holds no pictures", hint=f"known are {', '.join(sorted(_PICTURES))}")
    return [photograph for photograph in found if half is None or photograph.half == half]


def _rows(path: Path) -> tuple[tuple[float, ...], ...]:
    if not path.exists():
        return ()
    return tuple(
        _row(line, path, number)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if line.strip()
    )


def _row(line: str, path: Path, number: int) -> tuple[float, ...]:
    try:
        row = tuple(float(word) for word in line.split())
    except ValueError:
        row = ()
    usable = len(row) == 5 and row[0] in range(len(CLASSES)) and all(0 <= share <= 1 for share in row[1:])
    if not usable or min(row[3:]) <= 0:
        raise InvalidInput(
            f"{path}:{number}: `{line.strip()[:80]}` is no label",
            hint="a line is: class (0 helmet, 1 head), centre x, centre y, width, height, each 0..1 of the picture",
        )
    return row
