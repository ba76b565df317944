"""Who moves a camera, its positions, and the WebSocket by which it is moved.

The client sends its wish as text, `{"pan": -1..1, "tilt": -1..1, "zoom": -1..1}`, again at least once a second while
it holds on; all zero stands still. It is told `{"kind": "held", ...}`, `{"kind": "moving", "moving": true}` and
`{"kind": "failed", "code", "message"}`; a close code of 4409 has `camera_taken_over` or `camera_idle` as its reason.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
import psycopg
from fastapi import APIRouter, Path, Query, WebSocket
from psycopg import AsyncConnection
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api import audit
from api.access import SQL, Seen, Viewer, Writer
from api.cameras import CameraId
from api.context import Context, Here, Millis, Row, row
from api.errors import SOCKET_CODE, documented
from api.ptz.holds import LEASE, Hold, held, may_take, refusal, take
from api.ptz.steering import Ending, Steering
from api.sockets import close
from core.database import is_outage
from core.errors import Conflict, InvalidInput, NotFound, Unavailable
from vision.onvif import Velocity
from vision.soap import OnvifError, Reason

logger = logging.getLogger(__name__)
router = APIRouter(prefix="/cameras", tags=["cameras"])

_CLOSES: dict[Ending, tuple[int, str]] = {
    "left": (1000, ""),
    "invalid": (SOCKET_CODE + InvalidInput.status, InvalidInput.code),
    "idle": (SOCKET_CODE + HTTPStatus.CONFLICT, "camera_idle"),
    "taken_over": (SOCKET_CODE + HTTPStatus.CONFLICT, "camera_taken_over"),
    "unavailable": (SOCKET_CODE + HTTPStatus.SERVICE_UNAVAILABLE, Unavailable.code),
}


class NoPtz(Conflict):
    """The camera cannot be moved."""

    code = "no_ptz"


class PtzAway(Unavailable):
    """The camera did not do what it was asked."""

    code = "ptz_away"


class Holder(BaseModel):
    """Who is moving the camera."""

    by: str = Field(description="The person's code.", examples=["li"])
    by_name: str = Field(examples=["李操作"])
    by_name_en: str = Field(examples=["Li Operator"])
    role: str = Field(examples=["operator"])
    since: Millis
    yours: bool
    may_take: bool = Field(description="Whether you may take it over: it is yours, or theirs is a lower role.")


class Ptz(BaseModel):
    """Whether a camera can be moved, and who moves it."""

    able: bool
    reason: Reason | None = Field(description="Why it cannot be moved now; null where it can.", examples=["no_ptz"])
    message: str = Field(default="", description="The same in English words.")
    pan_tilt: bool = False
    zoom: bool = False
    holder: Holder | None


class CameraPreset(BaseModel):
    """A position that the camera keeps."""

    token: str = Field(description="By which the camera knows it.", examples=["1"])
    name: str = Field(description="May be empty.", examples=["大门"])


class CameraPresets(BaseModel):
    """Positions in the camera's own order."""

    items: list[CameraPreset]


