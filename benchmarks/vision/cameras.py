"""`python -m benchmarks.vision.cameras N`: the cameras, as a process of its own whose CPU is not ours.

Serves `/main/0` .. (a key frame every second) and, as asked, `/seldom/0` .. (every two seconds) and `/sub/0` ..
(640x360). Camera n shows sequence n % 8, begun twelve seconds before the one of camera n - 1, so that of five cameras
in a row one moves at any time. Prints one JSON line: port and the wall time at which camera 0 began its first minute.
Cuts every connection at each line of its standard input, and ends with it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time

from benchmarks.vision import sequences
from smartsite.demo.clip import Clip
from smartsite.demo.rtsp import RtspServer, Stream

KINDS: dict[str, tuple[float, tuple[int, int]]] = {
    "main": (1.0, (sequences.WIDTH, sequences.HEIGHT)),
    "seldom": (2.0, (sequences.WIDTH, sequences.HEIGHT)),
    "sub": (1.0, (640, 360)),
}

_PHASE_S = 0.37
"""Between the key frames of one camera and the next: real cameras do not send theirs at the same moment."""


def began(epoch: float, number: int) -> float:
    """When camera `number` began a minute, wall time in seconds, of one whose first began at `epoch`."""
    return epoch - number * (sequences.MOVING_S + _PHASE_S)


async def serve(cameras: int, few: int, kinds: list[str]) -> None:
    """Encode, then serve until the standard input ends."""
    streams: dict[str, Stream] = {}
    loop = asyncio.get_running_loop()
    clips: dict[str, dict[int, Clip]] = {kind: {} for kind in kinds}
    for kind in kinds:
        interval, size = KINDS[kind]
        for number in range(min(cameras if kind == "main" else few, len(sequences.SEQUENCES))):
            clips[kind][number] = sequences.clip(sequences.SEQUENCES[number], key_interval_s=interval, size=size)
    since, epoch = loop.time(), time.time()
    for kind in kinds:
        for number in range(cameras if kind == "main" else few):
            clip = clips[kind][number % len(clips[kind])]
            streams[f"{kind}/{number}"] = Stream(clip, since=began(since, number))
    server = RtspServer(streams)
    await server.start("127.0.0.1", 0)
    print(json.dumps({"port": server.port, "epoch": epoch}), flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        for stream in streams.values():
            stream.drop()
    await server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("cameras", type=int)
    parser.add_argument("--few", type=int, default=0)
    parser.add_argument("kinds", nargs="+", choices=list(KINDS))
    options = parser.parse_args()
    asyncio.run(serve(options.cameras, options.few, options.kinds))
