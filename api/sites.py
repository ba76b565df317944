"""Sites with their colour, their units and what stands on them."""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated, get_args

from fastapi import APIRouter, Path
from psycopg import AsyncConnection
from pydantic import BaseModel, Field, TypeAdapter

from api.access import SQL, Seen
from api.cameras import Camera, load_cameras
from api.context import Database, Here, Row, rows
from api.devices import Device, describe_devices, load_devices
from api.errors import documented
from api.states import Reason, Severity, SiteColour, camera_online, site_state
from core.errors import NotFound

router = APIRouter(prefix="/sites", tags=["sites"])

SiteId = Annotated[int, Path(ge=1, lt=2**31, examples=[1])]


class Availability(BaseModel):
    """How many there are, and how many of them work now."""

    total: int = Field(examples=[12])
    online: int = Field(examples=[11])


class OpenAlerts(BaseModel):
    """Open alerts by severity, without those reviewed as false alarms."""

    info: int = 0
    warning: int = 0
    major: int = 0
    critical: int = 0


class SiteUnit(BaseModel):
    """A company and its part on the site."""

    role: str = Field(description="builder, contractor or supervisor.", examples=["contractor"])
    name: str = Field(examples=["中建示范工程有限公司"])
    name_en: str = Field(examples=["Example Construction Co."])


class SiteFacts(BaseModel):
    """A construction site and how it is doing."""

    id: int = Field(examples=[1])
    code: str = Field(examples=["riverside"])
    name: str = Field(examples=["滨江一号地块"])
    name_en: str = Field(examples=["Riverside lot 1"])
    address: str
    latitude: float | None = Field(description="WGS-84 degrees.", examples=[30.2741])
    longitude: float | None = Field(description="WGS-84 degrees.", examples=[120.1551])
    time_zone: str = Field(description="IANA name.", examples=["Asia/Shanghai"])
    stage: str = Field(description="Construction stage.", examples=["主体结构"])
    state: SiteColour
    reason: Reason
    open_alerts: OpenAlerts
    units: list[SiteUnit]


class Site(SiteFacts):
    """A site in a list: devices and cameras as counts."""

    devices: Availability
    cameras: Availability


class SiteList(BaseModel):
    """Sites that the person may see."""

    items: list[Site]


class SiteDetail(SiteFacts):
    """A site with its devices and cameras themselves."""

    devices: list[Device]
    cameras: list[Camera]


_sites = TypeAdapter(list[Site])
_SEVERITIES = get_args(Severity)


@router.get("", summary="List sites", responses=documented(401))
async def page(viewer: Seen, context: Here, database: Database) -> SiteList:
    """The sites that the person may see, each with its colour and the reason for it."""
    now = context.clock.now()
    devices = await load_devices(database, viewer.scope, now)
    cameras = await load_cameras(database, viewer.scope, now)
    return SiteList(items=await load_sites(database, viewer.scope, devices=devices, cameras=cameras))


@router.get("/{site_id}", summary="One site", responses=documented(401, 404, 422))
async def read(site_id: SiteId, viewer: Seen, context: Here, database: Database) -> SiteDetail:
    """A site with its devices, their newest values and limits, and its cameras."""
    viewer.must_see(site_id)
    now = context.clock.now()
    devices = await load_devices(database, viewer.scope, now, site_id=site_id)
    cameras = await load_cameras(database, viewer.scope, now, site_id=site_id)
    found = await load_sites(database, viewer.scope, devices=devices, cameras=cameras, site_id=site_id)
    if not found:
        raise NotFound(f"there is no site {site_id}")
    return SiteDetail(
        **found[0].model_dump(exclude={"devices", "cameras"}),
        devices=await describe_devices(database, context, devices),
        cameras=[Camera(**one) for one in cameras],
    )


async def load_sites(
    connection: AsyncConnection,
    scope: list[int] | None,
    *,
    devices: list[Row],
    cameras: list[Row],
    site_id: int | None = None,
) -> list[Site]:
    """Sites of the scope; `devices` and `cameras` are the rows that their loaders gave for it."""
    units: dict[int, list[Row]] = defaultdict(list)
    for found in await rows(connection, SQL["site_units"], {"sites": scope, "site_id": site_id}):
        units[found["site_id"]].append(found)
    standing = await site_rows(connection, scope, devices=devices, cameras=cameras, site_id=site_id)
    # All at once: one by one they take three times as long.
    return _sites.validate_python([{**one, "units": units[one["id"]]} for one in standing])


async def site_rows(
    connection: AsyncConnection,
    scope: list[int] | None,
    *,
    devices: list[Row],
    cameras: list[Row],
    site_id: int | None = None,
) -> list[Row]:
    """Sites of the scope as rows, each with how it is now: `state`, `reason`, `devices`, `cameras`, `open_alerts`."""
    asked = {"sites": scope, "site_id": site_id}
    alerts: dict[int, dict[Severity, int]] = defaultdict(dict)
    for found in await rows(connection, SQL["site_open_alerts"], asked):
        alerts[found["site_id"]][found["severity"]] = found["n"]
    heard: dict[int, list[bool | None]] = defaultdict(list)
    for device in devices:
        heard[device["site_id"]].append(device["online"])
    seen: dict[int, list[bool | None]] = defaultdict(list)
    for camera in cameras:
        seen[camera["site_id"]].append(camera_online(camera["state"]))
    sites = await rows(connection, SQL["sites"], asked)
    for found in sites:
        number = found["id"]
        found["state"], found["reason"] = site_state(alerts=alerts[number], devices=heard[number], cameras=seen[number])
        found["devices"] = {"total": len(heard[number]), "online": heard[number].count(True)}
        found["cameras"] = {"total": len(seen[number]), "online": seen[number].count(True)}
        found["open_alerts"] = {severity: alerts[number].get(severity, 0) for severity in _SEVERITIES}
    return sites
