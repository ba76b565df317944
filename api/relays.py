"""Streams of cameras, fetched from the vision room once for all who watch them through this process."""

from __future__ import annotations

import asyncio
import logging
import struct
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import psycopg
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from api.access import SQL
from api.context import SILENT_AFTER, rows
from api.metrics import RELAYS_FAILED
from core.database import is_outage
from vision.video import VideoFeed, Watcher, message

if TYPE_CHECKING:
    from api.context import Context

logger = logging.getLogger(__name__)

Form = Literal["video", "pictures", "originals"]
"""How a camera is watched: its encoded video, pictures with blurred heads, or pictures as they were taken."""

# Without `original` the vision room blurs heads.
_PATHS: dict[Form, str] = {"video": "video", "pictures": "live", "originals": "live?original=1"}
_ANSWER_S = 5.0
# Longest message of a stream: a 4K picture as JPEG with its boxes.
_MESSAGE_BYTES = 16 * 1024 * 1024
_FIRST_DELAY_S, _LAST_DELAY_S = 0.5, 8.0
_ANY = ("0.0.0.0", "::")

# Why a camera does not come, as watchers are told: none sends it, or relaying it failed of a fault inside.
_AWAY, _FAILED = "camera_away", "relay_failed"


class _Head(msgspec.Struct):
    """What decides about a message's way; that of a picture tells no kind."""

    kind: str = "picture"
    key: bool = False


_head = msgspec.json.Decoder(_Head)


def camera_message(camera_id: int, header: dict[str, Any]) -> bytes:
    """A message without a payload, as watchers get it."""
    return _of(camera_id, message(header, b""))


def _of(camera_id: int, data: bytes) -> bytes:
    return struct.pack("<I", camera_id) + data


async def worker_addresses(context: Context) -> list[str]:
    """host:port of the vision workers that are alive; any of them may have a camera."""
    async with context.connection() as database:
        found = await rows(database, SQL["vision_workers"], {"since": context.clock.now() - SILENT_AFTER})
    # One that listens on every address is reached by the name of its machine.
    return [
        f"{worker['host'] if worker['live_host'] in _ANY else worker['live_host']}:{worker['live_port']}"
        for worker in found
    ]


def open_stream(address: str, camera_id: int, form: Form) -> connect:
    """The stream of a camera from one worker, to be entered."""
    # Neither JPEG nor video shrinks any further; a proxy of the environment is none for a neighbour process.
    return connect(
        f"ws://{address}/cameras/{camera_id}/{_PATHS[form]}",
        open_timeout=_ANSWER_S,
        compression=None,
        proxy=None,
        max_size=_MESSAGE_BYTES,
    )


class Relays:
    """The streams that are watched at the moment."""

    def __init__(self) -> None:
        self._relays: dict[tuple[int, Form], _Relay] = {}

    def join(self, context: Context, camera_id: int, form: Form, ready: asyncio.Event) -> Watcher:
        """A new watcher of a camera, whose right was checked; it must `leave`. `ready` is set when something waits."""
        relay = self._relays.get((camera_id, form))
        if relay is None:
            relay = self._relays[camera_id, form] = _Relay(context, camera_id, form)
        return relay.feed.join(ready)

    async def leave(self, camera_id: int, form: Form, watcher: Watcher) -> None:
        """The watcher has gone; with the last one the stream ends."""
        relay = self._relays[camera_id, form]
        relay.feed.leave(watcher)
        if not relay.feed.watched:
            del self._relays[camera_id, form]
            await relay.close()


class _Relay:
    """One stream: connects, hands on what comes, and connects again."""

    def __init__(self, context: Context, camera_id: int, form: Form) -> None:
        self._context = context
        self._camera_id = camera_id
        self._form = form
        self.feed = VideoFeed(lambda: None)
        self._task = asyncio.create_task(self._run(), name=f"relay of camera {camera_id}")

    async def close(self) -> None:
        """End."""
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _run(self) -> None:
        delay = _FIRST_DELAY_S
        while True:
            code = _AWAY
            try:
                if await self._read():
                    delay = _FIRST_DELAY_S
            except Exception:
                # Whatever it is: those who watch are told, and neither this nor any other camera stays dark for it.
                logger.exception("relay of a camera failed", extra={"camera": self._camera_id, "form": self._form})
                RELAYS_FAILED.labels(self._form).inc()
                code = _FAILED
            away = camera_message(self._camera_id, {"kind": "away", "code": code})
            self.feed.publish(away, kind="away")
            await self._context.clock.sleep(delay)
            delay = min(2 * delay, _LAST_DELAY_S)

    async def _read(self) -> bool:
        """Read the stream of the worker that has the camera until it ends; whether anything came."""
        came = False
        try:
            for address in await worker_addresses(self._context):
                try:
                    async with open_stream(address, self._camera_id, self._form) as stream:
                        while True:
                            self._hand_on(await stream.recv(decode=False))
                            came = True
                except (OSError, TimeoutError, InvalidHandshake, ConnectionClosed) as error:
                    told = {"address": address, "camera": self._camera_id, "error": str(error)}
                    logger.info("camera stream ended", extra=told)
        except psycopg.Error as error:
            if not is_outage(error):
                raise
        return came

    def _hand_on(self, data: bytes) -> None:
        (length,) = struct.unpack_from("<I", data)
        head = _head.decode(data[4 : 4 + length])
        self.feed.publish(_of(self._camera_id, data), kind=head.kind, key=head.key)
