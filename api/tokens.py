"""Tokens of machines: made by a person, narrower than that person, shown once, kept as a hash, over after a while."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Query
from psycopg import errors
from pydantic import BaseModel, ConfigDict, Field

from api import audit
from api.access import SQL, Seen, Viewer, Writer, digest
from api.context import Database, Here, Millis, Row, Text, millis, row, rows
from api.errors import FaultyFields, documented
from api.permissions import Right
from core.errors import Conflict, NotFound

router = APIRouter(prefix="/tokens", tags=["tokens"])

_PREFIX = "sst_"
"""Scanners of repositories and logs find our tokens by it."""
_MOST_DAYS = 366

TokenId = Annotated[int, Path(ge=1, lt=2**31, examples=[4])]


class Token(BaseModel):
    """A token as everybody may know it: not the token itself."""

    id: int = Field(examples=[4])
    name: str = Field(examples=["Grafana"])
    owner: str = Field(description="Code of the person for whom it acts.", examples=["leader"])
    owner_name: str = Field(examples=["周建国"])
    owner_name_en: str
    rights: list[Right] = Field(description="What it was given beside reading.", examples=[["acknowledge"]])
    sites: list[int] | None = Field(description="Sites that it was given; null: all of its owner.", examples=[[1, 2]])
    created_at: Millis
    expires_at: Millis
    revoked_at: Millis | None
    last_used_at: Millis | None = Field(description="To the minute; null: never.")


class TokenList(BaseModel):
    """Tokens, newest first; one's own, or everybody's for those who administer people."""

    items: list[Token]
    next: int | None = Field(description="`before` of the next page; null: there is none.")


class NewToken(BaseModel):
    """What a machine is given."""

    model_config = ConfigDict(extra="forbid")

    name: Text = Field(min_length=1, max_length=100, description="What it is for.", examples=["Grafana"])
    rights: list[Right] = Field(default=[], max_length=30, description="Beside reading; at most one's own.")
    sites: Annotated[list[Annotated[int, Field(ge=1, lt=2**31)]], Field(min_length=1, max_length=1000)] | None = Field(
        default=None, description="Null: all that its owner sees.", examples=[[1]]
    )
    days: int = Field(default=90, ge=1, le=_MOST_DAYS, description="Days after which it is over.")


class MadeToken(Token):
    """The token itself, this once."""

    token: str = Field(description="For `Authorization: Bearer ...`. It is shown once.", examples=["sst_kq3v..."])


@router.get("", summary="List tokens", responses=documented(401, 403, 422))
async def listed(
    viewer: Seen,
    database: Database,
    limit: Annotated[int, Query(ge=1, le=500)] = 500,
    before: Annotated[int | None, Query(ge=1, lt=2**63, description="`next` of the page before.")] = None,
) -> TokenList:
    """One's own tokens, with those that are over; everybody's for who administers people."""
    found = await _find(database, viewer, limit=limit + 1, before=before)
    items = [Token(**one) for one in found[:limit]]
    return TokenList(items=items, next=items[-1].id if len(found) > limit else None)


@router.post("", status_code=201, summary="Make a token", responses=documented(401, 403, 409, 422))
async def make(wanted: NewToken, viewer: Writer, context: Here, database: Database) -> MadeToken:
    """Make a token for a machine. It may what it is given as long as its owner may it, too."""
    faults = {}
    if beyond := sorted(set(wanted.rights) - viewer.rights):
        faults["body.rights"] = f"you have no right to {', '.join(beyond)} yourself"
    if foreign := [one for one in wanted.sites or [] if not viewer.sees(one)]:
        faults["body.sites"] = f"there is no site {foreign[0]}"
    if faults:
        raise FaultyFields(faults)
    token = _PREFIX + secrets.token_urlsafe(32)
    now = context.clock.now()
    values = {
        "person_id": viewer.id,
        "name": wanted.name,
        "token_sha256": digest(token),
        "rights": sorted(set(wanted.rights)),
        "sites": wanted.sites,
        "now": now,
        "expires_at": now + timedelta(days=wanted.days),
    }
    async with database.transaction():
        try:
            async with database.transaction():
                made = await row(database, SQL["token_insert"], values)
        except errors.UniqueViolation:
            raise Conflict(
                f"you have a token named {wanted.name!r} already", hint="revoke it first, or choose another name"
            ) from None
        assert made is not None
        detail = {"name": wanted.name, "rights": values["rights"], "sites": wanted.sites, "days": wanted.days}
        await audit.append(
            database, at=now, actor=viewer.code, action="token.make", thing=f"token:{made['id']}", detail=detail
        )
    (found,) = await _find(database, viewer, made["id"])
    return MadeToken(**found, token=token)


@router.delete("/{token_id}", summary="Revoke a token", responses=documented(401, 403, 404, 422))
async def revoke(token_id: TokenId, viewer: Writer, context: Here, database: Database) -> Token:
    """It is over at once; a second time changes nothing. It stays in the list."""
    now = context.clock.now()
    async with database.transaction():
        found = await _find(database, viewer, token_id)
        if not found:
            raise NotFound(f"there is no token {token_id}")
        if found[0]["revoked_at"] is None:
            await database.execute(SQL["token_revoke"], {"id": token_id, "now": now, "by": viewer.code})
            await audit.append(
                database,
                at=now,
                actor=viewer.code,
                action="token.revoke",
                thing=f"token:{token_id}",
                detail={"name": found[0]["name"]},
            )
    context.sockets.end_session(found[0]["token_sha256"])
    return Token(**{**found[0], "revoked_at": found[0]["revoked_at"] or millis(now)})


async def _find(
    database: Database, viewer: Viewer, token_id: int | None = None, *, limit: int = 1, before: int | None = None
) -> list[Row]:
    owner = None if "people" in viewer.rights else viewer.id
    return await rows(database, SQL["tokens"], {"owner": owner, "id": token_id, "limit": limit, "before": before})
