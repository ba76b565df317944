"""Cameras with their state, a still picture, and the relay of their live stream from the vision room."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from http import HTTPStatus
from typing import Annotated

import httpx
from fastapi import APIRouter, Path, Query, Response, WebSocket
from psycopg import AsyncConnection
from pydantic import BaseModel, Field
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from api.access import SQL, Seen, Viewer
from api.context import Context, Database, Here, Millis, Row, rows
from api.errors import SOCKET_CODE, documented
from api.relays import Form, open_stream, worker_addresses
from api.sockets import close
from api.states import CameraCondition, camera_condition
from core.errors import NotFound, Unavailable
from vision.wire import Condition

logger = logging.getLogger(__name__)
router = APIRouter(prefix="/cameras", tags=["cameras"])

CameraId = Annotated[int, Path(ge=1, lt=2**31, examples=[3])]
_ANSWER_S = 5.0


class CameraAway(Unavailable):
    """No picture can be had of a camera now."""

    code = "camera_away"


class CameraFigures(BaseModel):
    """What a camera sends and what becomes of it. Counts of pictures go on over restarts, but those of skipped and
    corrupt ones, which begin with the process that reads the camera."""

    message: str = Field(default="", description="The reason of its state in words.")
    codec: str = Field(default="", examples=["h264"])
    width: int = 0
    height: int = 0
    key_interval_s: float = Field(default=0, description="Seconds between key frames; 0: not known.")
    keys_only: bool = Field(default=False, description="Whether only key frames are decoded.")
    frames_in: int = Field(default=0, description="Frames received.")
    frames_gated: int = Field(default=0, description="Pictures not looked at: unchanged.")
    frames_skipped: int = Field(default=0, description="Pictures not looked at: too busy.")
    frames_corrupt: int = Field(default=0, description="Packets and pictures that could not be decoded.")
    decode_ms: float = Field(default=0, description="CPU time of reading and decoding, a picture that is taken.")
    inference_ms: float = Field(default=0, description="CPU time of one look, smoothed.")
    conditions: list[Condition] = Field(
        default=[], description="Light and weather in which votes take more, or more heads are missed."
    )


class Camera(BaseModel):
    """A camera and how it is now."""

    id: int = Field(examples=[3])
    site_id: int = Field(examples=[1])
    code: str = Field(examples=["gate"])
    name: str = Field(examples=["大门"])
    name_en: str = Field(examples=["Gate"])
    zone: str
    state: CameraCondition
    reason: str = Field(description="Why it is in this state; empty where it works.")
    since: Millis | None
    fps: float | None = Field(description="Frames a second that the camera sends.")
    frames_analysed: int | None
    figures: CameraFigures | None = Field(description="How it is read; null while nothing is known of it.")


class CameraList(BaseModel):
    """Cameras of the sites that the person may see."""

    items: list[Camera]


async def load_cameras(
    connection: AsyncConnection,
    scope: list[int] | None,
    now: datetime,
    *,
    site_id: int | None = None,
    camera_id: int | None = None,
) -> list[Row]:
    """Rows of the scope's cameras, each with `state` and `reason` as of now."""
    found = await rows(connection, SQL["cameras"], {"sites": scope, "site_id": site_id, "camera_id": camera_id})
    for one in found:
        one["state"], one["reason"] = camera_condition(
            now=now, state=one["state"], reason=one["reason"], updated_at=one["updated_at"]
        )
        detail, counts = one.pop("detail"), {name: one.pop(name) for name in ("frames_in", "frames_gated")}
        one["figures"] = None if detail is None else detail | counts
    return found


@router.get("", summary="List cameras", responses=documented(401, 404, 422))
async def page(
    viewer: Seen,
    context: Here,
    database: Database,
    site_id: Annotated[int | None, Query(ge=1, lt=2**31, description="Only of this site.")] = None,
) -> CameraList:
    """Cameras with their state and the reason for it."""
    if site_id is not None:
        viewer.must_see(site_id)
    found = await load_cameras(database, viewer.scope, context.clock.now(), site_id=site_id)
    return CameraList(items=[Camera(**one) for one in found])


