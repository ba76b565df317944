"""The demo's cameras: a round of the scene for each, served over RTSP."""

from __future__ import annotations

import asyncio

from smartsite.demo.rtsp import Clip, RtspServer, Stream


async def run_camera_server(host: str, port: int, clips: dict[str, Clip], stop: asyncio.Event) -> None:
    """Serve `clips` by path (`rtsp://host:port/path`) until `stop`."""
    server = RtspServer({path: Stream(clip) for path, clip in clips.items()})
    await server.start(host, port)
    try:
        await stop.wait()
    finally:
        await server.close()
