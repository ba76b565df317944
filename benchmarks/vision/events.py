"""Episodes held against what the cameras showed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from benchmarks.vision.cameras import began
from benchmarks.vision.sequences import ROUND_S, SEQUENCES

_EARLY_S, _LATE_S = 1.0, 3.0  # network, decoder and the looks that a vote takes


@dataclass(frozen=True, slots=True)
class Visit:
    """A bare head was in camera's picture, wall time in seconds."""

    camera: int
    start: float
    end: float


def visits(cameras: int, epoch: float, since: float, until: float) -> list[Visit]:
    """All that began after `since` and were over before `until`."""
    found = []
    for camera in range(cameras):
        for start, end in SEQUENCES[camera % len(SEQUENCES)].bare:
            first = began(epoch, camera)
            for turn in count(int((since - first) // ROUND_S)):
                visit = Visit(camera, first + turn * ROUND_S + start, first + turn * ROUND_S + end)
                if visit.end > until:
                    break
                if visit.start >= since:
                    found.append(visit)
    return found


def score(shown: Sequence[Visit], episodes: Iterable[tuple[int, float, float]]) -> dict[str, Any]:
    """Episodes (camera, start, end) counted: visits found, second episodes of the same visit, and those of no visit."""
    found: dict[Visit, int] = dict.fromkeys(shown, 0)
    false: list[int] = []
    for camera, start, end in episodes:
        fitting = [
            visit
            for visit in shown
            if visit.camera == camera and start <= visit.end + _LATE_S and end >= visit.start - _EARLY_S
        ]
        if fitting:
            found[fitting[0]] += 1
        else:
            false.append(camera)
    missed = [visit.camera for visit, times in found.items() if not times]
    again = [visit.camera for visit, times in found.items() for _ in range(times - 1)]
    return {
        "visits": len(shown),
        "found": sum(times > 0 for times in found.values()),
        "duplicates": len(again),
        "false": len(false),
        "missed_by_sequence": _by_sequence(missed),
        "duplicates_by_sequence": _by_sequence(again),
        "false_by_sequence": _by_sequence(false),
    }


def _by_sequence(cameras: list[int]) -> dict[str, int]:
    names = [SEQUENCES[camera % len(SEQUENCES)].name for camera in cameras]
    return {name: names.count(name) for name in sorted(set(names))}
