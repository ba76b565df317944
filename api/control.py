"""The downlink of a site at a glance: commands, how linkages stand and what they decided; taking devices over."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from psycopg import AsyncConnection
from pydantic import BaseModel, ConfigDict, Field

from alerts.linkage import Linkage
from alerts.linkage.standing import decisions, standing, take_over
from api import audit
from api.access import Seen, Viewer, Writer
from api.commands import DeviceCommand, shown
from api.context import Context, Database, Here, Millis, Row
from api.devices import DeviceId, load_devices
from api.errors import documented
from core.errors import InvalidInput, NotFound
from sensors import commands

router = APIRouter(tags=["commands"])

_COMMANDS = 6
_DAY_MINUTES = 24 * 60


class LinkageFacts(BaseModel):
    """A linkage that switches a device."""

    id: str = Field(examples=["dust-spray"])
    name: str
    name_en: str
    on: str = Field(description="Command that it switches on with.", examples=["spray_on"])
    off: str = Field(description="Command that it switches off with.", examples=["spray_off"])
    minimum_on_s: float
    maximum_on_s: float
    pause_s: float = Field(description="Hands off for so long after somebody switched by hand.")


class Override(BaseModel):
    """Somebody took the device over."""

    by: str = Field(description="The person's code.")
    by_name: str
    by_name_en: str
    until: Millis


class Automatic(BaseModel):
    """How a device stands with the linkages that switch it."""

    linkages: list[LinkageFacts]
    state: Literal["idle", "on", "off", "resting", "paused"] = Field(
        description="idle: never switched yet; paused: hands off, by hand or because somebody took it over."
    )
    linkage: str | None = Field(description="The owner: by which it was switched last.")
    since: Millis | None = Field(description="Of on and off.")
    until: Millis | None = Field(description="Of a rest or a pause.")
    override: Override | None


class Controlled(BaseModel):
    """A device that takes commands; `automatic` is null where no linkage switches it."""

    device_id: int = Field(examples=[12])
    commands: list[DeviceCommand] = Field(description="The newest few, newest first.")
    automatic: Automatic | None


class Decision(BaseModel):
    """What a linkage did or left undone, and why."""

    id: int
    at: Millis
    linkage: str = Field(examples=["dust-spray"])
    linkage_name: str = Field(description="Its id where there is none of that name any more.")
    linkage_name_en: str
    device_id: int
    decision: Literal["on", "off", "handed_over", "paused", "resumed", "failed", "withheld"]
    code: str = Field(description="Why, as a stable code; empty in old rows.", examples=["alert_open"])
    facts: dict[str, int | str] = Field(description="Of the code: seconds, until (ms), by, command, linkage.")
    reason: str = Field(description="Why, in English words.")
    by_name: str = Field(description="Name of the person `by`; empty where there is none.")
    by_name_en: str
    alert_id: int | None = Field(description="The alert that asked for it.")
    rule_name: str = Field(description="Of the alert's rule; empty without an alert.")
    rule_name_en: str
    command_id: int | None


class Control(BaseModel):
    """The downlink of a site."""

    devices: list[Controlled]
    decisions: list[Decision] = Field(description="Newest first.")


class NewOverride(BaseModel):
    """For how long linkages shall keep their hands off."""

    model_config = ConfigDict(extra="forbid")

    minutes: float = Field(ge=1, le=_DAY_MINUTES, examples=[30])


@router.get("/sites/{site_id}/control", summary="Downlink of a site", responses=documented(401, 404, 422))
async def site(
    site_id: Annotated[int, Path(ge=1, lt=2**31, examples=[1])],
    viewer: Seen,
    context: Here,
    database: Database,
    limit: Annotated[int, Query(ge=1, le=200, description="Decisions.")] = 20,
) -> Control:
    """Devices of the site that take commands, each with its newest commands and how it stands with linkages."""
    viewer.must_see(site_id)
    found = await load_devices(database, viewer.scope, context.clock.now(), site_id=site_id)
    profiles = context.profiles
    able = [one for one in found if one["kind"] in profiles and profiles[one["kind"]].commands]
    ids = [one["id"] for one in able]
    given: dict[int, list[DeviceCommand]] = defaultdict(list)
    for row in await commands.listed(database, ids, limit=_COMMANDS):
        given[row.device_id].append(shown(row, context))
    stands = await _automatic(database, context, able)
    return Control(
        devices=[Controlled(device_id=one, commands=given[one], automatic=stands[one]) for one in ids],
        decisions=[_decision(one, context) for one in await decisions(database, ids, limit=limit)],
    )


@router.put("/devices/{device_id}/override", summary="Take a device over", responses=documented(401, 403, 404, 422))
async def take(
    device_id: DeviceId, wanted: NewOverride, viewer: Writer, context: Here, database: Database
) -> Automatic:
    """Linkages keep their hands off the device for some minutes; it stays as it is. Again: from now for so long."""
    return await _override(database, context, viewer, device_id, wanted.minutes)


@router.delete("/devices/{device_id}/override", summary="Give a device back", responses=documented(401, 403, 404, 422))
async def give_back(device_id: DeviceId, viewer: Writer, context: Here, database: Database) -> Automatic:
    """Linkages switch the device again from now on, also where they paused because somebody had switched it by hand."""
    return await _override(database, context, viewer, device_id, None)


async def _override(
    database: AsyncConnection, context: Context, viewer: Viewer, device_id: int, minutes: float | None
) -> Automatic:
    now = context.clock.now()
    found = await load_devices(database, viewer.scope, now, device_id=device_id)
    if not found:
        raise NotFound(f"there is no device {device_id}")
    if not _switching(context, found[0]):
        raise InvalidInput(f"no linkage switches device {device_id}", hint="it is switched by commands alone")
    until = now + timedelta(minutes=minutes or 0)
    async with database.transaction():
        await take_over(database, device_id, by=viewer.code, at=now, until=until)
        action = "device.give_back" if minutes is None else "device.take_over"
        detail = {} if minutes is None else {"minutes": minutes}
        await audit.append(
            database, at=now, actor=viewer.code, action=action, thing=f"device:{device_id}", detail=detail
        )
        stands = (await _automatic(database, context, found))[device_id]
    assert stands is not None
    return stands


def _switching(context: Context, device: Row) -> list[Linkage]:
    return [
        one
        for one in context.linkages.values()
        if one.device_kind == device["kind"] and (not one.device_tags or set(one.device_tags) & set(device["tags"]))
    ]


async def _automatic(database: AsyncConnection, context: Context, devices: list[Row]) -> dict[int, Automatic | None]:
    now = context.clock.now()
    held = await standing(database, [one["id"] for one in devices], now=now)
    return {one["id"]: _standing(_switching(context, one), held[one["id"]], now) for one in devices}


def _standing(linkages: list[Linkage], held: dict[str, Any], now: datetime) -> Automatic | None:
    if not linkages:
        return None
    override = None
    if held["override_by"] is not None:
        override = Override(
            by=held["override_by"],
            by_name=held["override_by_name"] or held["override_by"],
            by_name_en=held["override_by_name_en"] or "",
            until=held["override_until"],
        )
    state: Literal["idle", "on", "off", "resting", "paused"] = "idle"
    until = None
    if override is not None:
        state, until = "paused", held["override_until"]
    elif held["paused_until"] is not None and held["paused_until"] > now:
        state, until = "paused", held["paused_until"]
    elif held["is_on"]:
        state = "on"
    elif held["rest_until"] is not None and held["rest_until"] > now:
        state, until = "resting", held["rest_until"]
    elif held["linkage"] is not None:
        state = "off"
    return Automatic(
        linkages=[
            LinkageFacts(
                **one.model_dump(include={"id", "name", "name_en", "on", "off"}),
                minimum_on_s=one.minimum_on.total_seconds(),
                maximum_on_s=one.maximum_on.total_seconds(),
                pause_s=one.pause.total_seconds(),
            )
            for one in linkages
        ],
        state=state,
        linkage=held["linkage"],
        since=held["since"],
        until=until,
        override=override,
    )


def _decision(row: dict[str, Any], context: Context) -> Decision:
    linkage = context.linkages.get(row["linkage"])
    names = {name: row[name] or "" for name in ("by_name", "by_name_en", "rule_name", "rule_name_en")}
    return Decision(
        **{**row, **names},
        linkage_name=linkage.name if linkage else row["linkage"],
        linkage_name_en=linkage.name_en if linkage else row["linkage"],
    )
