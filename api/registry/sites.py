"""Sites of the registry."""

from __future__ import annotations

from fastapi import APIRouter
from psycopg import AsyncConnection
from pydantic import ConfigDict

from api.access import SQL, Seen, Viewer, Writer
from api.context import Database, Here, Row, row, rows
from api.errors import documented
from api.registry.change import Registered, ThingCode, change, tagged
from api.versions import IfMatch, IfNoneMatch, Precondition
from core.errors import Forbidden, NotFound
from sensors.provision import Rows, Sourced
from sensors.provision.rows import SiteFacts, SiteRow

router = APIRouter(prefix="/registry/sites", tags=["administration"])


class SiteForm(SiteFacts):
    """What may be set of a site. What is left out stays, or gets its default in a new one."""

    model_config = ConfigDict(json_schema_extra={"example": {"name": "滨江一号地块", "region_code": "330108"}})


class RegisteredSite(SiteFacts, Registered):
    """A site as the registry has it."""


async def _found(database: AsyncConnection, viewer: Viewer, code: str) -> Row | None:
    """The site; NotFound where there is one that the person does not see."""
    found = await row(database, SQL["registry_sites"], {"sites": None, "code": code})
    if found is not None and not viewer.sees(found["id"]):
        raise NotFound(f"there is no site {code!r}")
    return found


def _shown(found: Row) -> RegisteredSite:
    return RegisteredSite(**tagged(found))


@router.get("", summary="List sites as registered", responses=documented(401, 403))
async def registered_sites(viewer: Seen, database: Database) -> list[RegisteredSite]:
    """All sites that the person sees, those that are switched off last."""
    found = await rows(database, SQL["registry_sites"], {"sites": viewer.scope, "code": None})
    return [_shown(one) for one in found]


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
    if not viewer.all_sites and await _found(database, viewer, site) is None:
        raise Forbidden("a new site is for those who see all sites to make")
    saved, _ = await change(
        context,
        database,
        viewer,
        kind="site",
        key=site,
        form=form,
        precondition=Precondition(if_match, if_none_match),
        find=lambda: _found(database, viewer, site),
        shown=_shown,
        rows=Rows(sites=[Sourced("", "", SiteRow(code=site, **form.model_dump(exclude_unset=True)))]),
    )
    return saved
