"""Mute windows: for a time people are told nothing of what some rules find on a site; alerts go on."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from psycopg import errors
from pydantic import BaseModel, ConfigDict, Field

from api import audit
from api.access import SQL, Seen, Viewer, Writer
from api.context import Database, Here, Millis, Text, row, rows
from api.errors import documented
from core.clock import from_micros
from core.errors import Forbidden, InvalidInput, NotFound

router = APIRouter(prefix="/mutes", tags=["alerts"])

State = Literal["active", "coming", "over"]

_LONGEST_DAYS = 31
_DAY_MS = 24 * 3600 * 1000
_EARLIEST_MS, _LATEST_MS = 946_684_800_000, 4_102_444_800_000


class Mute(BaseModel):
    """A time in which nobody is told of what some rules find."""

    id: int
    site_id: int | None = Field(description="null: all sites.")
    device_id: int | None = Field(description="Only of this device; null: of no device in particular.")
    camera_id: int | None = Field(description="Only of this camera; null: of no camera in particular.")
    rule: str = Field(description="Pattern of rule ids.", examples=["*-offline"])
    starts_at: Millis
    ends_at: Millis
    reason: str = Field(examples=["网关更换"])
    made_by: str = Field(description="The person's code.")
    made_by_name: str = Field(description="Name of the person; the code of one who is gone.", examples=["李操作"])
    made_by_name_en: str = Field(examples=["Li Operator"])
    ended_by: str | None = Field(description="Who ended it before its time.")
    ended_by_name: str | None
    ended_by_name_en: str


class NewMute(BaseModel):
    """A mute as it is made; it begins now where `starts_at` is not given."""

    model_config = ConfigDict(extra="forbid")

    site_id: int | None = Field(
        default=None, ge=1, lt=2**31, description="null: all sites, for who sees all; or that of the device or camera."
    )
    device_id: int | None = Field(default=None, ge=1, lt=2**31, description="Only what is found at this device.")
    camera_id: int | None = Field(default=None, ge=1, lt=2**31, description="Only what is found at this camera.")
    rule: str = Field(default="*", min_length=1, max_length=64, pattern=r"^[a-z0-9_.*?\[\]-]+$")
    starts_at: Annotated[int, Field(ge=_EARLIEST_MS, le=_LATEST_MS)] | None = None
    ends_at: Annotated[int, Field(ge=_EARLIEST_MS, le=_LATEST_MS)]
    reason: Text = Field(min_length=1, max_length=300, examples=["网关更换"])


@router.get("", summary="Mute windows", responses=documented(401, 422))
async def listed(
    viewer: Seen,
    context: Here,
    database: Database,
    site_id: Annotated[
        int | None, Query(ge=1, lt=2**31, description="What covers this site, all sites included.")
    ] = None,
    device_id: Annotated[int | None, Query(ge=1, lt=2**31, description="What covers this device.")] = None,
    camera_id: Annotated[int | None, Query(ge=1, lt=2**31, description="What covers this camera.")] = None,
    state: Annotated[list[State] | None, Query(description="One or more; none: all.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    before: Annotated[int | None, Query(ge=1, lt=2**63, description="Id of the last one of the page before.")] = None,
) -> list[Mute]:
    """Mute windows of the sites that the person may see, and those of all sites; newest first.

    A filter names what is covered: by site, also what covers all sites or one device of it; by device or camera, also
    what covers its whole site or all.
    """
    asked = {
        "sites": viewer.scope,
        "site_id": site_id,
        "device_id": device_id,
        "camera_id": camera_id,
        "states": state,
        "now": context.clock.now(),
        "before": before,
        "limit": limit,
    }
    return [Mute(**one) for one in await rows(database, SQL["mutes"], asked)]


@router.post("", status_code=201, summary="Mute rules for a time", responses=documented(401, 403, 404, 422))
async def make(mute: NewMute, viewer: Writer, context: Here, database: Database) -> Mute:
    """People are told nothing of these rules until the end; what stands then is told then. Regulators are not muted."""
    mute = await _aimed(database, viewer, mute)
    if mute.site_id is not None:
        viewer.must_see(mute.site_id)
    if mute.site_id is None and not viewer.all_sites:
        raise Forbidden("all sites are muted by those who see all sites only", hint="name a site")
    now_ms = int(context.clock.now().timestamp() * 1000)
    starts_ms = now_ms if mute.starts_at is None else mute.starts_at
    if mute.ends_at <= max(starts_ms, now_ms) or mute.ends_at - starts_ms > _LONGEST_DAYS * _DAY_MS:
        raise InvalidInput(f"ends_at must lie ahead and within {_LONGEST_DAYS} days of the start")
    values = {
        **mute.model_dump(),
        "starts_at": from_micros(starts_ms * 1000),
        "ends_at": from_micros(mute.ends_at * 1000),
        "made_by": viewer.code,
    }
    async with database.transaction():
        try:
            new = await row(database, SQL["mute_insert"], values)
        except errors.ForeignKeyViolation:
            raise NotFound(f"there is no site {mute.site_id}") from None
        assert new is not None
        made = await row(database, SQL["mute"], {"id": new["id"], "sites": None})
        assert made is not None
        await _audit(context, database, viewer, "mute.make", made["id"], {**mute.model_dump(), "site": mute.site_id})
    return Mute(**made)


@router.delete("/{mute_id}", summary="End a mute window", responses=documented(401, 403, 404, 422))
async def end(
    mute_id: Annotated[int, Path(ge=1, lt=2**63, examples=[3])], viewer: Writer, context: Here, database: Database
) -> Mute:
    """It ends now; one that is over stays as it was."""
    async with database.transaction():
        found = await row(database, SQL["mute"], {"id": mute_id, "sites": viewer.scope})
        if found is None:
            raise NotFound(f"there is no mute {mute_id}")
        now = context.clock.now()
        if found["ends_at"] > now:
            await database.execute(SQL["mute_end"], {"id": mute_id, "now": now, "by": viewer.code})
            await _audit(context, database, viewer, "mute.end", mute_id, {"site": found["site_id"]})
        ended = await row(database, SQL["mute"], {"id": mute_id, "sites": viewer.scope})
    assert ended is not None
    return Mute(**ended)


async def _aimed(database: Database, viewer: Viewer, mute: NewMute) -> NewMute:
    """The mute with the site of its device or camera; raise where there is none, or where they are at odds."""
    if mute.device_id is None and mute.camera_id is None:
        return mute
    if mute.device_id is not None and mute.camera_id is not None:
        raise InvalidInput("a mute is of one device or one camera", hint="make two")
    asked = {"sites": viewer.scope, "device_id": mute.device_id, "camera_id": mute.camera_id}
    found = await row(database, SQL["mute_aim"], asked)
    if found is None:
        what = f"device {mute.device_id}" if mute.device_id is not None else f"camera {mute.camera_id}"
        raise NotFound(f"there is no {what}")
    if mute.site_id not in (None, found["site_id"]):
        raise InvalidInput("the device or camera is on another site", hint="leave site_id out")
    return mute.model_copy(update={"site_id": found["site_id"]})


async def _audit(
    context: Here, database: Database, viewer: Viewer, action: str, mute_id: int, detail: dict[str, Any]
) -> None:
    await audit.append(
        database, at=context.clock.now(), actor=viewer.code, action=action, thing=f"mute:{mute_id}", detail=detail
    )
