"""Follows heads from picture to picture by overlap and distance from where they would have gone; small on purpose.

At one picture a second a walker's boxes do not overlap, so a second pass matches by centre distance in head heights.
A head is looked for where its velocity (smoothed, constant) takes it: of two walkers, one behind the other, the second
is by then about where the first was. Of two that are as near, the one of the same class is the likelier.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vision.detections import Boxes, Detections, pairwise_iou

_LEAST_IOU = 0.2
_REACH = 1.0  # head heights that a box may jump at once ...
_SPEED = 5.0  # ... and per second: a walker makes 1.4 m/s, a head is 0.25 m high
_SIZE_RATIO = 1.8  # a head does not grow or shrink by more between two looks
_OTHER_CLASS = 0.2  # of the reach: hats are seldom taken off between two looks
_SMOOTH_S = 0.4  # a step of so many seconds changes the velocity by half: boxes tremble, which short steps exaggerate


@dataclass(slots=True)
class _Track:
    number: int
    box: Boxes  # [4]
    kind: int
    seen_at: float
    velocity: npt.NDArray[np.float32] | None = None  # pixels a second [x, y]; unknown at first sight

    def at(self, moment: float) -> Boxes:
        """Where the box would be."""
        if self.velocity is None:
            return self.box
        return self.box + np.tile(self.velocity * np.float32(moment - self.seen_at), 2)

    def seen(self, box: Boxes, kind: int, moment: float) -> None:
        """It is here now."""
        step = moment - self.seen_at
        if step > 0:
            moved = (box[:2] + box[2:] - self.box[:2] - self.box[2:]) / np.float32(2 * step)
            weight = np.float32(step / (step + _SMOOTH_S))
            self.velocity = moved if self.velocity is None else self.velocity + weight * (moved - self.velocity)
        self.box, self.kind, self.seen_at = box, kind, moment


class Tracker:
    """Numbers the heads of one camera, whatever their class: a head that takes its hat off stays the same head."""

    def __init__(self, *, forget_s: float = 3.0) -> None:
        """A track that is not seen for `forget_s` seconds is over; its number is not used again."""
        self._forget_s = forget_s
        self._tracks: list[_Track] = []
        self._next = 1

    @property
    def alive(self) -> frozenset[int]:
        """Numbers of the tracks that may still be seen again."""
        return frozenset(track.number for track in self._tracks)

    def update(self, detections: Detections, at: float) -> npt.NDArray[np.int32]:
        """Take in the picture of `at` (seconds, rising); return the track number of every box [n]."""
        self._tracks = [track for track in self._tracks if at - track.seen_at <= self._forget_s]
        numbers = np.zeros(len(detections), np.int32)
        if self._tracks and len(detections):
            known = np.stack([track.at(at) for track in self._tracks])
            free_tracks = np.ones(len(known), bool)
            for cost in (_overlap_cost(known, detections.xyxy), self._distance_cost(known, detections, at)):
                _match_greedily(cost, free_tracks, numbers, [track.number for track in self._tracks])
        by_number = {track.number: track for track in self._tracks}
        for index, number in enumerate(numbers):
            box, kind = detections.xyxy[index], int(detections.class_id[index])
            if number:
                by_number[int(number)].seen(box, kind, at)
            else:
                numbers[index] = self._next
                self._tracks.append(_Track(self._next, box, kind, at))
                self._next += 1
        return numbers

    def _distance_cost(self, known: Boxes, found: Detections, at: float) -> npt.NDArray[np.float32]:
        """Centre distance over what the head may have gone [tracks, boxes], more for another class; inf: not the same
        head."""
        boxes = found.xyxy
        centres = [(part[:, :2] + part[:, 2:]) / 2 for part in (known, boxes)]
        distance = np.linalg.norm(centres[0][:, None] - centres[1][None], axis=2)
        heights = [np.maximum(part[:, 3] - part[:, 1], 1) for part in (known, boxes)]
        ratio = heights[0][:, None] / heights[1][None]
        unseen_s = np.array([at - track.seen_at for track in self._tracks], np.float32)
        reach = (_REACH + _SPEED * unseen_s)[:, None] * np.maximum(heights[0][:, None], heights[1][None])
        cost: npt.NDArray[np.float32] = (distance / reach).astype(np.float32)
        cost[(cost > 1) | (ratio > _SIZE_RATIO) | (ratio < 1 / _SIZE_RATIO)] = np.inf
        kinds = np.array([track.kind for track in self._tracks])
        cost[kinds[:, None] != found.class_id[None]] += _OTHER_CLASS
        return cost


def _overlap_cost(known: Boxes, boxes: Boxes) -> npt.NDArray[np.float32]:
    """1 - IoU [tracks, boxes]; inf where they hardly overlap."""
    cost = 1 - pairwise_iou(known, boxes)
    cost[cost > 1 - _LEAST_IOU] = np.inf
    return cost


def _match_greedily(
    cost: npt.NDArray[np.float32],
    free_tracks: npt.NDArray[np.bool_],
    numbers: npt.NDArray[np.int32],
    names: list[int],
) -> None:
    """Pair free tracks with boxes still without number, cheapest first; marks both in place."""
    for flat in np.argsort(cost, axis=None, kind="stable"):
        track, box = divmod(int(flat), cost.shape[1])
        if not np.isfinite(cost[track, box]):
            return
        if free_tracks[track] and not numbers[box]:
            free_tracks[track] = False
            numbers[box] = names[track]
