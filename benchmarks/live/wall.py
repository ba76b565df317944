"""`python -m benchmarks.live.wall ADDRESS SECONDS CAMERA...`: one viewer watches these cameras' H.264 as a wall does.

Prints a JSON line when every camera plays, and one at the end: fragments, MB/s, and how old the oldest picture of a
fragment was on its arrival.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import struct
import sys
import time

import msgspec
from websockets.asyncio.client import connect

from benchmarks.live.stage import cookie


class _Head(msgspec.Struct):
    kind: str = "picture"
    time: int = 0


_decoder = msgspec.json.Decoder(_Head)


async def run(address: str, seconds: float, cameras: list[int]) -> None:
    """Watch them all."""
    playing: set[int] = set()
    ages: list[float] = []
    taken = 0
    until: float | None = None
    async with connect(
        f"ws://{address}/api/v1/video", additional_headers={"Cookie": cookie(0)}, proxy=None, compression=None,
        max_size=None,
    ) as channel:  # fmt: skip
        await channel.send(json.dumps({"watch": [{"camera": camera, "as": "video"} for camera in cameras]}))
        while until is None or time.monotonic() < until:
            data = await channel.recv(decode=False)
            camera, length = struct.unpack_from("<II", data)
            head = _decoder.decode(data[8 : 8 + length])
            if head.kind != "fragment":
                continue
            if until is not None:
                taken += len(data)
                ages.append(1000 * time.time() - head.time)
            playing.add(camera)
            if until is None and len(playing) == len(cameras):
                print(json.dumps({"ready": len(playing)}), flush=True)
                until = time.monotonic() + seconds
    figures = {
        "fragments_per_camera_s": round(len(ages) / seconds / len(cameras), 2),
        "mb_s": round(taken / 1e6 / seconds, 2),
        "age_p50_ms": round(statistics.median(ages)),
    }
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], float(sys.argv[2]), [int(number) for number in sys.argv[3:]]))
