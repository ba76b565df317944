"""What stations computed themselves, beside our own roll-ups."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from api.access import SQL, Seen
from api.context import Database, Here, Millis, Text, row
from api.devices import DeviceId, Moment
from api.errors import documented
from core.clock import from_micros, micros
from core.errors import InvalidInput, NotFound
from sensors.statistics import Computed, Period, computed

router = APIRouter(tags=["devices"])

_SPANS: dict[Period, timedelta] = {"minute": timedelta(days=1), "hour": timedelta(days=31), "day": timedelta(days=366)}


class OursModel(BaseModel):
    """Our roll-up of the same time."""

    model_config = ConfigDict(from_attributes=True)

    mean: float | None = Field(description="Of noise Leq, of directions the mean direction.")
    minimum: float | None
    maximum: float | None
    valid: float = Field(description="Share of the expected readings that were there and normal, 0 to 1.")


class Statistic(BaseModel):
    """One metric of one period as the station computed it, in canonical units."""

    model_config = ConfigDict(from_attributes=True)

    time: Millis = Field(description="Begin of the period, milliseconds since 1970-01-01 UTC.")
    metric: str = Field(description="A channel of the kind, or another name such as laeq_day.", examples=["pm10"])
    mean: float | None = Field(examples=[152.3])
    minimum: float | None
    maximum: float | None
    total: float | None = Field(description="A sum over the period (-Cou).")
    quality: str = Field(description="Letter of HJ 212.", examples=["N"])
    ours: OursModel | None = Field(description="null: no channel of the kind, or nothing of ours for that time.")
    deviation: float | None = Field(description="The station's mean less ours.", examples=[-3.2])
    deviates: bool | None = Field(
        description="More than 5 % and 0.5 of the unit (noise: 1 dB, directions: 10 degrees); null: cannot be judged, "
        "with a quality other than N or less than 75 % of our readings."
    )


class StatisticPage(BaseModel):
    """Newest first."""

    items: list[Statistic]
    next: str | None = Field(description="Cursor of the next page; null on the last.")


@router.get("/devices/{device_id}/statistics", summary="What a station computed", responses=documented(401, 404, 422))
async def statistics(
    device_id: DeviceId,
    viewer: Seen,
    context: Here,
    database: Database,
    period: Period,
    metric: Annotated[list[Text] | None, Query(max_length=32, description="One or more; none: all.")] = None,
    start: Moment = None,
    end: Moment = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[str | None, Query(max_length=200, description="`next` of the page before.")] = None,
) -> StatisticPage:
    """Minute, hour or day statistics in [start, end) beside our roll-ups; a day, a month or a year where not given."""
    device = await row(database, SQL["device_codes"], {"device_id": device_id, "sites": viewer.scope})
    if device is None:
        raise NotFound(f"there is no device {device_id}")
    until = context.clock.now() if end is None else from_micros(end * 1000)
    since = until - _SPANS[period] if start is None else from_micros(start * 1000)
    if until <= since:
        raise InvalidInput("end must be after start")
    found = await computed(
        database,
        context.profiles.get(device["kind"]),
        device_id,
        period,
        zone=ZoneInfo(device["time_zone"]),
        metrics=metric,
        start=since,
        end=until,
        limit=limit,
        before=_position(cursor) if cursor else None,
    )
    following = _cursor(found[-1]) if len(found) == limit else None
    return StatisticPage(items=[Statistic.model_validate(one) for one in found], next=following)


def _cursor(found: Computed) -> str:
    return base64.urlsafe_b64encode(f"{micros(found.time)}.{found.metric}".encode()).decode().rstrip("=")


def _position(cursor: str) -> tuple[datetime, str]:
    """The place that a cursor of ours names."""
    try:
        moment, metric = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().split(".", 1)
        place = from_micros(int(moment)), metric
    except (ValueError, binascii.Error, OverflowError) as error:
        raise InvalidInput("the cursor is none of ours", hint="use `next` of the page before, unchanged") from error
    if "\0" in metric:
        raise InvalidInput("the cursor is none of ours", hint="use `next` of the page before, unchanged")
    return place
