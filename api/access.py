"""Who is asking and what they may see and do: decided here and nowhere else, by the table of api.permissions.

Every route takes a `Viewer` (or `Writer`, for changes) and hands `viewer.scope` to every statement it runs. A person
comes with the cookie of a session, a machine with a token (`Authorization: Bearer ...`) of a person who made it: it
sees and does what both that person and the token may.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Depends, Header, WebSocket
from starlette.requests import HTTPConnection

from api import audit
from api.context import Here, row
from api.errors import BadCsrf
from api.permissions import PEOPLE_ONLY, PERMISSIONS, RIGHTS, WHOLE, Right
from core.errors import Forbidden, NotFound, SmartsiteError, Unauthenticated
from core.sql import queries

SQL = queries("api")
COOKIE = "smartsite_session"

_WORDS: dict[Right, str] = {"original": "see originals"}
_BEARER = "bearer "
# When a token was used last is for people to see, and need not be a write with every request.
_USE_NOTED = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Viewer:
    """A logged-in person with what they may see (`sites`, or all) and do (`rights`)."""

    id: int
    code: str
    name: str
    name_en: str
    role: str
    language: str
    all_sites: bool
    sites: tuple[int, ...]
    csrf: str
    token_sha256: str
    expires_at: datetime
    token_id: int | None = None
    """The token of a machine that acts for the person; None in a session."""
    granted: frozenset[Right] | None = None
    """Rights that the token was given; None in a session, where the role decides alone."""
    has_password: bool = True
    """False: enters through the provider alone."""

    @property
    def scope(self) -> list[int] | None:
        """The `sites` parameter of every statement: ids that may be seen, None where all may."""
        return None if self.all_sites else list(self.sites)

    @property
    def rights(self) -> frozenset[Right]:
        """What the role may do on the sites that it sees. What belongs to no site is for those who see all sites."""
        rights = RIGHTS[self.role] if self.granted is None else RIGHTS[self.role] & self.granted
        return rights if self.all_sites else rights - WHOLE

    def sees(self, site_id: int) -> bool:
        """True where the site is one of theirs."""
        return self.all_sites or site_id in self.sites

    def must_see(self, site_id: int) -> None:
        """Raise NotFound for a foreign site, in the words that an unknown one gets: nobody learns that it exists."""
        if not self.sees(site_id):
            raise NotFound(f"there is no site {site_id}")

    def must(self, right: Right) -> None:
        """Raise Forbidden where the role lacks the right."""
        self.must_any([right])

    def must_any(self, rights: Iterable[Right]) -> None:
        """Raise Forbidden where the role has none of the rights."""
        if self.rights.isdisjoint(rights):
            wanted = " or ".join(_WORDS.get(right, right) for right in rights)
            who = f"the role {self.role}" if self.token_id is None else "this token"
            raise Forbidden(f"{who} may not do this: it needs the right to {wanted}")

    def may_call(self, operation: str) -> None:
        """Raise where the table of permissions has no such operation, or not for this viewer."""
        try:
            needed = PERMISSIONS[operation]
        except KeyError:
            hint = "declare it in api/permissions.py"
            raise SmartsiteError(f"{operation} has no declared permission", hint=hint) from None
        if self.token_id is not None and operation in PEOPLE_ONLY:
            raise Forbidden("this is for people who are logged in, not for tokens")
        if needed is not None:
            self.must_any([needed] if isinstance(needed, str) else needed)


def digest(token: str) -> str:
    """What the database keeps of a session's token."""
    return hashlib.sha256(token.encode()).hexdigest()


async def viewer_of(connection: HTTPConnection, context: Here) -> Viewer:
    """Whoever asks, who may call this route; raise Unauthenticated or Forbidden otherwise.

    Takes a database connection for the moment of the look-up only, since a WebSocket lives for hours.
    """
    if isinstance(connection, WebSocket):
        _same_origin(connection)
    credential = credential_of(connection)
    find = _machine if _bearer(connection) else _session
    found = await find(context, credential) if credential else None
    if found is None:
        raise Unauthenticated("nobody is logged in", hint="log in with POST /api/v1/session")
    found.may_call(operation_of(connection))
    audit.TOKEN.set(found.token_id)
    context.rates.know(found.token_sha256)
    return found


def operation_of(connection: HTTPConnection) -> str:
    """The key of the route in the table of permissions."""
    method = "WS" if isinstance(connection, WebSocket) else connection.scope["method"]
    return f"{method} {connection.scope['route'].path.removeprefix('/api/v1')}"


def credential_of(connection: HTTPConnection) -> str:
    """The digest of the token or session cookie that came with a request, good or not; empty where none did."""
    token = _bearer(connection) or connection.cookies.get(COOKIE, "")
    return digest(token) if token else ""


def _bearer(connection: HTTPConnection) -> str:
    authorization = connection.headers.get("authorization", "")
    return authorization[len(_BEARER) :].strip() if authorization[: len(_BEARER)].lower() == _BEARER else ""


async def find_again(context: Here, viewer: Viewer) -> Viewer | None:
    """The viewer as they are now; None where the session or the token is over."""
    find = _session if viewer.token_id is None else _machine
    return await find(context, viewer.token_sha256)


async def _session(context: Here, token_sha256: str) -> Viewer | None:
    async with context.connection() as database:
        found = await row(database, SQL["session_person"], {"token_sha256": token_sha256, "now": context.clock.now()})
    if found is None:
        return None
    return Viewer(**{**found, "sites": tuple(found["sites"])}, token_sha256=token_sha256)


async def _machine(context: Here, token_sha256: str) -> Viewer | None:
    now = context.clock.now()
    async with context.connection() as database:
        found = await row(database, SQL["token_person"], {"token_sha256": token_sha256, "now": now})
        if found is None:
            return None
        used = found.pop("last_used_at")
        if used is None or now - used >= _USE_NOTED:
            await database.execute(SQL["token_used"], {"id": found["token_id"], "now": now})
    granted = {"granted": frozenset(found["granted"]), "sites": tuple(found["sites"])}
    return Viewer(**{**found, **granted}, csrf="", token_sha256=token_sha256)


def _same_origin(socket: WebSocket) -> None:
    # Browsers let any page open a WebSocket anywhere; only the header says which page it was.
    origin = socket.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != socket.headers.get("host"):
        raise Forbidden(f"a page of {origin} may not listen here")


async def _writer_of(
    viewer: Annotated[Viewer, Depends(viewer_of)],
    x_csrf_token: Annotated[str, Header(description="The `csrf` of the session.")] = "",
) -> Viewer:
    # A token is sent by a program, never by a browser of its own accord: there is nothing to forge.
    if viewer.token_id is None and not hmac.compare_digest(x_csrf_token.encode(), viewer.csrf.encode()):
        raise BadCsrf("the CSRF token is missing or not this session's", hint="send the session's csrf as X-CSRF-Token")
    return viewer


Seen = Annotated[Viewer, Depends(viewer_of)]
Writer = Annotated[Viewer, Depends(_writer_of)]
