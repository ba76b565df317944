"""What grows where streams are cut again and again, or where the fleet simply runs."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

from benchmarks.report import target
from benchmarks.vision.stage import STATES, Cameras, Stage
from benchmarks.vision.usage import Memory, memory

_SETTLE_S = 15.0
_BACK_S = 15.0


async def reconnects(
    stage: Stage, cameras: Cameras, count: int, times: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Cut all streams `times` times in all, each time until every camera has been looked at again."""
    urls = [cameras.url("main", number) for number in range(count)]
    back: list[float] = []
    async with stage.ours(urls, gate_share=0) as (pid, _):
        await asyncio.sleep(_SETTLE_S)
        before = memory(pid)
        for _ in range(-(-times // count)):
            looked = _looks(stage)
            cameras.cut()
            cut = time.monotonic()
            await stage.until(
                lambda: all(now > then + 1 for now, then in zip(_looks(stage), looked, strict=True))  # noqa: B023
            )
            back.append(time.monotonic() - cut)
        await asyncio.sleep(_SETTLE_S)
        after = memory(pid)
    figures = {
        "streams_cut": len(back) * count,
        "analysed_again_s": {"median": round(statistics.median(back), 2), "most": round(max(back), 2)},
        "before": _told(before),
        "after": _told(after),
    }
    return figures, [
        target("analysed again after a cut, s, at most", round(max(back), 2), "<=", _BACK_S),
        target("open files more than before", after.files - before.files, "<=", 0),
        target("processes more than before", after.processes - before.processes, "==", 0),
        target("memory after / before", round(after.pss / before.pss, 3), "<=", 1.1),
    ]


async def soak(
    stage: Stage, cameras: Cameras, count: int, seconds: float
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Let the fleet run; memory of its own in its last tenth against that of its second tenth."""
    urls = [cameras.url("main", number) for number in range(count)]
    async with stage.ours(urls) as (pid, _):
        await asyncio.sleep(_SETTLE_S)
        sizes: list[Memory] = []
        for _ in range(30):
            await asyncio.sleep(seconds / 30)
            sizes.append(memory(pid))
        online = sum(row["state"] == "online" for row in stage.rows(STATES))
    early, late = (statistics.median(size.own for size in part) for part in (sizes[3:6], sizes[-3:]))
    told = {"pss_mb": [size.pss for size in sizes], "own_mb": [size.own for size in sizes]}
    figures = {"seconds": seconds, "cameras": count, "online": online, **told}
    return figures, [
        target("cameras online at the end", online, "==", count),
        target("memory at the end / at the beginning", round(late / early, 3), "<=", 1.05),
        target("open files more than before", sizes[-1].files - sizes[3].files, "<=", 0),
    ]


def _looks(stage: Stage) -> list[int]:
    return [row["frames_analysed"] for row in stage.rows(STATES)]


def _told(size: Memory) -> dict[str, float]:
    return {"pss_mb": size.pss, "files": size.files, "processes": size.processes}
