"""Devices with their newest values and limits, and their history as series."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from psycopg import AsyncConnection
from pydantic import BaseModel, Field, TypeAdapter

from api.access import SQL, Seen
from api.context import SILENT_AFTER, Context, Database, Here, Millis, Row, rows
from api.errors import documented
from api.limits import Limit, limits_of, name_sites
from api.states import device_online
from core.clock import from_micros
from core.errors import NotFound
from sensors import history

router = APIRouter(tags=["devices"])

SiteFilter = Annotated[int | None, Query(ge=1, lt=2**31, description="Only of this site.")]
DeviceId = Annotated[int, Path(ge=1, lt=2**31, examples=[12])]
# From a day after the epoch to the end of the year 9998: what lies beyond can overflow a date.
Moment = Annotated[
    int | None, Query(ge=86_400_000, lt=253370764800000, description="Milliseconds since 1970-01-01 UTC.")
]
_DAY = timedelta(days=1)


class SymbolModel(BaseModel):
    """One state of an enumeration; its number in values is its place in the list."""

    name: str
    label: str
    label_en: str


class ChannelModel(BaseModel):
    """One measured quantity of a kind."""

    name: str = Field(examples=["pm10"])
    label: str = Field(examples=["PM10"])
    label_en: str = Field(examples=["PM10"])
    unit: str = Field(description="Canonical unit; empty: a count or an enumeration.", examples=["µg/m³"])
    type: Literal["real", "double", "bigint", "enum"]
    minimum: float | None = Field(description="Lower end of the plausible range.")
    maximum: float | None = Field(description="Upper end of the plausible range.")
    symbols: list[SymbolModel]


class ArgumentModel(BaseModel):
    """Something that a command needs to know: a number within bounds, or one of the symbols by its name."""

    name: str = Field(examples=["minutes"])
    type: Literal["real", "bigint", "enum"]
    label: str
    label_en: str
    unit: str = Field(description="For people; empty: none.", examples=["min"])
    minimum: float | None
    maximum: float | None
    required: bool
    symbols: list[SymbolModel]


class InstructionModel(BaseModel):
    """A command that devices of a kind take."""

    name: str = Field(examples=["spray_on"])
    label: str
    label_en: str
    arguments: list[ArgumentModel] = Field(description="Empty: it takes whatever it is given.")


class Kind(BaseModel):
    """A kind of device and its channels, in the order in which they are shown."""

    kind: str = Field(examples=["dust"])
    name: str = Field(examples=["扬尘噪声监测站"])
    name_en: str = Field(examples=["Dust and noise station"])
    channels: list[ChannelModel]
    commands: list[InstructionModel]


class KindList(BaseModel):
    """All kinds that the platform knows."""

    items: list[Kind]


class Value(BaseModel):
    """A channel's newest value and its HJ 212 quality letter: N normal, T out of range, D faulty, ..."""

    value: float | None = Field(examples=[152.3])
    quality: str = Field(examples=["N"])


class Sequence(BaseModel):
    """What the device's running numbers (`seq` of its telemetry) say of readings that never came."""

    since: Millis = Field(description="Time of the first numbered reading, ms.")
    received: int = Field(description="Numbered readings that were taken.", examples=[86400])
    missing: int = Field(description="Numbers that were passed over and have not come since.", examples=[12])
    late: int = Field(description="Of those received, came after a higher number and closed a gap.")
    repeated: int = Field(description="Of those received, numbers that had come before.")
    restarts: int = Field(description="Times that the numbering began anew.")
    gap_at: Millis | None = Field(description="Time of the reading after the newest gap, ms; null: no gap yet.")


class Device(BaseModel):
    """A station or machine and how it is now."""

    id: int = Field(examples=[12])
    site_id: int = Field(examples=[1])
    code: str = Field(examples=["dust-1"])
    kind: str = Field(examples=["dust"])
    name: str = Field(examples=["1 号扬尘站"])
    name_en: str = Field(examples=["Dust station 1"])
    online: bool | None = Field(description="null: not known; never heard, or ingest has only just begun to listen.")
    last_time: Millis | None = Field(description="Time of the newest reading by the device's clock, ms.")
    last_seen_at: Millis | None = Field(description="When it was last heard, ms.")
    sequence: Sequence | None = Field(description="null: its readings carry no numbers.")
    computes: bool = Field(description="It sends minute, hour or day statistics of its own: see its `statistics`.")
    values: dict[str, Value] = Field(examples=[{"pm10": {"value": 152.3, "quality": "N"}}])
    limits: dict[str, Limit]


class Line(BaseModel):
    """One channel over time; null in `value` breaks the line: silence, or a value that is not normal."""

    time: list[Millis] = Field(description="Milliseconds since 1970-01-01 UTC, ascending; of buckets their start.")
    value: list[float | None]
    minimum: list[float | None] | None = Field(default=None, description="Beside means: the bucket's least value.")
    maximum: list[float | None] | None = Field(default=None, description="Beside means: the bucket's greatest value.")


