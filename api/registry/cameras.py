"""Cameras of the registry. Passwords in their addresses never leave the server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query
from psycopg import AsyncConnection
from pydantic import ConfigDict, Field, ValidationError

from api.access import SQL, Seen, Viewer, Writer
from api.context import Database, Here, Row, row, rows
from api.errors import FaultyFields, documented
from api.registry.change import IfMatch, IfNoneMatch, Precondition, ThingCode, change, etag_of
from core.errors import NotFound
from core.settings import CameraSettings
from sensors.provision import RowError, Rows, Sourced
from sensors.provision.faults import explained
from sensors.provision.rows import CameraFacts, CameraRow

router = APIRouter(prefix="/registry/cameras", tags=["administration"])

MASK = "***"
_PASSWORD = re.compile(r"(?<=://)([^/@\s]*:)([^/@\s]*)(?=@)")


class CameraForm(CameraFacts):
    """What may be set of a camera. An address whose password is `***` keeps the one it has. What is left out stays, or
    gets its default in a new one."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"name": "大门", "url": "rtsp://admin:secret@10.0.0.8/stream2"}}
    )


class RegisteredCamera(CameraFacts):
    """A camera as the registry has it; a password in its address shows as `***`."""

    id: int = Field(examples=[3])
    site: str = Field(description="Code of its site.", examples=["riverside"])
    code: str = Field(examples=["gate"])
    etag: str = Field(description="For If-Match of a change.", examples=['"3f2a9c..."'])


def masked(url: str) -> str:
    """The address without its password."""
    return _PASSWORD.sub(rf"\g<1>{MASK}", url)


async def _found(database: AsyncConnection, viewer: Viewer, site: str, code: str) -> Row | None:
    """The camera; NotFound where the person does not see its site."""
    place = await row(database, SQL["registry_sites"], {"sites": viewer.scope, "code": site})
    if place is None:
        raise NotFound(f"there is no site {site!r}")
    return await row(database, SQL["registry_cameras"], {"sites": viewer.scope, "site": site, "code": code})


def _shown(found: Row) -> RegisteredCamera:
    # The tag covers the password, so that a change of it alone is one.
    etag = etag_of({name: value for name, value in found.items() if name != "id"})
    return RegisteredCamera(**{**found, "url": masked(found["url"])}, etag=etag)


@router.get("", summary="List cameras as registered", responses=documented(401, 403, 422))
async def registered_cameras(
    viewer: Seen,
    database: Database,
    site: Annotated[str | None, Query(max_length=64, description="Code: only of this site.")] = None,
) -> list[RegisteredCamera]:
    """Cameras of the sites that the person sees, also those that are switched off."""
    return [
        _shown(one)
        for one in await rows(database, SQL["registry_cameras"], {"sites": viewer.scope, "site": site, "code": None})
    ]


@router.put("/{site}/{camera}", summary="Change or make a camera", responses=documented(401, 403, 404, 412, 422))
async def save_camera(
    site: ThingCode,
    camera: ThingCode,
    form: CameraForm,
    viewer: Writer,
    context: Here,
    database: Database,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> RegisteredCamera:
    """Change a camera as read, or make a new one. Its worker takes the change up within a second or two."""
    _check(context.settings.vision.camera, form.options)
    values = form.model_dump(exclude_unset=True)
    if MASK in form.url:
        values["url"] = _with_password(form.url, await _found(database, viewer, site, camera))

    def rows_of() -> Rows:
        return Rows(cameras=[Sourced("", "", CameraRow(site=site, code=camera, **values))])

    saved, _ = await change(
        context,
        database,
        viewer,
        kind="camera",
        key=f"{site}/{camera}",
        form=form,
        precondition=Precondition(if_match, if_none_match),
        find=lambda: _found(database, viewer, site, camera),
        shown=_shown,
        row=rows_of,
    )
    return saved


def _check(defaults: CameraSettings, options: Mapping[str, Any]) -> None:
    """Raise FaultyFields where an option is not usable: its path below `options`."""
    try:
        CameraSettings.model_validate({**defaults.model_dump(), **options})
    except ValidationError as error:
        faults = []
        for fault in error.errors(include_url=False, include_input=False):
            code, values, message = explained(fault)
            field = ".".join(("options", *(str(part) for part in fault["loc"])))
            faults.append(RowError(file="", row="", field=field, code=code, values=values, message=message))
        raise FaultyFields.of_rows(faults) from None


def _with_password(url: str, present: dict[str, Any] | None) -> str:
    """The address with the password that the registry has, if it is the same but for that."""
    known = _PASSWORD.search(present["url"]) if present is not None else None
    filled = _PASSWORD.sub(lambda found: f"{found[1]}{known[2]}" if known else found[0], url)
    if known is None or masked(filled) != url or _host(filled) != _host(present["url"] if present else ""):
        raise FaultyFields({"body.url": "write the password: there is none for this address yet"})
    return filled


def _host(url: str) -> str:
    """A password is not sent to another host because somebody changed the address and left the password masked."""
    return url.partition("@")[2].partition("/")[0]
