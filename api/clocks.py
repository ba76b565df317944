"""Whether a device's clock is right, and which correction would mend it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.access import SQL, Seen
from api.context import Database, Here, Row, row, rows
from api.devices import DeviceId
from api.errors import documented
from core.errors import NotFound
from sensors.clocks import skew_of, suggest

router = APIRouter(tags=["devices"])


class ClockSuggestion(BaseModel):
    """The correction that an operator may give the device in its registry file; nothing corrects by itself."""

    clock_offset_ms: int = Field(description="In place of the one in force.", examples=[-28800000])
    reason: Literal["local_time", "ahead", "behind"] = Field(
        description="local_time: it sends its site's local time as UTC; behind: slow, or it holds its messages back."
    )


class DeviceClock(BaseModel):
    """A device's clock against the platform's, with the correction in force applied."""

    device_id: int = Field(examples=[12])
    clock_skew_s: float | None = Field(description="Seconds ahead; negative: behind; null: nothing heard.")
    samples: int = Field(description="Messages that it rests on.")
    basis: Literal["stored", "set_aside", ""] = Field(
        description="set_aside: messages too far in the future to be stored, heard after the newest stored reading."
    )
    clock_offset_ms: int = Field(description="The correction in force, added to every ts.")
    suggestion: ClockSuggestion | None = Field(description="null: nothing needs to be done.")


@router.get("/devices/{device_id}/clock", summary="A device's clock", responses=documented(401, 404, 422))
async def clock(device_id: DeviceId, viewer: Seen, context: Here, database: Database) -> DeviceClock:
    """How far the device's clock is off, and what would correct it."""
    asked = {"device_id": device_id, "sites": viewer.scope}
    device = await row(database, SQL["device_clock"], asked)
    if device is None:
        raise NotFound(f"there is no device {device_id}")
    aside = await rows(database, SQL["device_in_future"], asked)
    differences = [moment - one["arrived_at"] for one in aside if (moment := _moment(one["detail"])) is not None]
    basis: Literal["stored", "set_aside", ""] = "set_aside" if differences else ""
    if not differences and device["last_time"] is not None:
        differences, basis = [device["last_time"] - device["last_seen_at"]], "stored"
    told = DeviceClock(
        device_id=device_id,
        clock_skew_s=None,
        samples=len(differences),
        basis=basis,
        clock_offset_ms=device["clock_offset_ms"],
        suggestion=None,
    )
    if not differences:
        return told
    skew = skew_of(differences)
    found = suggest(skew, offset_ms=device["clock_offset_ms"], zone=_zone(device, context.clock.now()))
    suggestion = ClockSuggestion(clock_offset_ms=found.clock_offset_ms, reason=found.reason) if found else None
    return told.model_copy(update={"clock_skew_s": skew.total_seconds(), "suggestion": suggestion})


def _moment(detail: str) -> datetime | None:
    """The time that the quarantine names; None where it names none that a calendar holds."""
    try:
        return datetime.fromisoformat(detail.removeprefix("time "))
    except ValueError:
        return None


def _zone(device: Row, now: datetime) -> timedelta:
    return now.astimezone(ZoneInfo(device["time_zone"])).utcoffset() or timedelta(0)