class SeriesAnswer(BaseModel):
    """Lines of a device, one a channel."""

    device_id: int = Field(examples=[12])
    start: Millis
    end: Millis
    series: dict[str, Line]
    source: history.Source = Field(description="What was read: the readings themselves, or the roll-up of that width.")
    bucket_ms: int | None = Field(
        description="Width of the buckets whose means these are; null: single readings.", examples=[60000]
    )


class DeviceList(BaseModel):
    """Devices of the sites that the person may see."""

    items: list[Device]


_devices = TypeAdapter(list[Device])


@router.get("/kinds", summary="Device kinds and their channels", responses=documented(401))
async def kinds(_viewer: Seen, context: Here) -> KindList:
    """What kinds of device there are and what each of them measures."""
    return KindList(items=[Kind.model_validate(kind, from_attributes=True) for kind in context.profiles.values()])


@router.get("/devices", summary="List devices", responses=documented(401, 404, 422))
async def devices(viewer: Seen, context: Here, database: Database, site_id: SiteFilter = None) -> DeviceList:
    """Devices with their newest values and the limits of the rules that look at them."""
    if site_id is not None:
        viewer.must_see(site_id)
    found = await load_devices(database, viewer.scope, context.clock.now(), site_id=site_id)
    return DeviceList(items=await describe_devices(database, context, found))


@router.get("/devices/{device_id}/series", summary="History of a device", responses=documented(401, 404, 422))
async def series(
    device_id: DeviceId,
    viewer: Seen,
    context: Here,
    database: Database,
    channel: Annotated[list[str], Query(min_length=1, max_length=32, description="One or more channels of its kind.")],
    start: Moment = None,
    end: Moment = None,
    points: Annotated[int, Query(ge=2, le=10_000, description="Most points a channel.")] = 600,
) -> SeriesAnswer:
    """Lines of channels in [start, end), the last day where not given: readings, or means where they are too many."""
    now = context.clock.now()
    found = await load_devices(database, viewer.scope, now, device_id=device_id)
    if not found:
        raise NotFound(f"there is no device {device_id}")
    profile = context.profiles.get(found[0]["kind"])
    if profile is None:
        raise NotFound(f"device {device_id} is of the unknown kind {found[0]['kind']}")
    until = now if end is None else from_micros(end * 1000)
    since = until - _DAY if start is None else from_micros(start * 1000)
    history_of = await history.series(
        database,
        profile,
        device_id,
        channel,
        start=since,
        end=until,
        points=points,
        interval_s=found[0]["interval_s"],
    )
    return SeriesAnswer(
        device_id=device_id,
        start=since,
        end=until,
        series={name: _line(line) for name, line in history_of.channels.items()},
        source=history_of.source,
        bucket_ms=history_of.bucket // timedelta(milliseconds=1) if history_of.bucket else None,
    )


def _line(points: history.Points) -> Line:
    times = [moment // 1000 for moment in points.time]
    return Line(time=times, value=points.value, minimum=points.minimum, maximum=points.maximum)


async def load_devices(
    connection: AsyncConnection,
    scope: list[int] | None,
    now: datetime,
    *,
    site_id: int | None = None,
    device_id: int | None = None,
) -> list[Row]:
    """Rows of the scope's devices, each with `online` decided."""
    asked = {"sites": scope, "site_id": site_id, "device_id": device_id, "alive_since": now - SILENT_AFTER}
    found = await rows(connection, SQL["devices"], asked)
    for one in found:
        one["online"] = device_online(
            now=now,
            last_seen_at=one["last_seen_at"],
            connected=one["connected"],
            interval_s=one["interval_s"],
            missed=one["missed"],
            listening_since=one["listening_since"],
        )
    return found


async def describe_devices(connection: AsyncConnection, context: Context, found: list[Row]) -> list[Device]:
    """The devices of `load_devices` with their newest values and their limits."""
    rules = await context.judged_by.rules(connection)
    newest = await history.latest(connection, context.profiles, [(one["id"], one["kind"]) for one in found])

    @cache
    def limits(site: str, kind: str, tags: tuple[str, ...]) -> dict[str, Limit]:
        return limits_of(rules, site=site, kind=kind, tags=tags)

    # Most rules look at no site in particular: devices of a kind share their limits.
    by_site = name_sites(rules)
    return _devices.validate_python(
        [
            {
                **one,
                "sequence": None if one["since"] is None else one,
                "values": newest.get(one["id"], {}),
                "limits": limits(one["site"] if by_site else "", one["kind"], tuple(one["tags"])),
            }
            for one in found
        ]
    )
