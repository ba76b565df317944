"""Cameras live for a whole wall over one WebSocket: H.264 as fragmented MP4, pictures with boxes for the rest.

The client says which cameras it watches: `{"watch": [{"camera": 3, "as": "video"}, ...]}`, each time all of them. It
gets binary messages: the camera's id as uint32 (little-endian), then a message as vision.video describes it. Who reads
too slowly misses fragments up to the next key frame and all pictures but the newest.

The encoded video shows faces, which nobody can blur in it: it is for the roles that may see originals, and that they
looked is in the audit log, once a camera and connection. Pictures with faces are in it too (api.looks).
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

import msgspec
import psycopg
from fastapi import APIRouter, WebSocket

from api import audit
from api.access import Seen, Viewer
from api.cameras import load_cameras, may_see_faces
from api.context import Context, Here, Row
from api.errors import SOCKET_CODE
from api.metrics import VIDEO_LOST, VIDEO_WATCHED
from api.relays import Form, Relays, camera_message
from api.sockets import close
from core.database import is_outage
from core.errors import Forbidden, InvalidInput, NotFound, Unavailable
from vision.video import Watcher

router = APIRouter()

MOST = 64
"""Cameras that one connection may watch."""
_RETRY_S = 2.0


class _Watch(msgspec.Struct, frozen=True, rename={"form": "as"}):
    camera: Annotated[int, msgspec.Meta(ge=1, lt=2**31)]
    form: Literal["video", "pictures"]


class _Wish(msgspec.Struct, frozen=True):
    watch: Annotated[list[_Watch], msgspec.Meta(max_length=MOST)]


_wish = msgspec.json.Decoder(_Wish)


class _Session:
    """What one connection watches."""

    def __init__(self, socket: WebSocket, viewer: Viewer, context: Context) -> None:
        self._socket = socket
        self._viewer = viewer
        self._context = context
        self._relays: Relays = context.relays
        self._wished: asyncio.Queue[str] = asyncio.Queue(MOST)
        self._ready = asyncio.Event()
        self._watched: dict[_Watch, Watcher] = {}
        self._told: list[bytes] = []
        self._audited: set[int] = set()

    def hear(self, text: str) -> None:
        """Take in what the client sends; only its newest wish counts."""
        while not self._wished.empty():
            self._wished.get_nowait()
        self._wished.put_nowait(text)

    async def serve(self) -> None:
        """Send what is watched until the wish makes no sense."""
        sending = asyncio.create_task(self._send())
        following = asyncio.create_task(self._follow())
        try:
            await asyncio.wait({sending, following}, return_when=asyncio.FIRST_COMPLETED)
            for task in (sending, following):
                if task.done():
                    task.result()
            await close(self._socket, SOCKET_CODE + InvalidInput.status, InvalidInput.code)
        finally:
            for task in (sending, following):
                task.cancel()
            await asyncio.gather(sending, following, return_exceptions=True)
            for watch in list(self._watched):
                await self._leave(watch)

    async def _follow(self) -> None:
        """Bring what is watched in line with each wish; returns at one that cannot be understood."""
        while True:
            try:
                wish = _wish.decode(await self._wished.get())
            except msgspec.DecodeError:
                return
            wanted = {one.camera: one for one in wish.watch}
            while not await self._turn_to(wanted) and self._wished.empty():
                await self._context.clock.sleep(_RETRY_S)

    async def _turn_to(self, wanted: dict[int, _Watch]) -> bool:
        """Watch these and no others; False where nobody can be asked who may, so that new ones have to wait."""
        for watch in [one for one in self._watched if wanted.get(one.camera) != one]:
            await self._leave(watch)
        new = [one for one in wanted.values() if one not in self._watched]
        try:
            allowed = await self._allowed(new) if new else []
        except psycopg.Error as error:
            if not is_outage(error):
                raise
            self._tell([camera_message(one.camera, {"kind": "away", "code": Unavailable.code}) for one in new])
            return False
        for watch in allowed:
            self._watched[watch] = self._relays.join(self._context, watch.camera, self._form(watch), self._ready)
            VIDEO_WATCHED.labels(watch.form).inc()
        return True

    def _form(self, watch: _Watch) -> Form:
        """What is relayed: a change of rights ends the connection, so it stays the same."""
        faces = watch.form == "pictures" and may_see_faces(self._context, self._viewer)
        return "originals" if faces else watch.form

    async def _leave(self, watch: _Watch) -> None:
        watcher = self._watched.pop(watch)
        VIDEO_WATCHED.labels(watch.form).dec()
        VIDEO_LOST.inc(watcher.waiting.lost)
        await self._relays.leave(watch.camera, self._form(watch), watcher)

    async def _allowed(self, new: list[_Watch]) -> list[_Watch]:
        """Those that this person may watch, the looks at originals audited; the client is told why not of the rest."""
        refusals, allowed = [], []
        async with self._context.connection() as database:
            now = self._context.clock.now()
            seen = {one["id"]: one for one in await load_cameras(database, self._viewer.scope, now)}
            for watch in new:
                code = self._refusal(watch, seen)
                if code:
                    refusals.append(camera_message(watch.camera, {"kind": "refused", "code": code}))
                    continue
                allowed.append(watch)
                if watch.form == "video" and watch.camera not in self._audited:
                    await audit.append(
                        database,
                        at=now,
                        actor=self._viewer.code,
                        action="camera.video",
                        thing=f"camera:{watch.camera}",
                        detail={"site": seen[watch.camera]["site_id"]},
                    )
                    self._audited.add(watch.camera)
                elif self._form(watch) == "originals":
                    await self._context.looks.note(database, self._viewer.code, seen[watch.camera])
        self._tell(refusals)
        return allowed

    def _refusal(self, watch: _Watch, seen: dict[int, Row]) -> str:
        if watch.camera not in seen:
            return NotFound.code
        if watch.form == "video" and "original" not in self._viewer.rights:
            return Forbidden.code
        return ""

    def _tell(self, messages: list[bytes]) -> None:
        self._told += messages
        self._ready.set()

    async def _send(self) -> None:
        while True:
            await self._ready.wait()
            self._ready.clear()
            told, self._told = self._told, []
            for data in told:
                await self._socket.send_bytes(data)
            for watcher in list(self._watched.values()):
                for data in watcher.waiting.take():
                    await self._socket.send_bytes(data)


@router.websocket("/video")
async def video(socket: WebSocket, viewer: Seen, context: Here) -> None:
    """Send the cameras that the client wishes for until it leaves."""
    await socket.accept()
    session = _Session(socket, viewer, context)
    await context.sockets.attend(socket, viewer, context, session.serve(), hear=session.hear)
