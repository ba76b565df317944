"""Sites of the registry."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from psycopg import AsyncConnection
from pydantic import ConfigDict, Field

from api.access import SQL, Seen, Viewer, Writer
from api.context import Database, Here, Row, row, rows
from api.errors import documented
from api.registry.change import IfMatch, IfNoneMatch, Precondition, ThingCode, change, etag_of
from core.errors import Forbidden, NotFound
from sensors.provision import Rows, Sourced
from sensors.provision.rows import SiteFacts, SiteRow

router = APIRouter(prefix="/registry/sites", tags=["administration"])


class SiteForm(SiteFacts):
    """What may be set of a site. What is left out stays, or gets its default in a new one."""

    model_config = ConfigDict(json_schema_extra={"example": {"name": "滨江一号地块", "region_code": "330108"}})


class RegisteredSite(SiteFacts):
    """A site as the registry has it."""

    id: int = Field(examples=[1])
    code: str = Field(examples=["riverside"])
    etag: str = Field(description="For If-Match of a change.", examples=['"3f2a9c..."'])


class RegisteredSites:
    """Reads sites in the scope of a person."""

    def __init__(self, database: AsyncConnection, viewer: Viewer) -> None:
        self._database, self._viewer = database, viewer

    async def all(self) -> list[Row]:
        """Those that are switched off come last."""
        return await rows(self._database, SQL["registry_sites"], {"sites": self._viewer.scope, "code": None})

    async def one(self, code: str) -> Row | None:
        """NotFound where there is one that the person does not see."""
        found = await row(self._database, SQL["registry_sites"], {"sites": None, "code": code})
        if found is not None and not self._viewer.sees(found["id"]):
            raise NotFound(f"there is no site {code!r}")
        return found


def _shown(found: Row) -> RegisteredSite:
    facts: dict[str, Any] = {name: value for name, value in found.items() if name != "id"}
    return RegisteredSite(**found, etag=etag_of(facts))


@router.get("", summary="List sites as registered", responses=documented(401, 403))
async def registered_sites(viewer: Seen, database: Database) -> list[RegisteredSite]:
    """All sites that the person sees, those that are switched off last."""
    return [_shown(one) for one in await RegisteredSites(database, viewer).all()]


@router.put("/{site}", summary="Change or make a site", responses=documented(401, 403, 404, 412, 422))
async def save_site(
    site: ThingCode,
    form: SiteForm,
    viewer: Writer,
    context: Here,
    database: Database,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> RegisteredSite:
    """Change a site as read, or make a new one, which only those may who see all sites."""
    found = RegisteredSites(database, viewer)
    if not viewer.all_sites and await found.one(site) is None:
        raise Forbidden("a new site is for those who see all sites to make")
    saved, _ = await change(
        context,
        database,
        viewer,
        kind="site",
        key=site,
        form=form,
        precondition=Precondition(if_match, if_none_match),
        find=lambda: found.one(site),
        shown=_shown,
        row=lambda: Rows(sites=[Sourced("", "", SiteRow(code=site, **form.model_dump(exclude_unset=True)))]),
    )
    return saved
