"""Many cameras at default settings: are all held, what does it take, and are the episodes right?"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from benchmarks.vision.events import score, visits
from benchmarks.vision.stage import EPISODES, STATES, Cameras, Stage
from benchmarks.vision.usage import cpu_s, memory

_SETTLE_S = 10.0
_LEAST = 0.95
"""Looks a second (those that the gate spared included) that a held camera has at one a second."""


async def watch(stage: Stage, cameras: Cameras, count: int, seconds: float) -> dict[str, Any]:
    """Watch `count` cameras for so long."""
    urls = [cameras.url("main", number) for number in range(count)]
    async with stage.ours(urls, cool_down_s=0) as (pid, ready_s):
        await asyncio.sleep(_SETTLE_S)
        pids = {"ours": pid, "cameras": cameras.pid, "postgres": stage.postgres_pid}
        before, spent = stage.rows(STATES), {name: cpu_s(number) for name, number in pids.items()}
        began, since, most = time.monotonic(), time.time(), memory(pid)
        while (left := began + seconds - time.monotonic()) > 0:
            await asyncio.sleep(min(5.0, left))
            most = max(most, memory(pid), key=lambda size: size.pss)
        after, until = stage.rows(STATES), time.time()
        took = time.monotonic() - began
        used = {name: cpu_s(number) - spent[name] for name, number in pids.items()}
        await asyncio.sleep(_SETTLE_S)  # the last visits' episodes
        told = [(row["number"], row["started"], row["seen"]) for row in stage.rows(EPISODES)]
    shown = visits(count, cameras.epoch, since, until)
    # Whatever began before or is not over has no label to be held against.
    judged = [
        episode
        for episode in told
        if since <= episode[1] and episode[2] <= until and not _is_cut(episode, cameras, since, until)
    ]
    held = 0
    for first, last in zip(before, after, strict=True):
        looks = last["frames_analysed"] + last["frames_gated"] - first["frames_analysed"] - first["frames_gated"]
        held += last["state"] == "online" and last["skipped"] == first["skipped"] and looks >= _LEAST * took
    return {
        "cameras": count,
        "held": held,
        "skipped": sum(last["skipped"] - first["skipped"] for first, last in zip(before, after, strict=True)),
        "all_looked_at_after_s": round(ready_s, 1),
        "cores": {name: round(seconds_used / took, 3) for name, seconds_used in used.items()},
        "cpu_ms_per_camera_second": round(1000 * used["ours"] / took / count, 1),
        "peak_pss_mb": most.pss,
        "peak_rss_sum_mb": most.rss,
        "processes": most.processes,
        "hours_watched": round(count * took / 3600, 2),
        "events": score(shown, judged),
    }


def _is_cut(episode: tuple[int, float, float], cameras: Cameras, since: float, until: float) -> bool:
    """Whether the episode belongs to a visit that the time of the watch cuts."""
    whole = set(visits(episode[0] + 1, cameras.epoch, since, until))
    wider = visits(episode[0] + 1, cameras.epoch, since - 60, until + 60)
    return any(
        visit.camera == episode[0] and visit not in whole and episode[1] <= visit.end and episode[2] >= visit.start
        for visit in wider
    )
