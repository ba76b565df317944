"""Devices of the registry, and their secrets."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from psycopg import AsyncConnection
from pydantic import BaseModel, ConfigDict, Field

from api import audit
from api.access import SQL, Seen, Viewer, Writer
from api.context import Database, Here, Row, row, rows
from api.errors import documented
from api.registry.change import Registered, ThingCode, change, must_see, tagged
from api.versions import IfMatch, IfNoneMatch, Precondition
from core.errors import NotFound
from sensors.credentials import generate_secret, hash_generated
from sensors.provision import Rows, Sourced
from sensors.provision.rows import DeviceFacts, DeviceRow

router = APIRouter(prefix="/registry/devices", tags=["administration"])


class DeviceForm(DeviceFacts):
    """What may be set of a device; the kind of one that is there stays. What is left out stays, or gets its default."""

    model_config = ConfigDict(json_schema_extra={"example": {"kind": "dust", "name": "扬尘一号", "interval_s": 60}})


class RegisteredDevice(DeviceFacts, Registered):
    """A device as the registry has it, without secrets."""

    site: str = Field(description="Code of its site.", examples=["riverside"])
    has_secret: bool = Field(description="Whether it may connect by MQTT.")


class SavedDevice(RegisteredDevice):
    """A device as it is now, and the secret that was made where it had none."""

    secret: str | None = Field(default=None, description="Told this once; user name is `site/device`.")


class DevicePage(BaseModel):
    """By site and code."""

    items: list[RegisteredDevice]
    next: str | None = Field(description="`after` of the next page; null on the last.", examples=["riverside/dust-1"])


class NewSecret(BaseModel):
    """A secret that was made; it is told this once."""

    user: str = Field(examples=["riverside/dust-1"])
    secret: str


async def _found(database: AsyncConnection, viewer: Viewer, site: str, code: str) -> Row | None:
    """The device; NotFound where the person does not see its site."""
    await must_see(database, viewer, site)
    wanted = {"sites": viewer.scope, "site": site, "code": code, "after": None, "limit": 1}
    return await row(database, SQL["registry_devices"], wanted)


@router.get("", summary="List devices as registered", responses=documented(401, 403, 422))
async def registered_devices(
    viewer: Seen,
    database: Database,
    site: Annotated[str | None, Query(max_length=64, description="Code: only of this site.")] = None,
    after: Annotated[str | None, Query(max_length=200, description="`next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> DevicePage:
    """Devices of the sites that the person sees, also those that are switched off."""
    wanted = {"sites": viewer.scope, "site": site, "code": None, "after": after, "limit": limit + 1}
    found = await rows(database, SQL["registry_devices"], wanted)
    items = [RegisteredDevice(**tagged(one)) for one in found[:limit]]
    return DevicePage(items=items, next=f"{items[-1].site}/{items[-1].code}" if len(found) > limit else None)


@router.put("/{site}/{device}", summary="Change or make a device", responses=documented(401, 403, 404, 412, 422))
async def save_device(
    site: ThingCode,
    device: ThingCode,
    form: DeviceForm,
    viewer: Writer,
    context: Here,
    database: Database,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> SavedDevice:
    """Change a device as read, or make a new one. One without a secret gets one, told in the answer and never again."""
    saved, report = await change(
        context,
        database,
        viewer,
        kind="device",
        key=f"{site}/{device}",
        form=form,
        precondition=Precondition(if_match, if_none_match),
        find=lambda: _found(database, viewer, site, device),
        shown=lambda found: SavedDevice(**tagged(found)),
        rows=Rows(devices=[Sourced("", "", DeviceRow(site=site, code=device, **form.model_dump(exclude_unset=True)))]),
    )
    made = report.secrets[0].secret if report.secrets else None
    return saved.model_copy(update={"secret": made})


@router.post("/{site}/{device}/secret", summary="Make a new secret", responses=documented(401, 403, 404, 422))
async def renew_secret(
    site: ThingCode, device: ThingCode, viewer: Writer, context: Here, database: Database
) -> NewSecret:
    """A new MQTT password: the old one does not hold any more, and a connection made with it ends."""
    secret = generate_secret()
    async with database.transaction():
        found = await _found(database, viewer, site, device)
        if found is None:
            raise NotFound(f"there is no device {site}/{device}")
        await database.execute(SQL["registry_secret_put"], {"id": found["id"], "hash": hash_generated(secret)})
        await audit.append(
            database,
            at=context.clock.now(),
            actor=viewer.code,
            action="device.secret",
            thing=f"device:{found['id']}",
            detail={"key": f"{site}/{device}"},
        )
    return NewSecret(user=f"{site}/{device}", secret=secret)
