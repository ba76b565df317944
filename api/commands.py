"""Commands to devices: what was asked of them and what came of it, and asking for more."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query
from psycopg import AsyncConnection
from pydantic import BaseModel, ConfigDict, Field

from api import audit
from api.access import Seen, Viewer, Writer
from api.context import Context, Database, Here, Millis, Row, Text
from api.devices import DeviceId, load_devices
from api.errors import FaultyFields, documented
from core.errors import InvalidInput, NotFound
from sensors import commands
from sensors.commands import ARGUMENTS_BYTES, CommandRow, Requested

router = APIRouter(prefix="/devices/{device_id}/commands", tags=["commands"])


class NewCommand(BaseModel):
    """What a device shall do."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=40, description="A command of the device's kind; see /kinds.", examples=["spray_on"])
    arguments: dict[str, Any] = Field(
        default={}, description="What the device needs to know, as /kinds declares it; 4 KiB as JSON."
    )
    cause: Text = Field(default="", max_length=500, description="Why.", examples=["渣土车出场"])
    expires_s: float = Field(default=60, ge=5, le=86_400, description="Seconds in which the device must have replied.")


class DeviceCommand(BaseModel):
    """A command and what came of it."""

    id: int = Field(examples=[7])
    device_id: int = Field(examples=[12])
    name: str = Field(examples=["spray_on"])
    arguments: dict[str, Any]
    state: Literal["queued", "sent", "done", "failed", "expired"]
    reason: str = Field(description="Why it is in this state, where there is something to say.")
    requested_by: str = Field(description="A person's code, or linkage:<id>.")
    requested_by_name: str = Field(description="The person's or linkage's name; empty where there is none any more.")
    requested_by_name_en: str
    cause: str = Field(description="Why it was requested.")
    requested_at: Millis
    expires_at: Millis
    sent_at: Millis | None
    delivered_at: Millis | None = Field(description="When the device, or its broker, said that it has it.")
    replied_at: Millis | None
    reply: str | None = Field(description="What the device said.")


class CommandList(BaseModel):
    """Commands of a device, newest first."""

    items: list[DeviceCommand]
    next: int | None = Field(description="`before` of the next page; null: there is none.")


@router.get("", summary="Commands of a device", responses=documented(401, 404, 422))
async def page(
    device_id: DeviceId,
    viewer: Seen,
    context: Here,
    database: Database,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    before: Annotated[int | None, Query(ge=1, lt=2**63, description="`next` of the page before.")] = None,
) -> CommandList:
    """What was asked of the device, by people and by linkages, and what came of it."""
    await _device(database, context, viewer, device_id)
    found = await commands.listed(database, [device_id], limit=limit + 1, before=before)
    items = [shown(one, context) for one in found[:limit]]
    return CommandList(items=items, next=items[-1].id if len(found) > limit else None)


@router.post("", status_code=201, summary="Tell a device to do something", responses=documented(401, 403, 404, 422))
async def request(
    device_id: DeviceId, wanted: NewCommand, viewer: Writer, context: Here, database: Database
) -> DeviceCommand:
    """Queue a command. It is sent once the device is connected, and expires if there is no reply in time."""
    device = await _device(database, context, viewer, device_id)
    profile = context.profiles.get(device["kind"])
    instruction = profile.instruction(wanted.name) if profile else None
    if instruction is None:
        known = ", ".join(one.name for one in profile.commands) if profile else ""
        raise InvalidInput(
            f"devices of kind {device['kind']} have no command {wanted.name!r}",
            hint=f"they have {known}" if known else "they take no commands",
        )
    try:
        # What is no JSON in the end: numbers that are not finite, halves of characters.
        json.dumps(wanted.arguments, allow_nan=False)
        arguments = msgspec.json.encode(wanted.arguments)
    except ValueError as error:
        raise InvalidInput(f"the arguments are no JSON: {error}") from error
    if len(arguments) > ARGUMENTS_BYTES or b"\\u0000" in arguments:
        raise InvalidInput(f"the arguments must fit {ARGUMENTS_BYTES} bytes of JSON and hold no NUL character")
    faults = instruction.faults(wanted.arguments)
    if faults:
        raise FaultyFields({f"body.arguments.{name}": fault for name, fault in faults.items()})
    now = context.clock.now()
    async with database.transaction():
        number = await commands.request(
            database,
            Requested(
                device=device_id,
                name=wanted.name,
                arguments=wanted.arguments,
                by=viewer.code,
                cause=wanted.cause,
                expires_at=now + timedelta(seconds=wanted.expires_s),
            ),
            now=now,
        )
        detail = {"command": number, **wanted.model_dump(include={"name", "arguments", "cause"})}
        await audit.append(
            database, at=now, actor=viewer.code, action="device.command", thing=f"device:{device_id}", detail=detail
        )
        (row,) = await commands.listed(database, [device_id], limit=1, before=number + 1)
    return shown(row, context)


async def _device(database: AsyncConnection, context: Context, viewer: Viewer, device_id: int) -> Row:
    found = await load_devices(database, viewer.scope, context.clock.now(), device_id=device_id)
    if not found:
        raise NotFound(f"there is no device {device_id}")
    return found[0]


def shown(row: CommandRow, context: Context) -> DeviceCommand:
    """The command as people see it."""
    facts = msgspec.structs.asdict(row)
    linkage = context.linkages.get(row.requested_by.removeprefix("linkage:"))
    if linkage is not None and row.requested_by.startswith("linkage:"):
        facts |= {"requested_by_name": linkage.name, "requested_by_name_en": linkage.name_en}
    return DeviceCommand(**facts)
