"""A person's own password, changed by who knows the old one: wrong old ones count as failed log-ins do."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from api import audit, throttle
from api.access import SQL, Writer
from api.context import Here, row, rows
from api.errors import FaultyFields, documented
from api.session import matches
from api.throttle import Attempt
from core.errors import Conflict, Unauthenticated
from sensors.credentials import hash_password
from sensors.provision.rows import Secret

router = APIRouter(prefix="/session", tags=["session"])


class PasswordChange(BaseModel):
    """The old password and a new one: at least 8 characters, another than the old one and than the log-in name."""

    model_config = ConfigDict(extra="forbid")

    old: Annotated[str, Field(min_length=1, max_length=1000)]
    new: Secret = Field(examples=["correct horse battery staple"])


class PasswordChanged(BaseModel):
    """What was ended with the old password."""

    sessions_ended: int = Field(description="Other sessions of the person; this one goes on.", examples=[1])


@router.put("/password", summary="Change one's own password", responses=documented(401, 403, 409, 422, 429))
async def change(change: PasswordChange, viewer: Writer, request: Request, context: Here) -> PasswordChanged:
    """Replace the password; all other sessions of the person end at once.

    Wrong old passwords lock as failed log-ins do. Tokens of machines have their own end and stay.
    """
    now, settings = context.clock.now(), context.settings.api
    async with context.connection() as database:
        known = await row(database, SQL["own_password"], {"id": viewer.id})
        if known is None:
            raise Unauthenticated("nobody is logged in", hint="log in with POST /api/v1/session")
        if known["password_hash"] is None:
            raise Conflict("you have no password here", hint="who administers people can give you one")
        attempt = Attempt(known["login"], request.client.host if request.client else "", now)
        await throttle.refuse_locked(database, settings, attempt)
    # No database connection is held meanwhile.
    if not await matches(known["password_hash"], change.old):
        async with context.connection() as database:
            await throttle.remember_failure(database, settings, attempt)
        raise FaultyFields({"body.old": "the old password is wrong"})
    if change.new in (change.old, known["login"]):
        raise FaultyFields({"body.new": "must be another than the old one and than the log-in name"})
    hashed = await asyncio.to_thread(hash_password, change.new)
    async with context.connection() as database, database.transaction():
        wanted = {"id": viewer.id, "old": known["password_hash"], "new": hashed}
        if await row(database, SQL["own_password_put"], wanted) is None:
            raise Conflict("the password was changed meanwhile", hint="log in with the new one")
        await throttle.forget(database, attempt)
        others = {"id": viewer.id, "token_sha256": viewer.token_sha256}
        ended = [one["token_sha256"] for one in await rows(database, SQL["sessions_others_delete"], others)]
        await audit.append(
            database,
            at=now,
            actor=viewer.code,
            action="session.password",
            thing=f"person:{viewer.id}",
            detail={"sessions_ended": len(ended)},
        )
    for token_sha256 in ended:
        context.sockets.end_session(token_sha256)
    return PasswordChanged(sessions_ended=len(ended))