class NewPreset(BaseModel):
    """A name for the present position."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64, pattern=r"^[^\x00-\x1f]*$")
    ] = Field(description="Where the camera has one of this name, it is told anew.", examples=["塔吊"])


class _Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pan: Annotated[float, msgspec.Meta(ge=-1, le=1)] = 0.0
    tilt: Annotated[float, msgspec.Meta(ge=-1, le=1)] = 0.0
    zoom: Annotated[float, msgspec.Meta(ge=-1, le=1)] = 0.0


_wish = msgspec.json.Decoder(_Wish)


@router.get(
    "/{camera_id}/ptz", summary="Who moves a camera, and whether it can be", responses=documented(401, 404, 422)
)
async def state(camera_id: CameraId, viewer: Seen, context: Here) -> Ptz:
    """The camera is asked by ONVIF what it can; an answer is remembered, a refusal for half a minute."""
    async with context.connection() as database:
        found = await _camera(database, viewer, camera_id)
        hold = await held(database, camera_id, context.clock.now())
    holder = None if hold is None else _holder(viewer, hold)
    try:
        ability = await context.ptz.ability(found)
    except OnvifError as error:
        # Where nobody has named an address, silence at the stream's host says that there is nothing to be moved.
        silent = error.reason in ("unreachable", "time_out") and not (found["options"] or {}).get("onvif")
        return Ptz(able=False, reason="no_ptz" if silent else error.reason, message=error.message, holder=holder)
    return Ptz(able=True, reason=None, pan_tilt=ability.pan_tilt, zoom=ability.zoom, holder=holder)


@router.get("/{camera_id}/ptz/presets", summary="Positions of a camera", responses=documented(401, 404, 409, 422))
async def presets(camera_id: CameraId, viewer: Seen, context: Here) -> CameraPresets:
    """As the camera tells them now."""
    async with context.connection() as database:
        found = await _camera(database, viewer, camera_id)
    try:
        told = await context.ptz.camera(found).presets()
    except OnvifError as error:
        raise _refused(error) from error
    return CameraPresets(items=[CameraPreset(token=one.token, name=one.name) for one in told])


@router.post(
    "/{camera_id}/ptz/presets",
    status_code=201,
    summary="Keep a position",
    responses=documented(401, 403, 404, 409, 422),
)
async def save(camera_id: CameraId, wanted: NewPreset, viewer: Writer, context: Here) -> CameraPreset:
    """Keep where the camera looks now under a name. Not while somebody else moves it."""
    async with context.connection() as database:
        found = await _free_for(context, database, viewer, camera_id)
    try:
        kept = await context.ptz.camera(found).save(wanted.name)
    except OnvifError as error:
        raise _refused(error) from error
    async with context.connection() as database:
        await _note(context, database, viewer, found, "camera.preset_save", preset=kept.token, name=kept.name)
    return CameraPreset(token=kept.token, name=kept.name)


@router.post(
    "/{camera_id}/ptz/presets/{preset}/go",
    status_code=204,
    summary="Go to a position",
    responses=documented(401, 403, 404, 409, 422),
)
async def go(
    camera_id: CameraId,
    preset: Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f]*$", examples=["1"])],
    viewer: Writer,
    context: Here,
) -> None:
    """The camera goes there by itself. Not while somebody else moves it."""
    async with context.connection() as database, database.transaction():
        found = await _free_for(context, database, viewer, camera_id)
        # Before it moves: a view that changes is no fault then.
        await database.execute(SQL["ptz_moved"], {"camera_id": camera_id, "now": context.clock.now()})
        await _note(context, database, viewer, found, "camera.preset_go", preset=preset)
    try:
        await context.ptz.camera(found).go(preset)
    except OnvifError as error:
        raise _refused(error) from error


@router.websocket("/{camera_id}/ptz")
async def steer(
    socket: WebSocket, camera_id: CameraId, viewer: Seen, context: Here, over: Annotated[bool, Query()] = False
) -> None:
    """Hold the camera as long as the connection stands; `over`: take it from somebody of a lower role."""
    async with context.connection() as database:
        found = await _camera(database, viewer, camera_id)
    try:
        await context.ptz.ability(found)
        camera = context.ptz.camera(found)
    except OnvifError as error:
        raise _refused(error) from error
    now = context.clock.now()
    async with context.connection() as database, database.transaction():
        taken = await take(database, camera_id, viewer, now, over=over)
        await _note(context, database, viewer, found, "camera.ptz", taken_from=taken.taken_from)
    told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    hold = Hold(context, camera_id, taken.seat)
    steering = Steering(camera, hold, clock=context.clock, tell=told.put_nowait, owes_stop=taken.owes_stop)
    hand = context.ptz.sit(steering, _hand(context, viewer, found, steering, hold))
    told.put_nowait({"kind": "held", "lease_s": LEASE.total_seconds()})

    def hear(text: str) -> None:
        try:
            wish = _wish.decode(text)
        except (msgspec.DecodeError, UnicodeError):
            steering.end("invalid")
            return
        steering.wish(Velocity(wish.pan, wish.tilt, wish.zoom))

    try:
        await socket.accept()
        await context.sockets.attend(socket, viewer, context, _serve(socket, hand, told), hear=hear)
    finally:
        # However the connection ends. The desk sees to the stop.
        steering.end()


async def _serve(socket: WebSocket, hand: asyncio.Task[Ending], told: asyncio.Queue[dict[str, Any]]) -> None:
    """Tell the client what there is to tell until its hold is over."""

    async def send() -> None:
        while True:
            await socket.send_text(msgspec.json.encode(await told.get()).decode())

    sending = asyncio.create_task(send())
    try:
        await asyncio.wait({sending, hand}, return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            sending.result()
        sending.cancel()
        while not told.empty():
            await socket.send_text(msgspec.json.encode(told.get_nowait()).decode())
        await close(socket, *_CLOSES[await asyncio.shield(hand)])
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def _hand(context: Context, viewer: Viewer, found: Row, steering: Steering, hold: Hold) -> Ending:
    """The whole of one person's moving the camera: it has stood still, and is free again, when this is over."""
    began = context.clock.monotonic()
    why: Ending = "unavailable"
    try:
        why = await steering.run()
    finally:
        seconds = round(context.clock.monotonic() - began, 1)
        try:
            await hold.release()
            async with context.connection() as database:
                detail = {"why": why, "moves": steering.moves, "seconds": seconds}
                await _note(context, database, viewer, found, "camera.ptz_end", **detail)
        except psycopg.Error as error:
            if not is_outage(error):
                raise
            logger.warning("a hold on a camera was not given back: it runs out", extra={"camera": found["id"]})
    return why


async def _camera(database: AsyncConnection, viewer: Viewer, camera_id: int) -> Row:
    found = await row(database, SQL["ptz_camera"], {"sites": viewer.scope, "camera_id": camera_id})
    if found is None:
        raise NotFound(f"there is no camera {camera_id}")
    return found


async def _free_for(context: Context, database: AsyncConnection, viewer: Viewer, camera_id: int) -> Row:
    """The camera; CameraHeld while somebody else moves it."""
    found = await _camera(database, viewer, camera_id)
    hold = await held(database, camera_id, context.clock.now())
    if hold is not None and hold["holder"] != viewer.code:
        raise refusal(hold)
    return found


def _holder(viewer: Viewer, hold: Row) -> Holder:
    return Holder(
        by=hold["holder"],
        by_name=hold["name"] or hold["holder"],
        by_name_en=hold["name_en"] or "",
        role=hold["role"],
        since=hold["since"],
        yours=hold["holder"] == viewer.code,
        may_take=may_take(viewer, hold),
    )


def _refused(error: OnvifError) -> NoPtz | PtzAway:
    if error.reason == "no_ptz":
        return NoPtz(error.message, hint="see the camera's options `onvif` and `onvif_profile`")
    return PtzAway(error.message, hint="see whether the camera allows ONVIF for the user of its stream")


async def _note(
    context: Context, database: AsyncConnection, viewer: Viewer, camera: Row, action: str, **detail: object
) -> None:
    await audit.append(
        database,
        at=context.clock.now(),
        actor=viewer.code,
        action=action,
        thing=f"camera:{camera['id']}",
        detail={"site": camera["site_id"], **detail},
    )
