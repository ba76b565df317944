"""Running numbers of devices: which messages never came, came late, came again, and when numbering began anew.

What a worker hears is gathered as spans of consecutive numbers and laid upon the device's row about once a second. The
row alone is the memory: it does not matter which worker heard what, nor in which order spans are laid on.

A *run* is the time between two restarts of a device. Runs are told apart by event time: a number that is not above the
newest one, but was measured after it, begins a new run; one that was measured before is of an earlier run, or repeated.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping

import msgspec

JUMP = 3_000_000
"""A gap may be as wide as this (30 days at one a second); a wider one is taken for a restart."""
_RUNS = 4
_GAPS = 64


class Span(msgspec.Struct, array_like=True):
    """Numbers low to high, each heard once; event time of the first and the last in microseconds."""

    low: int
    high: int
    first: int
    last: int


Numbers = Mapping[int, list[Span]]
"""What was heard, by device."""


def note(heard: dict[int, list[Span]], device: int, number: int, time: int) -> None:
    """Note a numbered reading."""
    spans = heard.get(device)
    if spans is None:
        heard[device] = [Span(number, number, time, time)]
        return
    span = spans[-1]
    if number == span.high + 1 and time >= span.last:
        span.high, span.last = number, time
    else:
        spans.append(Span(number, number, time, time))


def joined(one: Numbers, other: Numbers) -> dict[int, list[Span]]:
    """What was heard in `one`, then in `other`; neither is changed."""
    both = {device: list(spans) for device, spans in one.items()}
    for device, spans in other.items():
        so_far = both.setdefault(device, [])
        head, *rest = spans
        if so_far and head.low == so_far[-1].high + 1 and head.first >= so_far[-1].last:
            so_far[-1] = Span(so_far[-1].low, head.high, so_far[-1].first, head.last)
        else:
            so_far.append(head)
        so_far += rest
    return both


class Run(msgspec.Struct):
    """Numbers `low` to `newest` without `gaps` (first and last number of each, ascending).

    `start` and `time` are the event times, in microseconds, of its first number and of `newest`.
    """

    start: int
    low: int
    newest: int
    time: int
    gaps: list[tuple[int, int]] = []

    @property
    def open(self) -> int:
        """Numbers in gaps."""
        return sum(high - low + 1 for low, high in self.gaps)

    def fill(self, low: int, high: int) -> int:
        """Take numbers out of the gaps; returns how many were in them."""
        kept: list[tuple[int, int]] = []
        filled = 0
        for first, last in self.gaps:
            if last < low or high < first:
                kept.append((first, last))
                continue
            filled += min(high, last) - max(low, first) + 1
            if first < low:
                kept.append((first, low - 1))
            if high < last:
                kept.append((high + 1, last))
        self.gaps = kept
        return filled


class Numbering(msgspec.Struct):
    """What is known of a device's numbers; see the table device_sequence.

    `lost` are the missing ones that can no longer be told from others when they come: of runs and gaps too far back.
    """

    received: int = 0
    late: int = 0
    repeated: int = 0
    restarts: int = 0
    lost: int = 0
    gap_at: int | None = None
    runs: list[Run] = []

    @property
    def missing(self) -> int:
        """Numbers that have not come."""
        return self.lost + sum(run.open for run in self.runs)

    def lay(self, span: Span) -> None:
        """Take in what was heard."""
        self.received += span.high - span.low + 1
        runs = self.runs
        if not runs:
            runs.append(Run(span.first, span.low, span.high, span.last))
            return
        place = len(runs) - 1
        if span.low != runs[place].newest + 1:  # what goes on as expected needs no look at clocks
            place = bisect_right(runs, span.first, key=lambda run: run.start) - 1
        if place < 0:
            return  # from before the first number that was heard
        run = runs[place]
        if span.low - run.newest > JUMP or (span.low <= run.newest and span.first > run.time):
            self._restart(place + 1, span)
            return
        if span.low <= run.newest:
            high = min(span.high, run.newest)
            filled = run.fill(span.low, high)
            self.late += filled
            self.repeated += high - span.low + 1 - filled
        if span.high > run.newest:
            if span.low > run.newest + 1:
                self._gap(run, run.newest + 1, span.low - 1, span.first)
            run.newest, run.time = span.high, span.last

    def _restart(self, place: int, span: Span) -> None:
        after = self.runs[place] if place < len(self.runs) else None
        if after is not None and span.high < after.low <= span.high + JUMP:
            # The beginning of a run of which later numbers were laid on first.
            if span.high + 1 < after.low:
                self._gap(after, span.high + 1, after.low - 1, after.start)
            after.start, after.low = span.first, span.low
            return
        self.restarts += 1
        self.runs.insert(place, Run(span.first, span.low, span.high, span.last))
        if len(self.runs) > _RUNS:
            self.lost += self.runs.pop(0).open

    def _gap(self, run: Run, low: int, high: int, time: int) -> None:
        run.gaps.append((low, high))
        run.gaps.sort()
        self.gap_at = time if self.gap_at is None else max(self.gap_at, time)
        if len(run.gaps) > _GAPS:
            first, last = run.gaps.pop(0)
            self.lost += last - first + 1
