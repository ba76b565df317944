"""What a detector got wrong on labelled photographs, to be looked at: some of it are mistakes of the labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from core.errors import ConfigurationError
from vision.detections import ONE_HEAD, Boxes, pairwise_iou
from vision.frame import Image, crop, enlarged, jpeg
from vision.labelled import CLASSES, Photograph
from vision.scoring import Compared, matches

_OVERLAP = 0.5
_PIECE_PX = 320
_FOUND, _LABELLED = (60, 60, 230), (80, 200, 80)  # BGR

Corners = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Mistake:
    """A box without a label (`wrong`) or a label without a box (`missed`).

    box: x1, y1, x2, y2 in pixels of the picture. score: 0..1, of a wrong one. instead: of a wrong one the class that
    is labelled there, of a missed one the class that was found there; empty: none.
    """

    picture: str
    kind: Literal["wrong", "missed"]
    label: str
    box: Corners
    score: float | None
    instead: str


def mistakes(compared: Sequence[Compared], score: float, most: int) -> list[Mistake]:
    """Of every class the `most` strongest wrong boxes and the `most` largest missed heads at the working threshold."""
    chosen: list[Mistake] = []
    for kind in range(len(CLASSES)):
        of_class = [mistake for picture in compared for mistake in _of_class(picture, kind, score)]
        wrong = [mistake for mistake in of_class if mistake.kind == "wrong"]
        missed = [mistake for mistake in of_class if mistake.kind == "missed"]
        chosen += sorted(wrong, key=lambda mistake: -(mistake.score or 0))[:most]
        chosen += sorted(missed, key=lambda mistake: mistake.box[1] - mistake.box[3])[:most]
    return chosen


def _of_class(picture: Compared, kind: int, score: float) -> list[Mistake]:
    at_work = picture.found[picture.found.score >= score].without_overlaps(ONE_HEAD)
    found, boxes = at_work[at_work.class_id == kind], picture.boxes[picture.kind == kind]
    taken = matches(found, boxes, _OVERLAP)
    wrong = [
        Mistake(
            picture.name, "wrong", CLASSES[kind], _corners(found.xyxy[index]), round(float(found.score[index]), 4),
            _there(found.xyxy[index], picture.boxes, picture.kind),
        )
        for index in np.flatnonzero(taken < 0)
    ]  # fmt: skip
    missed = [
        Mistake(
            picture.name, "missed", CLASSES[kind], _corners(boxes[index]), None,
            _there(boxes[index], at_work.xyxy, at_work.class_id),
        )
        for index in set(range(len(boxes))) - set(taken.tolist())
    ]  # fmt: skip
    return wrong + missed


def _corners(box: Boxes) -> Corners:
    x1, y1, x2, y2 = (round(float(value), 1) for value in box)
    return x1, y1, x2, y2


def _there(box: Boxes, others: Boxes, kinds: np.ndarray) -> str:
    """The class of the other box that this one overlaps most."""
    if not len(others):
        return ""
    overlap = pairwise_iou(box[None], others)[0]
    best = int(overlap.argmax())
    return CLASSES[int(kinds[best])] if overlap[best] >= _OVERLAP else ""


def new_folder(folder: Path) -> Path:
    """Make the folder; ConfigurationError where it cannot be, or holds something: two runs could not be told apart."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        used = any(folder.iterdir())
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be made ({error.strerror})", hint="name another folder") from error
    if used:
        raise ConfigurationError(f"{folder} is not empty", hint="name a new folder for the mistakes")
    return folder


def write(folder: Path, found: Sequence[Mistake], photographs: Sequence[Photograph]) -> None:
    """Write `mistakes.json` and of each a piece of its photograph, named by class, kind and rank; found boxes are red,
    labels green."""
    by_name = {photograph.path.name: photograph for photograph in photographs}
    ranks: dict[tuple[str, str], int] = {}
    told = []
    for mistake in found:
        rank = ranks[mistake.label, mistake.kind] = ranks.get((mistake.label, mistake.kind), 0) + 1
        name = f"{mistake.label}-{mistake.kind}-{rank:03}.jpg"
        (folder / name).write_bytes(jpeg(_piece(by_name[mistake.picture], mistake)))
        told.append({"piece": name, **asdict(mistake)})
    (folder / "mistakes.json").write_text(json.dumps(told, indent=1), encoding="utf-8")


def _piece(photograph: Photograph, mistake: Mistake) -> Image:
    picture = photograph.read()
    image = picture.image.copy()
    for corners in picture.boxes:
        _frame(image, _corners(corners), _LABELLED)
    if mistake.kind == "wrong":
        x1, y1, x2, y2 = mistake.box
        _frame(image, (x1 - 1, y1 - 1, x2 + 1, y2 + 1), _FOUND)  # beside a label of the same place
    piece = crop(image, mistake.box)
    grown = _PIECE_PX / max(piece.shape[:2])
    return piece if grown <= 1 else enlarged(piece, round(piece.shape[0] * grown), round(piece.shape[1] * grown))


def _frame(image: Image, box: Corners, colour: tuple[int, int, int]) -> None:
    x1, y1, x2, y2 = (round(value) for value in box)
    cv2.rectangle(image, (x1, y1), (x2, y2), colour, 1)
