"""The shift rota of a site: who is on duty, read and replaced as a whole."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from alerts.notices import duty
from alerts.notices.duty import Change, Shift
from api import audit
from api.access import Seen, Writer
from api.context import Database, Here, Millis
from api.errors import FaultyFields, documented
from core.errors import NotFound
from sensors.registry import Registry, load_registry

router = APIRouter(prefix="/sites", tags=["rota"])

SiteId = Annotated[int, Path(ge=1, lt=2**31, examples=[1])]


class DutyRota(BaseModel):
    """The rota of a site. Without shifts everybody is always on duty."""

    version: int = Field(description="0: there is none yet. A change names the version that it was made from.")
    updated_at: Millis | None
    updated_by: str | None = Field(description="A person's code.")
    shifts: list[Shift]
    changes: list[Change]
    on_duty: list[str] = Field(description="Codes of the people on duty now.", examples=[["wang"]])


class NewRota(BaseModel):
    """What the rota shall be."""

    model_config = ConfigDict(extra="forbid")

    version: int = Field(ge=0, description="The version that was looked at.")
    shifts: list[Shift] = Field(max_length=500)
    changes: list[Change] = Field(default=[], max_length=500)


@router.get("/{site_id}/rota", summary="Shift rota of a site", responses=documented(401, 404, 422))
async def read(site_id: SiteId, viewer: Seen, context: Here, database: Database) -> DutyRota:
    """The weekly pattern in the site's clock, changes to single days, and who is on duty now."""
    viewer.must_see(site_id)
    registry = _known(await load_registry(database), site_id)
    return _shown(await duty.load(database, site_id), registry, site_id, context)


@router.put("/{site_id}/rota", summary="Replace the shift rota", responses=documented(401, 403, 404, 409, 422))
async def replace(site_id: SiteId, wanted: NewRota, viewer: Writer, context: Here, database: Database) -> DutyRota:
    """Replace the whole rota. Everybody in it must be a person of the site.

    Those who are named are told of violations only while they are on duty; roles of which nobody is named are not
    touched. Where nobody on duty can be reached, everybody of the role is told.
    """
    viewer.must_see(site_id)
    registry = _known(await load_registry(database), site_id)
    rota = duty.Rota(shifts=wanted.shifts, changes=wanted.changes)
    known = {person.code for person in registry.people.values() if person.may_see(site_id)}
    if strangers := sorted(rota.people - known):
        raise FaultyFields({"body.shifts": f"{', '.join(strangers)}: no such person on this site"})
    now = context.clock.now()
    async with database.transaction():
        stored = await duty.save(database, site_id, rota, version=wanted.version, by=viewer.code, at=now)
        detail = {"version": stored.version, "shifts": len(rota.shifts), "changes": len(rota.changes)}
        await audit.append(
            database, at=now, actor=viewer.code, action="rota.replace", thing=f"site:{site_id}", detail=detail
        )
    return _shown(stored, registry, site_id, context)


def _known(registry: Registry, site_id: int) -> Registry:
    """Who sees all sites may name one that there is not."""
    if site_id not in registry.sites:
        raise NotFound(f"there is no site {site_id}")
    return registry


def _shown(stored: duty.Stored, registry: Registry, site_id: int, context: Here) -> DutyRota:
    zone = ZoneInfo(registry.sites[site_id].time_zone)
    return DutyRota(
        version=stored.version,
        updated_at=stored.updated_at,
        updated_by=stored.updated_by,
        shifts=stored.rota.shifts,
        changes=stored.rota.changes,
        on_duty=sorted(duty.on_duty(stored.rota, context.clock.now(), zone)),
    )
