"""Live pictures for api: a local server that sends each camera's JPEGs with their boxes while somebody watches.

`ws://host:port/cameras/{id}/live` sends one binary message a picture: uint32 (little-endian) length of a header, the
header as JSON `{time, width, height, boxes: [{x1, y1, x2, y2 (0..1), label, score, track}]}`, then the JPEG.
`ws://host:port/cameras/{id}/video` sends the encoded video and, as they are found, the boxes, see vision.video.
`http://host:port/cameras/{id}/snapshot.jpg` gives the newest picture. Heads are blurred on pictures unless the address
ends in `?original=1`. There is no log-in: api asks who may see what, so this listens on the machine itself or in a
closed network.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from vision import metrics
from vision.detections import Detections
from vision.video import VideoFeed, message

_PATH = re.compile(r"^/cameras/(?P<id>[0-9]{1,9})/(?P<what>live|video|snapshot\.jpg)(?P<original>\?original=1)?$")


class LiveFeed:
    """Hands one camera's pictures to whoever watches; a slow viewer misses pictures and delays nobody."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        """`on_change` is called when the first viewer comes or the last one leaves."""
        self._on_change = on_change
        self._viewers: set[_Viewer] = set()

    @property
    def watched(self) -> bool:
        """Whether a picture is worth its encoding."""
        return bool(self._viewers)

    @contextlib.contextmanager
    def watch(self) -> Iterator[Callable[[], Awaitable[bytes]]]:
        """Join the viewers; gives a function that waits for the newest message not given yet."""
        viewer = _Viewer()
        self._viewers.add(viewer)
        self._on_change()
        try:
            yield viewer.next
        finally:
            self._viewers.discard(viewer)
            self._on_change()

    def publish(self, message: bytes) -> None:
        """Give a picture to every viewer."""
        for viewer in self._viewers:
            viewer.put(message)


class _Viewer:
    def __init__(self) -> None:
        self._message: bytes | None = None
        self._ready = asyncio.Event()

    def put(self, message: bytes) -> None:
        self._message = message
        self._ready.set()

    async def next(self) -> bytes:
        await self._ready.wait()
        self._ready.clear()
        assert self._message is not None
        return self._message


class Watchable(Protocol):
    """What the server needs of a camera."""

    feed: LiveFeed
    """With blurred heads."""
    original: LiveFeed
    """As the camera sent it."""
    video: VideoFeed

    async def snapshot(self, *, original: bool) -> bytes | None:
        """The newest picture as JPEG, blurred unless the `original` is wanted; None while there is none."""
        ...


def live_message(
    image: bytes,
    *,
    time: int,
    width: int,
    height: int,
    detections: Detections,
    tracks: npt.NDArray[np.int32],
    classes: tuple[str, ...],
) -> bytes:
    """The binary message of a picture taken at `time` (microseconds since the epoch; milliseconds in the message)."""
    header = {"time": time // 1000, "width": width, "height": height}
    return message(header | {"boxes": _boxes(width, height, detections, tracks, classes)}, image)


def boxes_message(
    *,
    time: int,
    width: int,
    height: int,
    detections: Detections,
    tracks: npt.NDArray[np.int32],
    classes: tuple[str, ...],
) -> bytes:
    """The message of the boxes in a picture taken at `time`, for those who watch the video."""
    boxes = _boxes(width, height, detections, tracks, classes)
    return message({"kind": "boxes", "time": time // 1000, "boxes": boxes}, b"")


def _boxes(
    width: int, height: int, detections: Detections, tracks: npt.NDArray[np.int32], classes: tuple[str, ...]
) -> list[dict[str, object]]:
    corners = detections.xyxy / np.array([width, height, width, height], np.float32)
    return [
        {
            **dict(zip(("x1", "y1", "x2", "y2"), (round(float(value), 4) for value in corner), strict=True)),
            "label": classes[kind],
            "score": round(float(score), 3),
            "track": int(track),
        }
        for corner, kind, score, track in zip(corners, detections.class_id, detections.score, tracks, strict=True)
    ]


class LiveServer:
    """Serves the cameras that `cameras` holds at the moment, by id."""

    def __init__(self, cameras: Mapping[int, Watchable]) -> None:
        self._cameras = cameras
        self._server: Server | None = None
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen; `port` 0 takes a free one, `self.port` tells which."""
        # JPEGs do not shrink further: deflating them would only cost CPU.
        self._server = await serve(self._stream, host, port, process_request=self._answer, compression=None)
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def close(self) -> None:
        """Stop and let go of every viewer."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def _camera(self, path: str) -> tuple[Watchable | None, str, bool]:
        match = _PATH.match(path)
        if match is None:
            return None, "", False
        return self._cameras.get(int(match["id"])), match["what"], match["original"] is not None

    async def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer what is no live stream; None lets the WebSocket begin."""
        camera, what, original = self._camera(request.path)
        if camera is None:
            return connection.respond(http.HTTPStatus.NOT_FOUND, "there is no such camera\n")
        if what in ("live", "video"):
            return None
        picture = await camera.snapshot(original=original)
        if picture is None:
            return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "the camera has given no picture yet\n")
        headers = Headers(
            {"Content-Type": "image/jpeg", "Content-Length": str(len(picture)), "Cache-Control": "no-store"}
        )
        headers["Connection"] = "close"
        return Response(http.HTTPStatus.OK, "OK", headers, picture)

    async def _stream(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        camera, what, original = self._camera(connection.request.path)
        if camera is None:  # removed between the request and now
            return
        pictures = camera.original if original else camera.feed
        feed = camera.video if what == "video" else pictures
        with metrics.VIEWERS.track_inprogress(), feed.watch() as newest:
            gone = asyncio.create_task(connection.wait_closed())
            try:
                while not gone.done():
                    ready = asyncio.ensure_future(newest())
                    await asyncio.wait({ready, gone}, return_when=asyncio.FIRST_COMPLETED)
                    if not ready.done():
                        ready.cancel()
                        return
                    await connection.send(ready.result())
            except ConnectionClosed:
                return  # the viewer left in the middle of a message
            finally:
                gone.cancel()
