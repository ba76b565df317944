"""Cameras of the registry. Passwords in their addresses never leave the server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query
from psycopg import AsyncConnection
from pydantic import ConfigDict, Field

from api.access import SQL, Seen, Viewer, Writer
from api.context import Database, Here, Row, row, rows
from api.errors import FaultyFields, documented
from api.registry.change import Registered, ThingCode, change, must_see, tagged
from api.versions import IfMatch, IfNoneMatch, Precondition
from core.logs import redact_url
from core.settings import CameraSettings
from sensors.provision import RowError, Rows, Sourced
from sensors.provision.faults import explained
from sensors.provision.rows import CameraFacts, CameraRow
from vision.option_fields import OptionField, option_fields
from vision.options import InvalidOptions, camera_settings

router = APIRouter(prefix="/registry/cameras", tags=["administration"])

_MASK = "***"


class CameraForm(CameraFacts):
    """What may be set of a camera. An address whose password is `***` keeps the one it has. What is left out stays, or
    gets its default in a new one."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"name": "大门", "url": "rtsp://admin:secret@10.0.0.8/stream2"}}
    )


class RegisteredCamera(CameraFacts, Registered):
    """A camera as the registry has it; a password in its address shows as `***`."""

    site: str = Field(description="Code of its site.", examples=["riverside"])


async def _found(database: AsyncConnection, viewer: Viewer, site: str, code: str) -> Row | None:
    """The camera; NotFound where the person does not see its site."""
    await must_see(database, viewer, site)
    return await row(database, SQL["registry_cameras"], {"sites": viewer.scope, "site": site, "code": code})


def _shown(found: Row) -> RegisteredCamera:
    # The tag covers the password, so that a change of it alone is one.
    return RegisteredCamera(**{**tagged(found), "url": redact_url(found["url"])})


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


@router.get("/options", summary="Options of a camera", responses=documented(401, 403))
async def camera_options(_: Seen, context: Here) -> list[OptionField]:
    """What `options` of a camera may hold beside `zones`, in groups, with the defaults that are in force here.
    `label` and `description` are Chinese."""
    return option_fields(context.settings.vision.camera)


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
    _must_be_usable(context.settings.vision.camera, form.options)
    values = form.model_dump(exclude_unset=True)
    if _MASK in form.url:
        values["url"] = _with_secrets(form.url, await _found(database, viewer, site, camera))
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
        rows=Rows(cameras=[Sourced("", "", CameraRow(site=site, code=camera, **values))]),
    )
    return saved


def _must_be_usable(defaults: CameraSettings, options: Mapping[str, Any]) -> None:
    """Raise FaultyFields where an option is not usable: its path below `options`."""
    try:
        camera_settings(defaults, options)
    except InvalidOptions as error:
        faults = []
        for fault in error.faults:
            code, values, message = explained(fault)
            field = ".".join(("options", *(str(part) for part in fault["loc"])))
            faults.append(RowError(file="", row="", field=field, code=code, values=values, message=message))
        raise FaultyFields.of_rows(faults) from None


def _with_secrets(url: str, present: Row | None) -> str:
    """The address with what the registry has for its `***`: the address as it was, or with the password for the same
    host, for a secret goes nowhere else because somebody changed the address and left it masked."""
    known = "" if present is None else str(present["url"])
    if url == redact_url(known):
        return known
    _, host = _parts(url)
    known_user, known_host = _parts(known)
    filled = f"{known_user}@{host}"
    same_host = host.partition("/")[0] == known_host.partition("/")[0]
    if not known_user or not same_host or _MASK in host or redact_url(filled) != url:
        raise FaultyFields({"body.url": "write the password: there is none for this address yet"})
    return filled


def _parts(url: str) -> tuple[str, str]:
    """What stands before the last @ of the authority, user and password, and what comes behind it."""
    scheme, mark, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    return (f"{scheme}{mark}{user}" if at else "", f"{host}{slash}{path}")
