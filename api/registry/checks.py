"""Checks of cameras: asked for here, carried out by a vision worker, read here when it is done."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

from fastapi import APIRouter, Response
from psycopg import AsyncConnection
from pydantic import BaseModel, Field

from api import audit
from api.access import SQL, Seen, Viewer, Writer
from api.cameras import may_see_faces
from api.context import Database, Here, Millis, Row, row
from api.errors import documented
from api.registry.change import ThingCode
from core.errors import NotFound

router = APIRouter(prefix="/registry/cameras", tags=["administration"])

# Workers look every second; a crowd of checks waits for its turn.
_CLAIMED_WITHIN = timedelta(seconds=60)


class CheckAdvice(BaseModel):
    """One thing to change on the camera."""

    code: str = Field(examples=["key_interval"])
    values: dict[str, str] = Field(description="What its words have in them.", examples=[{"wanted": "1", "seen": "4"}])
    text: str = Field(description="In English.")


class CheckBox(BaseModel):
    """What the detector saw."""

    label: str = Field(examples=["head"])
    score: float
    xyxy: tuple[float, float, float, float] = Field(description="Left, top, right, bottom in pixels.")


class CheckReport(BaseModel):
    """What was found of the camera."""

    url: str = Field(description="Without its password.")
    usable: bool = Field(description="Whether pictures came.")
    reason: str = Field(description="Why not, as the reason of a camera's state.", examples=["wrong_password"])
    message: str
    remedy: str = Field(description="What helps, in English.")
    codec: str
    width: int
    height: int
    fps: float
    bit_rate_mbit: float
    key_interval_s: float = Field(description="0: no key frame came twice.")
    open_s: float
    first_picture_s: float
    jitter_s: float
    corrupt: int
    boxes: list[CheckBox]
    advice: list[CheckAdvice] = Field(description="Most important first.")


class CameraCheck(BaseModel):
    """The newest check of a camera."""

    state: Literal["none", "waiting", "running", "done", "failed", "unclaimed", "lost"] = Field(
        description="none: never asked for; failed: see `error`; unclaimed: no vision worker took it; lost: the worker "
        "that took it never answered."
    )
    asked_at: Millis | None = None
    asked_by: str | None = Field(default=None, description="A person's code.")
    asked_by_name: str | None = Field(default=None, description="Name of the person; the code of one who is gone.")
    asked_by_name_en: str | None = None
    worker: str | None = None
    ended_at: Millis | None = None
    error: str = Field(default="", description="invalid_options, check_hung or check_died.")
    report: CheckReport | None = None
    has_picture: bool = False


@router.get("/{site}/{camera}/check", summary="The newest check of a camera", responses=documented(401, 403, 404, 422))
async def camera_check(
    site: ThingCode, camera: ThingCode, viewer: Seen, context: Here, database: Database
) -> CameraCheck:
    """How it stands, and when it is done what was found and what to change."""
    return _shown(await _found(database, viewer, site, camera), context.clock.now())


@router.post(
    "/{site}/{camera}/check", status_code=202, summary="Check a camera", responses=documented(401, 403, 404, 422)
)
async def check_camera(
    site: ThingCode, camera: ThingCode, viewer: Writer, context: Here, database: Database
) -> CameraCheck:
    """Ask for a check of the camera as it is registered; one that is waiting or under way is answered, not doubled."""
    now = context.clock.now()
    async with database.transaction():
        found = await _found(database, viewer, site, camera)
        values = {"id": found["id"], "now": now, "by": viewer.code, "due_at": now + _CLAIMED_WITHIN}
        asked = await row(database, SQL["camera_check_ask"], values)
        if asked is not None:
            thing = f"camera:{found['id']}"
            detail = {"key": f"{site}/{camera}"}
            await audit.append(database, at=now, actor=viewer.code, action="camera.check", thing=thing, detail=detail)
        return _shown(await _found(database, viewer, site, camera), now)


@router.get(
    "/{site}/{camera}/check/picture.jpg",
    summary="The picture of a check",
    response_class=Response,
    responses={200: {"description": "A JPEG.", "content": {"image/jpeg": {}}}, **documented(401, 403, 404, 422)},
)
async def check_picture(
    site: ThingCode, camera: ThingCode, viewer: Seen, context: Here, database: Database
) -> Response:
    """With boxes; heads are blurred for whoever may not see originals."""
    found = await _found(database, viewer, site, camera)
    original = may_see_faces(context, viewer)
    pictures = await row(database, SQL["camera_check_picture"], {"sites": viewer.scope, "id": found["id"]})
    if pictures is None or pictures["picture"] is None:
        raise NotFound(f"there is no picture of a check of camera {site}/{camera}")
    if original:
        await context.looks.note(database, viewer.code, found)
    content = pictures["picture"] if original else pictures["blurred"]
    return Response(content, media_type="image/jpeg", headers={"Cache-Control": "no-store"})


async def _found(database: AsyncConnection, viewer: Viewer, site: str, code: str) -> Row:
    """The camera with its check; NotFound where there is none on a site that the person sees."""
    found = await row(database, SQL["camera_check"], {"sites": viewer.scope, "site": site, "code": code})
    if found is None:
        raise NotFound(f"there is no camera {site}/{code}")
    return found


def _shown(found: Row, now: datetime) -> CameraCheck:
    if found["asked_at"] is None:
        return CameraCheck(state="none")
    state: Any
    if found["ended_at"] is not None:
        state = "failed" if found["error"] else "done"
    elif found["started_at"] is not None:
        state = "running" if now < found["due_at"] else "lost"
    else:
        state = "waiting" if now < found["due_at"] else "unclaimed"
    names = ("asked_by_name", "asked_by_name_en")
    told = ("asked_at", "asked_by", *names, "worker", "ended_at", "error", "report", "has_picture")
    return CameraCheck(state=state, **{name: found[name] for name in told})
