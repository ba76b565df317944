"""Who has a part in a site: the people and companies that orders and rotas may name."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from api.access import SQL, Seen
from api.context import Database, rows
from api.errors import documented

router = APIRouter(prefix="/sites", tags=["sites"])

SiteId = Annotated[int, Path(ge=1, lt=2**31, examples=[1])]


class SitePerson(BaseModel):
    """Somebody of the site; how to reach them is not told."""

    code: str = Field(examples=["wang"])
    name: str
    name_en: str
    role: str = Field(examples=["officer"])
    unit: str | None = Field(description="Code of the person's company.")


class SiteCompany(BaseModel):
    """A company and its part on the site."""

    code: str
    name: str
    name_en: str
    role: str = Field(description="builder, contractor or supervisor.")


class SitePeople(BaseModel):
    """People by role, companies by part."""

    people: list[SitePerson]
    companies: list[SiteCompany]


@router.get("/{site_id}/people", summary="People and companies of a site", responses=documented(401, 404, 422))
async def people(site_id: SiteId, viewer: Seen, database: Database) -> SitePeople:
    """Everybody who sees the site, and the companies that build and supervise it."""
    viewer.must_see(site_id)
    asked = {"site_id": site_id, "sites": viewer.scope}
    return SitePeople(
        people=[SitePerson(**one) for one in await rows(database, SQL["site_people"], asked)],
        companies=[SiteCompany(**one) for one in await rows(database, SQL["site_companies"], asked)],
    )
