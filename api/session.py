"""Log-in, the session, log-out; repeated failures lock a log-in for its address."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from datetime import timedelta
from functools import cache

from argon2 import PasswordHasher
from fastapi import APIRouter, Request, Response
from psycopg import AsyncConnection
from pydantic import BaseModel, Field

from api import audit, throttle
from api.access import COOKIE, SQL, Seen, Viewer, Writer, digest
from api.context import Context, Database, Here, Row, Text, row
from api.errors import BadCredentials, documented
from api.permissions import Right
from api.throttle import Attempt
from core.settings import ApiSettings
from sensors.credentials import verify

router = APIRouter(prefix="/session", tags=["session"])
# A guess costs tens of milliseconds and 64 MiB: a flood of them must not take the machine.
_verifying = asyncio.Semaphore(2)


class Credentials(BaseModel):
    """Log-in name and password."""

    login: Text = Field(min_length=1, max_length=200, examples=["operator"])
    password: str = Field(min_length=1, max_length=1000, examples=["correct horse battery staple"])


class Person(BaseModel):
    """The person logged in."""

    id: int = Field(examples=[3])
    code: str = Field(examples=["op-li"])
    name: str = Field(examples=["李操作"])
    name_en: str = Field(examples=["Li, operator"])
    role: str = Field(examples=["operator"])
    language: str = Field(description="Preferred language: zh or en.", examples=["zh"])
    all_sites: bool = Field(description="True: sees every site, and `sites` is empty.")
    sites: list[int] = Field(examples=[[1, 2]])
    rights: list[Right] = Field(description="What the role may do.", examples=[["acknowledge", "review"]])
    has_password: bool = Field(description="False: enters through the provider alone.")


class Session(BaseModel):
    """A session: its person, and the token that every write must carry as X-CSRF-Token."""

    person: Person
    csrf: str = Field(examples=["kq3v..."])
    live: str = Field(
        description="Cursor for /live: what is read from now on and what is pushed after it leave nothing out.",
        examples=["5d0c7a21.812.e3b98a4d"],
    )


def _session(viewer: Viewer, context: Context) -> Session:
    person = Person(
        id=viewer.id,
        code=viewer.code,
        name=viewer.name,
        name_en=viewer.name_en,
        role=viewer.role,
        language=viewer.language,
        all_sites=viewer.all_sites,
        sites=list(viewer.sites),
        rights=sorted(viewer.rights),
        has_password=viewer.has_password,
    )
    return Session(person=person, csrf=viewer.csrf, live=context.hub.cursor(viewer))


@router.post("", summary="Log in", responses=documented(401, 413, 422, 429))
async def log_in(credentials: Credentials, request: Request, response: Response, context: Here) -> Session:
    """Check the password, start a session and set its cookie (HttpOnly, SameSite=Strict).

    After repeated failures the log-in is locked for this address for a while, whether it exists or not.
    """
    now, settings = context.clock.now(), context.settings.api
    attempt = Attempt(credentials.login, request.client.host if request.client else "", now)
    async with context.connection() as database:
        await throttle.refuse_locked(database, settings, attempt)
        person = await row(database, SQL["person_by_login"], {"login": attempt.login})
    # No database connection is held meanwhile. An unknown log-in costs the same time as a wrong password.
    hashed = person.pop("password_hash") if person else _decoy()
    good = await matches(hashed, credentials.password)
    if person is None or not good:
        async with context.connection() as database:
            await throttle.remember_failure(database, settings, attempt)
        raise BadCredentials("log-in or password is wrong")

    async with context.connection() as database, database.transaction():
        viewer, token = await enter(database, settings, person, attempt)
    set_cookie(response, token, request, settings)
    return _session(viewer, context)


@router.get("", summary="Who is logged in", responses=documented(401))
async def current(viewer: Seen, context: Here) -> Session:
    """The person and the CSRF token of the session cookie."""
    return _session(viewer, context)


@router.delete("", summary="Log out", status_code=204, responses=documented(401, 403, 422))
async def log_out(viewer: Writer, response: Response, context: Here, database: Database) -> None:
    """End the session; its live connections are closed."""
    async with database.transaction():
        await database.execute(SQL["session_delete"], {"token_sha256": viewer.token_sha256})
        await audit.append(
            database, at=context.clock.now(), actor=viewer.code, action="session.log_out", thing=f"person:{viewer.id}"
        )
    context.sockets.end_session(viewer.token_sha256)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")


async def enter(
    database: AsyncConnection, settings: ApiSettings, person: Row, attempt: Attempt, *, by: Mapping[str, str] = {}
) -> tuple[Viewer, str]:
    """Begin a session of the person in the caller's transaction; the viewer, and the token for `set_cookie`.

    `person` has the fields of a Viewer; `by` says in the audit log how they showed who they are, if not by password.
    """
    token = secrets.token_urlsafe(32)
    viewer = Viewer(
        **{**person, "sites": tuple(person["sites"])},
        csrf=secrets.token_urlsafe(24),
        token_sha256=digest(token),
        expires_at=attempt.at + timedelta(hours=settings.session_hours),
    )
    await throttle.forget(database, attempt)
    await database.execute(
        SQL["session_insert"],
        {
            "token_sha256": viewer.token_sha256,
            "person_id": viewer.id,
            "csrf": viewer.csrf,
            "now": attempt.at,
            "expires_at": viewer.expires_at,
            "client": attempt.address,
        },
    )
    await audit.append(
        database,
        at=attempt.at,
        actor=viewer.code,
        action="session.log_in",
        thing=f"person:{viewer.id}",
        detail={"address": attempt.address, **by},
    )
    return viewer, token


def set_cookie(response: Response, token: str, request: Request, settings: ApiSettings) -> None:
    """Give the browser the session."""
    response.set_cookie(
        COOKIE,
        token,
        max_age=round(settings.session_hours * 3600),
        path="/",
        httponly=True,
        samesite="strict",
        # A plain-http intranet would never send a Secure cookie back.
        secure=request.url.scheme == "https",
    )


@cache
def _decoy() -> str:
    return PasswordHasher().hash(secrets.token_urlsafe(16))


async def matches(hashed: str, password: str) -> bool:
    """Whether the password is the one that was hashed; some wait while others are looked at."""
    async with _verifying:
        return await asyncio.to_thread(verify, hashed, password)
