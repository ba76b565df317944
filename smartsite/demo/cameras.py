"""The demo's cameras: a round of the scene for each, served over RTSP."""

from __future__ import annotations

import asyncio

from smartsite.demo.clip import Clip
from smartsite.demo.rtsp import RtspServer, Stream


async def run_camera_server(host: str, port: int, clips: dict[str, Clip], stop: asyncio.Event) -> None:
    """Serve `clips` by path (`rtsp://host:port/path`) until `stop`, each begun a little further on than the one before,
    so that the cameras do not all see the same at once."""
    streams = {
        path: Stream(clip.turned(number * clip.duration_s / len(clips)))
        for number, (path, clip) in enumerate(clips.items())
    }
    server = RtspServer(streams)
    await server.start(host, port)
    try:
        await stop.wait()
    finally:
        await server.close()
