"""The value that vision works on: boxes of one frame as parallel arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.float32]

ONE_HEAD = 0.6
"""Boxes that overlap by more are the same head."""


def pairwise_iou(first: Boxes, second: Boxes) -> npt.NDArray[np.float32]:
    """Intersection over union of every box of `first` [n, 4] with every box of `second` [m, 4]: [n, m]."""
    corner = np.maximum(first[:, None, :2], second[None, :, :2])
    opposite = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.clip(opposite - corner, 0, None).prod(axis=2)
    areas = [(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None, :] - shared
    iou: npt.NDArray[np.float32] = np.divide(shared, union, out=np.zeros_like(union), where=union > 0)
    return iou


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """n boxes of one frame.

    xyxy: float32 [n, 4], pixels of the frame (left, top, right, bottom).
    score: float32 [n], 0..1. class_id: int16 [n], index into the detector's `classes`.
    """

    xyxy: Boxes
    score: npt.NDArray[np.float32]
    class_id: npt.NDArray[np.int16]

    def __post_init__(self) -> None:
        n = len(self.score)
        if self.xyxy.shape != (n, 4) or self.class_id.shape != (n,):
            raise ValueError(f"arrays do not match: {self.xyxy.shape}, {self.score.shape}, {self.class_id.shape}")

    @classmethod
    def empty(cls) -> Detections:
        """No box at all."""
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int16))

    def __len__(self) -> int:
        return len(self.score)

    def __getitem__(self, choice: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Detections:
        """The boxes that a mask or index array chooses."""
        return Detections(self.xyxy[choice], self.score[choice], self.class_id[choice])

    @property
    def height(self) -> npt.NDArray[np.float32]:
        """Box heights in pixels [n]."""
        return self.xyxy[:, 3] - self.xyxy[:, 1]

    def scaled(self, across: float, down: float) -> Detections:
        """The same boxes on a picture that is so many times as wide and as high."""
        return Detections(self.xyxy * np.array([across, down, across, down], np.float32), self.score, self.class_id)

    def without_overlaps(self, iou: float, *, by_class: bool = False) -> Detections:
        """The strongest of every group of boxes that overlap by more than `iou` (non-maximum suppression).

        One head may come out both bare and helmeted; it is one head, and the stronger opinion stands, unless
        `by_class` keeps the strongest of each class.
        """
        order = np.argsort(-self.score, kind="stable")
        overlaps = pairwise_iou(self.xyxy, self.xyxy) > iou
        if by_class:
            overlaps &= self.class_id[:, None] == self.class_id[None, :]
        kept: list[int] = []
        for index in order:
            if not overlaps[index, kept].any():
                kept.append(int(index))
        return self[np.array(kept, np.intp)]
