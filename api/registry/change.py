"""What changes of the registry have in common: the site in sight, one row to provision, the audit row."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

from fastapi import Path
from psycopg import AsyncConnection
from pydantic import BaseModel, Field

from api import audit
from api.access import SQL, Viewer
from api.context import Context, Row, row
from api.errors import FaultyFields
from api.versions import Precondition, etag_of
from core.errors import NotFound
from core.sql import queries
from sensors.provision import Report, Rows, apply_rows

_PROVISION = queries("sensors")

ThingCode = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", examples=["gate-1"])]


class Registered(BaseModel):
    """What every registered thing has beside its facts."""

    id: int = Field(examples=[1])
    code: str = Field(examples=["gate-1"])
    etag: str = Field(description="For If-Match of a change.", examples=['"3f2a9c..."'])


def tagged(found: Row) -> Row:
    """The row with its etag, which covers all that it tells."""
    return {**found, "etag": etag_of({name: value for name, value in found.items() if name != "id"})}


async def must_see(database: AsyncConnection, viewer: Viewer, site: str) -> None:
    """Raise NotFound where there is no such site, or none that the person sees."""
    if await row(database, SQL["registry_sites"], {"sites": viewer.scope, "code": site}) is None:
        raise NotFound(f"there is no site {site!r}")


R = TypeVar("R", bound=Registered)


async def change(
    context: Context,
    database: AsyncConnection,
    viewer: Viewer,
    *,
    kind: str,
    key: str,
    form: BaseModel,
    precondition: Precondition,
    find: Callable[[], Awaitable[Row | None]],
    shown: Callable[[Row], R],
    rows: Rows,
) -> tuple[R, Report]:
    """Apply the one row of `rows`, if the thing is as the caller read it; fields that `form` does not name stay.

    A form that asks for what is there changes nothing, so that one sent twice is no conflict.
    """
    async with database.transaction():
        # The lock of all who change the registry: between the look and the change nobody else comes.
        await database.execute(_PROVISION["provision_lock"])
        found = await find()
        before = None if found is None else shown(found)
        wanted = form.model_dump(exclude_unset=True)
        if before is not None and wanted == before.model_dump(include=set(wanted)):
            return before, Report()
        precondition.check(f"{kind} {key!r}", None if before is None else before.etag)
        report = Report()
        await apply_rows(database, rows, report, profiles=context.profiles)
        if report.errors:
            raise FaultyFields.of_rows(report.errors)
        present = await find()
        assert present is not None
        saved = shown(present)
        await audit.append(
            database,
            at=context.clock.now(),
            actor=viewer.code,
            action=f"{kind}.make" if before is None else f"{kind}.change",
            thing=f"{kind}:{saved.id}",
            # As it is shown: without secrets.
            detail={"key": key, **saved.model_dump(mode="json", include=set(wanted))},
        )
    return saved, report
