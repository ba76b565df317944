"""Who is asking and what they may see and do: decided here and nowhere else.

Every route takes a `Viewer` (or `Writer`, for changes) and hands `viewer.scope` to every statement it runs.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from fastapi import Depends, Header, WebSocket
from starlette.requests import HTTPConnection

from api.context import Here, row
from api.errors import BadCsrf
from core.errors import Forbidden, NotFound, Unauthenticated
from core.sql import queries

SQL = queries("api")
COOKIE = "smartsite_session"

Right = Literal[
    "acknowledge", "review", "command", "system", "permit", "rota", "original", "order", "rectify", "supervise"
]
RIGHTS: dict[str, frozenset[Right]] = {
    # Whoever judges what a camera saw must see it as it was; everybody else sees faces blurred.
    "leader": frozenset(
        {"acknowledge", "review", "command", "system", "permit", "rota", "original", "order", "supervise"}
    ),
    "operator": frozenset({"acknowledge", "review", "command", "system", "permit", "rota", "original", "order"}),
    "inspector": frozenset({"acknowledge", "review", "original", "order", "supervise"}),
    "supervisor": frozenset({"acknowledge", "review", "rota", "original", "order"}),
    "officer": frozenset({"acknowledge", "command", "rota", "rectify"}),
    "integrator": frozenset({"command", "system", "permit", "rota"}),
    "auditor": frozenset({"system"}),
}

_WORDS: dict[Right, str] = {"original": "see originals"}


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

    @property
    def scope(self) -> list[int] | None:
        """The `sites` parameter of every statement: ids that may be seen, None where all may."""
        return None if self.all_sites else list(self.sites)

    @property
    def rights(self) -> frozenset[Right]:
        """What the role may do on the sites that it sees. The whole system is for those who see all sites."""
        rights = RIGHTS[self.role]
        return rights if self.all_sites else rights - {"system"}

    def sees(self, site_id: int) -> bool:
        """True where the site is one of theirs."""
        return self.all_sites or site_id in self.sites

    def must_see(self, site_id: int) -> None:
        """Raise NotFound for a foreign site, in the words that an unknown one gets: nobody learns that it exists."""
        if not self.sees(site_id):
            raise NotFound(f"there is no site {site_id}")

    def must(self, right: Right) -> None:
        """Raise Forbidden where the role lacks the right."""
        if right not in self.rights:
            raise Forbidden(f"the role {self.role} may not do this: it needs the right to {_WORDS.get(right, right)}")


def digest(token: str) -> str:
    """What the database keeps of a session's token."""
    return hashlib.sha256(token.encode()).hexdigest()


async def viewer_of(connection: HTTPConnection, context: Here) -> Viewer:
    """The person behind the session cookie; raise Unauthenticated where there is none.

    Takes a database connection for the moment of the look-up only, since a WebSocket lives for hours.
    """
    if isinstance(connection, WebSocket):
        _same_origin(connection)
    token = connection.cookies.get(COOKIE, "")
    found = await find(context, digest(token)) if token else None
    if found is None:
        raise Unauthenticated("nobody is logged in", hint="log in with POST /api/v1/session")
    return found


async def find(context: Here, token_sha256: str) -> Viewer | None:
    """The person of a session that is still valid."""
    async with context.connection() as database:
        found = await row(database, SQL["session_person"], {"token_sha256": token_sha256, "now": context.clock.now()})
    if found is None:
        return None
    return Viewer(**{**found, "sites": tuple(found["sites"])}, token_sha256=token_sha256)


def _same_origin(socket: WebSocket) -> None:
    # Browsers let any page open a WebSocket anywhere; only the header says which page it was.
    origin = socket.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != socket.headers.get("host"):
        raise Forbidden(f"a page of {origin} may not listen here")


async def _writer_of(
    viewer: Annotated[Viewer, Depends(viewer_of)],
    x_csrf_token: Annotated[str, Header(description="The `csrf` of the session.")] = "",
) -> Viewer:
    if not hmac.compare_digest(x_csrf_token.encode(), viewer.csrf.encode()):
        raise BadCsrf("the CSRF token is missing or not this session's", hint="send the session's csrf as X-CSRF-Token")
    return viewer


Seen = Annotated[Viewer, Depends(viewer_of)]
Writer = Annotated[Viewer, Depends(_writer_of)]


def having(right: Right) -> Callable[[Viewer], Viewer]:
    """A dependency of routes that only read: the viewer, who must have the right."""

    def check(viewer: Seen) -> Viewer:
        viewer.must(right)
        return viewer

    return check
