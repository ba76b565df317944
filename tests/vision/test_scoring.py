"""Average precision against pycocotools, and the counts behind precision, recall and buckets."""

from __future__ import annotations

import contextlib
import io
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from vision.detections import Detections
from vision.scoring import COCO_THRESHOLDS, Compared, average_precision, buckets, matches, tally


def scene(rng: np.random.Generator, pictures: int, noise: float) -> list[Compared]:
    """Labels of two classes; found are most of them, moved a little, and some that are not there."""
    made = []
    for _ in range(pictures):
        count = int(rng.integers(0, 6))
        corner = rng.uniform(0, 300, (count, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(8, 120, (count, 2))], axis=1).astype(np.float32)
        kind = rng.integers(0, 2, count)
        seen = rng.random(count) < 0.8
        false = int(rng.integers(0, 4))
        corner = rng.uniform(0, 300, (false, 2))
        wrong = np.concatenate([corner, corner + rng.uniform(8, 120, (false, 2))], axis=1)
        moved = boxes[seen] + rng.normal(0, noise, (int(seen.sum()), 4))
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        found = np.concatenate([moved, wrong]).astype(np.float32)
        classes = np.concatenate([kind[seen], rng.integers(0, 2, false)]).astype(np.int16)
        # Scores without ties: their order decides, and no two programs break ties alike.
        score = rng.permutation(1000)[: len(found)].astype(np.float32) / 1000 + rng.uniform(0, 1e-4)
        made.append(Compared(Detections(found, score.astype(np.float32), classes), boxes, kind.astype(np.int64)))
    return made


def by_pycocotools(pictures: list[Compared], kind: int) -> tuple[float, float]:
    """AP50 and AP50-95 of one class."""
    labels, found = [], []
    for number, picture in enumerate(pictures, 1):
        for box, category in zip(picture.boxes.astype(float), picture.kind, strict=True):
            sides = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            labels.append(
                {
                    "id": len(labels) + 1,
                    "image_id": number,
                    "category_id": int(category) + 1,
                    "bbox": sides,
                    "area": sides[2] * sides[3],
                    "iscrowd": 0,
                }
            )
        for box, score, category in zip(
            picture.found.xyxy.astype(float), picture.found.score, picture.found.class_id, strict=True
        ):
            sides = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            found.append({"image_id": number, "category_id": int(category) + 1, "bbox": sides, "score": float(score)})
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": number} for number in range(1, len(pictures) + 1)],
            "annotations": labels,
            "categories": [{"id": 1}, {"id": 2}],
        }
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(found), "bbox")
        run.params.catIds = [kind + 1]
        run.evaluate()
        run.accumulate()
        run.summarize()
    return float(run.stats[1]), float(run.stats[0])


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("noise", [0.5, 4.0])
def test_average_precision_is_that_of_pycocotools(seed: int, noise: float) -> None:
    pictures = scene(np.random.default_rng(seed), 40, noise)
    for kind in (0, 1):
        ap50, ap = by_pycocotools(pictures, kind)
        assert average_precision(pictures, kind, 0.5) == pytest.approx(ap50, abs=1e-6)
        mean = np.mean([average_precision(pictures, kind, threshold) for threshold in COCO_THRESHOLDS])
        assert mean == pytest.approx(ap, abs=1e-6)


def test_what_was_found_exactly_scores_one_and_nothing_scores_zero() -> None:
    boxes = np.array([[0, 0, 20, 20], [50, 50, 90, 90]], np.float32)
    kind = np.array([0, 0])
    exact = Detections(boxes, np.array([0.9, 0.8], np.float32), np.zeros(2, np.int16))
    assert average_precision([Compared(exact, boxes, kind)], 0, 0.95) == 1
    assert average_precision([Compared(Detections.empty(), boxes, kind)], 0, 0.5) == 0
    assert math.isnan(average_precision([Compared(exact, boxes, kind)], 1, 0.5))


@given(seed=st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_a_label_is_taken_once_and_only_by_what_overlaps(seed: int) -> None:
    for picture in scene(np.random.default_rng(seed), 3, 3.0):
        taken = matches(picture.found, picture.boxes, 0.5)
        right = taken[taken >= 0]
        assert len(set(right.tolist())) == len(right)


def test_counts_and_buckets_at_the_working_threshold() -> None:
    boxes = np.array([[0, 0, 10, 10], [50, 50, 90, 90]], np.float32)  # 10 and 40 px
    found = Detections(
        np.array([[50, 50, 90, 92], [200, 0, 300, 100], [0, 0, 10, 10]], np.float32),
        np.array([0.9, 0.7, 0.3], np.float32),  # right, wrong (100 px), right but too weak
        np.zeros(3, np.int16),
    )
    pictures = [Compared(found, boxes, np.array([0, 0]), scale=0.5)]
    assert tally(pictures, 0, 0.5).figures() == {"labels": 2, "found": 2, "precision": 0.5, "recall": 0.5}
    assert tally(pictures, 0, 0.25).figures() == {"labels": 2, "found": 3, "precision": 0.6667, "recall": 1.0}
    assert buckets(pictures, 0, 0.5, of_input=False) == {
        "8-16": {"labels": 1, "found": 0, "precision": None, "recall": 0.0},
        "32-64": {"labels": 1, "found": 1, "precision": 1.0, "recall": 1.0},
        "64-128": {"labels": 0, "found": 1, "precision": 0.0, "recall": None},
    }
    # The network sees half of it: 5, 20 and 50 px.
    assert set(buckets(pictures, 0, 0.5, of_input=True)) == {"0-8", "16-32", "32-64"}
    json.dumps(buckets(pictures, 0, 0.5, of_input=True), allow_nan=False)
