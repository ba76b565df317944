"""What every benchmark prints last: figures, the machine, and each promised target with whether it was met."""

from __future__ import annotations

import json
import operator
import os
import platform
import statistics
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {">=": operator.ge, "<=": operator.le, "==": operator.eq}


def machine() -> dict[str, Any]:
    """The processor, how many cores this process may use, memory in GiB, kernel and Python."""
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": model or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(pages * size / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def target(name: str, value: float, op: str, goal: float) -> dict[str, Any]:
    """One promise: `value op goal`."""
    return {"name": name, "value": value, "op": op, "target": goal, "met": _OPERATORS[op](value, goal)}


def median(values: Iterable[float], digits: int = 3) -> float:
    """Median of rounds, rounded for people."""
    return round(statistics.median(values), digits)


def conclude(figures: Mapping[str, Any], about: Mapping[str, Any], targets: list[dict[str, Any]]) -> None:
    """Print the one JSON object, on one line."""
    print(json.dumps({"figures": figures, "machine": about, "targets": targets}, ensure_ascii=False), flush=True)
