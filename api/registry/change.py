"""What changes of the registry have in common: forms as read, version checks, one row to provision, the audit row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Header, Path
from psycopg import AsyncConnection
from pydantic import BaseModel

from api import audit
from api.access import Viewer
from api.context import Context, Row
from api.errors import FaultyFields, Stale
from core.errors import NotFound
from core.sql import queries
from sensors.provision import Report, Rows, apply_rows

_PROVISION = queries("sensors")

ThingCode = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", examples=["gate-1"])]
IfMatch = Annotated[str | None, Header(description="The `etag` that was read.")]
IfNoneMatch = Annotated[str | None, Header(description="`*`: only where there is no such thing yet.")]


@dataclass(frozen=True, slots=True)
class Precondition:
    """What the caller has read: the etag, or nothing where something new is to be made."""

    if_match: str | None
    if_none_match: str | None

    def check(self, what: str, present: str | None) -> None:
        """Raise where the thing (`present`: its etag, None where there is none) is not as it was read."""
        if self.if_match is None and self.if_none_match != "*":
            raise FaultyFields(
                {"header.if-match": "send the etag that was read, or If-None-Match: * for something new"}
            )
        if present is None and self.if_match is not None:
            raise NotFound(f"there is no {what}")
        if present is not None and self.if_match != present:
            reason = "is there already" if self.if_match is None else "was changed meanwhile"
            raise Stale(f"{what} {reason}", hint="read it again")


def etag_of(facts: Mapping[str, Any]) -> str:
    """The entity tag of what a row tells."""
    text = json.dumps(facts, sort_keys=True, ensure_ascii=False, default=str)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


S = TypeVar("S", bound=BaseModel)


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
    shown: Callable[[Row], S],
    row: Callable[[], Rows],
) -> tuple[S, Report]:
    """Apply the one row that `row` makes, if the thing is as the caller read it; fields that `form` does not name stay.

    A form that asks for what is there changes nothing, so that one sent twice is no conflict. `shown` has an `etag`.
    """
    async with database.transaction():
        # The lock of all who change the registry: between the look and the change nobody else comes.
        await database.execute(_PROVISION["provision_lock"])
        found = await find()
        before = None if found is None else shown(found)
        wanted = form.model_dump(exclude_unset=True)
        if before is not None and wanted == before.model_dump(include=set(wanted)):
            return before, Report()
        precondition.check(f"{kind} {key!r}", None if before is None else getattr(before, "etag"))  # noqa: B009
        report = Report()
        await apply_rows(database, row(), report, profiles=context.profiles)
        if report.errors:
            raise FaultyFields.of_rows(report.errors)
        present = await find()
        assert present is not None
        await audit.append(
            database,
            at=context.clock.now(),
            actor=viewer.code,
            action=f"{kind}.make" if before is None else f"{kind}.change",
            thing=f"{kind}:{present['id']}",
            detail={"key": key, **form.model_dump(mode="json", exclude_unset=True, exclude={"url"})},
        )
    return shown(present), report
