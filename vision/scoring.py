"""How good found boxes are against labelled ones: average precision, precision and recall.

Average precision is COCO's: boxes in the order of their score take the best free label of their class that they overlap
by the threshold; precision is read at 101 recalls from its envelope.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vision.detections import ONE_HEAD, Boxes, Detections, pairwise_iou

COCO_THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
BUCKETS = (0, 8, 16, 32, 64, 128, 256)
"""Lower ends of the buckets of head heights in pixels; the last is open."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """What was found on one picture, beside what is there. `scale`: pixels of the network's input a picture's pixel;
    `name` of the picture's file."""

    found: Detections
    boxes: Boxes
    kind: npt.NDArray[np.int64]
    scale: float = 1.0
    name: str = ""


def average_precision(pictures: Sequence[Compared], kind: int, threshold: float) -> float:
    """AP of one class at one overlap, 0..1; nan where the class has no label."""
    labels = sum(int((picture.kind == kind).sum()) for picture in pictures)
    if labels == 0:
        return float("nan")
    scores, hits = [np.empty(0)], [np.empty(0, bool)]
    for picture in pictures:
        found = picture.found[picture.found.class_id == kind]
        scores.append(found.score.astype(np.float64))
        hits.append(matches(found, picture.boxes[picture.kind == kind], threshold) >= 0)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    right = np.cumsum(np.concatenate(hits)[order])
    recall = right / labels
    precision = right / np.arange(1, len(right) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return float(np.mean([envelope[place] if place < len(envelope) else 0.0 for place in places]))


def matches(found: Detections, boxes: Boxes, threshold: float) -> npt.NDArray[np.int64]:
    """For every found box the index of the label that it takes, -1 where there is none."""
    taken = np.full(len(found), -1, np.int64)
    if not len(found) or not len(boxes):
        return taken
    overlap = pairwise_iou(found.xyxy, boxes)
    free = np.ones(len(boxes), bool)
    for index in np.argsort(-found.score, kind="stable"):
        candidates = np.where(free, overlap[index], -1.0)
        best = int(candidates.argmax())
        if candidates[best] >= threshold:
            taken[index] = best
            free[best] = False
    return taken


@dataclass(slots=True)
class Tally:
    """Counts at the working threshold."""

    labels: int = 0
    found: int = 0
    right: int = 0

    def figures(self) -> dict[str, float | int | None]:
        """Counts, precision (of what was found) and recall (of what is there); None where nothing is to divide by."""
        return {
            "labels": self.labels,
            "found": self.found,
            "precision": round(self.right / self.found, 4) if self.found else None,
            "recall": round(self.right / self.labels, 4) if self.labels else None,
        }


def tally(pictures: Sequence[Compared], kind: int, score: float, threshold: float = 0.5) -> Tally:
    """Counts of one class for boxes of at least `score`."""
    total = Tally()
    for labels, found, right in _at_work(pictures, kind, score, threshold):
        total.labels += len(labels[0])
        total.found += len(found[0])
        total.right += int(right.sum())
    return total


def buckets(
    pictures: Sequence[Compared], kind: int, score: float, *, of_input: bool, threshold: float = 0.5
) -> dict[str, dict[str, float | int | None]]:
    """Figures by head height in pixels of the picture or, `of_input`, of the network's input.

    A label counts by its own height, a wrong box by the height that it claims, a right one by its label's.
    """
    tallies = [Tally() for _ in BUCKETS]
    for labels, found, right in _at_work(pictures, kind, score, threshold):
        column = 1 if of_input else 0
        for height in labels[column]:
            tallies[_bucket(height)].labels += 1
        for height, hit in zip(found[column], right, strict=True):
            bucket = tallies[_bucket(height)]
            bucket.found += 1
            bucket.right += int(hit)
    names = [f"{low}-{high}" for low, high in itertools.pairwise(BUCKETS)] + [f"{BUCKETS[-1]}-"]
    return {
        name: bucket.figures() for name, bucket in zip(names, tallies, strict=True) if bucket.labels or bucket.found
    }


def _bucket(height: float) -> int:
    return int(np.searchsorted(BUCKETS, height, side="right")) - 1


_Heights = tuple[Floats, Floats]


def _at_work(
    pictures: Sequence[Compared], kind: int, score: float, threshold: float
) -> Iterator[tuple[_Heights, _Heights, npt.NDArray[np.bool_]]]:
    """Of every picture: heights (in both pixels) of labels and of found boxes, and which are right."""
    for picture in pictures:
        at_work = picture.found[picture.found.score >= score].without_overlaps(ONE_HEAD)
        found = at_work[at_work.class_id == kind]
        boxes = picture.boxes[picture.kind == kind]
        taken = matches(found, boxes, threshold)
        high = (boxes[:, 3] - boxes[:, 1]).astype(np.float64)
        claimed = found.height.astype(np.float64)
        claimed[taken >= 0] = high[taken[taken >= 0]]
        yield (high, high * picture.scale), (claimed, claimed * picture.scale), taken >= 0