@router.get(
    "/{camera_id}/snapshot.jpg",
    summary="The camera's newest picture",
    response_class=Response,
    responses={200: {"description": "A JPEG.", "content": {"image/jpeg": {}}}, **documented(401, 404, 422)},
)
async def snapshot(camera_id: CameraId, viewer: Seen, context: Here) -> Response:
    """The newest picture, without boxes; heads are blurred for whoever may not see originals."""
    original = may_see_faces(context, viewer)
    picture = await take(context, viewer, camera_id, original=original)
    if original:
        await _note(context, viewer, camera_id)
    return Response(picture, media_type="image/jpeg")


async def take(context: Context, viewer: Viewer, camera_id: int, *, original: bool = False) -> bytes:
    """The newest picture of a camera as JPEG, with blurred heads unless the `original` is asked for, whose right the
    caller checks; raise CameraAway where none is to be had."""
    address_of = f"/cameras/{camera_id}/snapshot.jpg{'?original=1' if original else ''}"
    for address in await _workers(context, viewer, camera_id):
        try:
            answer = await context.http.get(f"http://{address}{address_of}", timeout=_ANSWER_S)
        except httpx.TransportError as error:
            logger.info("vision worker does not answer", extra={"address": address, "error": str(error)})
            continue
        if answer.status_code == HTTPStatus.OK:
            return answer.content
    raise CameraAway(f"camera {camera_id} shows no picture", hint="see the camera's state and reason")


@router.websocket("/{camera_id}/live")
async def live(socket: WebSocket, camera_id: CameraId, viewer: Seen, context: Here) -> None:
    """Relay the stream, newest picture first: a slow client sees fewer pictures, not older ones.

    Heads are blurred for whoever may not see originals; the stream ends when that changes.
    """
    addresses = await _workers(context, viewer, camera_id)
    if original := may_see_faces(context, viewer):
        await _note(context, viewer, camera_id)
    await socket.accept()
    await context.sockets.attend(socket, viewer, context, _relay(socket, camera_id, addresses, original=original))


def may_see_faces(context: Context, viewer: Viewer) -> bool:
    """Whether live pictures and snapshots are sent to the person as they were taken."""
    return not context.settings.api.blur_live or "original" in viewer.rights


async def _note(context: Context, viewer: Viewer, camera_id: int) -> None:
    """That the person looks at the camera's originals goes into the audit log."""
    async with context.connection() as database:
        await context.looks.note(database, viewer.code, await _camera(context, database, viewer, camera_id))


async def _camera(context: Context, database: AsyncConnection, viewer: Viewer, camera_id: int) -> Row:
    """The camera; NotFound where the person does not see it."""
    found = await load_cameras(database, viewer.scope, context.clock.now(), camera_id=camera_id)
    if not found:
        raise NotFound(f"there is no camera {camera_id}")
    return found[0]


async def _relay(socket: WebSocket, camera_id: int, addresses: list[str], *, original: bool) -> None:
    """Forward the stream of the first worker that has the camera; closes the socket when there is none any more."""
    for address in addresses:
        try:
            form: Form = "originals" if original else "pictures"
            async with open_stream(address, camera_id, form) as stream:
                await _forward(stream, socket)
        except (OSError, TimeoutError, InvalidHandshake, ConnectionClosed) as error:
            logger.info("camera stream ended", extra={"address": address, "camera": camera_id, "error": str(error)})
    await close(socket, SOCKET_CODE + CameraAway.status, CameraAway.code)


async def _forward(stream: ClientConnection, socket: WebSocket) -> None:
    """Read as fast as pictures come and send as fast as the client takes them; what is too much in between is lost."""
    newest: asyncio.Queue[bytes] = asyncio.Queue(1)

    async def read() -> None:
        while True:
            picture = await stream.recv(decode=False)
            if newest.full():
                newest.get_nowait()
            newest.put_nowait(picture)

    async def send() -> None:
        while True:
            await socket.send_bytes(await newest.get())

    tasks = {asyncio.create_task(read()), asyncio.create_task(send())}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _workers(context: Context, viewer: Viewer, camera_id: int) -> list[str]:
    """Where the camera may be had from; NotFound where the person does not see it."""
    async with context.connection() as database:
        await _camera(context, database, viewer, camera_id)
    found = await worker_addresses(context)
    if not found:
        raise CameraAway("no vision worker serves live pictures now")
    return found
