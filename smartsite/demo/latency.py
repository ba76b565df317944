"""Latencies in the form of the report."""

from __future__ import annotations

import math
from collections.abc import Sequence


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of the values do not exceed (nearest rank); ``ordered`` ascends."""
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


def summary(seconds: Sequence[float]) -> dict[str, float | int | None]:
    """Count, p50, p99 and maximum of latencies given in seconds, as milliseconds; None where there is none."""
    if not seconds:
        return {"count": 0, "p50": None, "p99": None, "max": None}
    ordered = sorted(seconds)
    return {
        "count": len(ordered),
        "p50": round(percentile(ordered, 0.50) * 1000, 1),
        "p99": round(percentile(ordered, 0.99) * 1000, 1),
        "max": round(ordered[-1] * 1000, 1),
    }
