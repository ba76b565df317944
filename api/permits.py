"""Permits of sites: what exempts them from rules for a time. Entered and withdrawn by the bureau, and audited."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query
from psycopg import errors
from pydantic import BaseModel, ConfigDict, Field

from api import audit
from api.access import SQL, Seen, Writer
from api.context import Database, Here, Millis, Text, row, rows
from api.errors import documented
from api.sites import SiteId
from core.clock import from_micros
from core.errors import Conflict, InvalidInput, NotFound

router = APIRouter(tags=["permits"])

# Moments that a database and every calendar can hold: 2000 to 2100.
_EARLIEST_MS, _LATEST_MS = 946_684_800_000, 4_102_444_800_000


class Permit(BaseModel):
    """What exempts a site from rules in [starts_at, ends_at)."""

    id: int = Field(examples=[3])
    site_id: int = Field(examples=[1])
    kind: str = Field(description="What rules name it by.", examples=["night_work"])
    reference: str = Field(description="Number of the permit or of the warning.", examples=["夜施 2026-0031"])
    starts_at: Millis
    ends_at: Millis
    source: str = Field(description="Who issued it.", examples=["市住建局"])
    withdrawn: bool


class NewPermit(BaseModel):
    """A permit as it is entered."""

    model_config = ConfigDict(extra="forbid")

    kind: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$", examples=["night_work"])]
    reference: Text = Field(min_length=1, max_length=200, examples=["夜施 2026-0031"])
    starts_at: Annotated[int, Field(ge=_EARLIEST_MS, le=_LATEST_MS, description="ms since the epoch.")]
    ends_at: Annotated[int, Field(ge=_EARLIEST_MS, le=_LATEST_MS, description="ms since the epoch, not included.")]
    source: Text = Field(default="", max_length=300, examples=["市住建局"])


PermitId = Annotated[int, Path(ge=1, lt=2**31, examples=[3])]


@router.get("/sites/{site_id}/permits", summary="Permits of a site", responses=documented(401, 404, 422))
async def listed(
    site_id: SiteId,
    viewer: Seen,
    database: Database,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    before: Annotated[int | None, Query(ge=1, lt=2**31, description="Id of the last one of the page before.")] = None,
) -> list[Permit]:
    """Permits of the site, the newest first; those withdrawn are among them."""
    viewer.must_see(site_id)
    asked = {"site_id": site_id, "sites": viewer.scope, "limit": limit, "before": before}
    return [Permit(**one) for one in await rows(database, SQL["permits"], asked)]


@router.post(
    "/sites/{site_id}/permits",
    status_code=201,
    summary="Enter a permit",
    responses=documented(401, 403, 404, 409, 422),
)
async def enter(site_id: SiteId, permit: NewPermit, viewer: Writer, context: Here, database: Database) -> Permit:
    """Exempt the site from rules that name this kind, by the time of their readings.

    It acts on readings that are judged from now on; alerts of before stay as they are.
    """
    viewer.must_see(site_id)
    starts_at, ends_at = _moment(permit.starts_at), _moment(permit.ends_at)
    if starts_at >= ends_at:
        raise InvalidInput("ends_at must be after starts_at")
    values = {**permit.model_dump(), "site_id": site_id, "starts_at": starts_at, "ends_at": ends_at}
    async with database.transaction():
        try:
            async with database.transaction():
                entered = await row(database, SQL["permit_insert"], values)
        except errors.UniqueViolation:
            raise Conflict(
                f"site {site_id} has a permit {permit.reference!r} already", hint="withdraw it, or use its other number"
            ) from None
        except errors.ForeignKeyViolation:
            raise NotFound(f"there is no site {site_id}") from None
        assert entered is not None
        await audit.append(
            database,
            at=context.clock.now(),
            actor=viewer.code,
            action="permit.enter",
            thing=f"permit:{entered['id']}",
            detail={**permit.model_dump(), "site": site_id},
        )
    return Permit(**entered)


@router.delete("/permits/{permit_id}", summary="Withdraw a permit", responses=documented(401, 403, 404, 422))
async def withdraw(permit_id: PermitId, viewer: Writer, context: Here, database: Database) -> Permit:
    """It exempts nothing any more; a second time changes nothing. It stays in the list."""
    async with database.transaction():
        found = await row(database, SQL["permit"], {"id": permit_id, "sites": viewer.scope})
        if found is None:
            raise NotFound(f"there is no permit {permit_id}")
        if not found["withdrawn"]:
            await database.execute(SQL["permit_withdraw"], {"id": permit_id})
            await audit.append(
                database,
                at=context.clock.now(),
                actor=viewer.code,
                action="permit.withdraw",
                thing=f"permit:{permit_id}",
                detail={"site": found["site_id"], "reference": found["reference"]},
            )
    return Permit(**{**found, "withdrawn": True})


def _moment(millis: int) -> datetime:
    return from_micros(millis * 1000)
