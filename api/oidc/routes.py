"""The way through the provider: there with a state of this browser's, back with a code, and on to the page.

A browser comes here by itself, so that every end is a page: of a fault the log-in page, which has words for its code.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

import psycopg
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field

from api import throttle
from api.access import SQL, digest
from api.context import Context, Here, row
from api.errors import TooManyAttempts, documented
from api.oidc import provider
from api.oidc.people import person_of
from api.oidc.provider import Provider
from api.oidc.refusal import COUNTED, Code, Refusal
from api.session import enter, set_cookie
from api.throttle import Attempt
from core.database import is_outage
from core.errors import NotFound

logger = logging.getLogger(__name__)
router = APIRouter(prefix="/session", tags=["session"])

_PATH = "/api/v1/session/oidc"
_COOKIE = "smartsite_oidc_"
# Time to find a password and a telephone at the provider.
_MINUTES = 10
_MOST = 1000
# A path of the page: what a browser would take for another host is none.
_DESTINATION = re.compile(r"/(?![/\\])[^\x00-\x20\x7f\\]*")
_FOUND: dict[int | str, dict[str, Any]] = {
    302: {"description": "On to the provider or the page.", "headers": {"Location": {"schema": {"type": "string"}}}}
}


class Ways(BaseModel):
    """How one may log in beside a password: the words of the button, in Chinese and English; null: not at all."""

    oidc: str | None = Field(examples=["统一身份认证登录"])
    oidc_en: str | None = Field(examples=["Single sign-on"])


@router.get("/ways", summary="Ways to log in", responses=documented())
async def ways(context: Here) -> Ways:
    """What the log-in page offers beside a password."""
    oidc = context.settings.api.oidc
    return Ways(oidc=oidc and oidc.label, oidc_en=oidc and oidc.label_en)


@router.get(
    "/oidc",
    status_code=302,
    response_class=RedirectResponse,
    summary="Log in through the provider",
    responses=_FOUND | documented(404, 422),
)
async def begin(
    request: Request,
    context: Here,
    destination: Annotated[str, Query(alias="next", description="Path of the page to go to afterwards.")] = "",
) -> Response:
    """Send the browser to the provider. For browsers: the end is the page, of a fault its log-in page."""
    oidc = _configured(context)
    destination = destination if len(destination) <= _MOST and _DESTINATION.fullmatch(destination) else ""
    sent = provider.Request.new(f"{oidc.settings.public_url or str(request.base_url).rstrip('/')}{_PATH}/callback")
    browser = secrets.token_urlsafe(32)
    now = context.clock.now()
    try:
        address = await oidc.address(sent)
        async with context.connection() as database, database.transaction():
            await database.execute(SQL["oidc_forget_old"], {"now": now})
            await database.execute(
                SQL["oidc_begin"],
                {
                    "state_sha256": digest(sent.state),
                    "browser_sha256": digest(browser),
                    "nonce": sent.nonce,
                    "code_verifier": sent.code_verifier,
                    "redirect_uri": sent.redirect_uri,
                    "destination": destination,
                    "expires_at": now + timedelta(minutes=_MINUTES),
                },
            )
    except (Refusal, psycopg.Error) as error:
        return _refused(error, destination)
    response = RedirectResponse(address, 302)
    response.set_cookie(
        _cookie(sent.state),
        browser,
        max_age=_MINUTES * 60,
        path=_PATH,
        httponly=True,
        # Strict ones do not come along when the provider sends the browser back.
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return response


@router.get(
    "/oidc/callback",
    status_code=302,
    response_class=RedirectResponse,
    summary="Come back from the provider",
    responses=_FOUND | documented(404, 422),
)
async def callback(
    request: Request,
    context: Here,
    state: Annotated[str, Query(description="As it was sent.")] = "",
    code: Annotated[str, Query(description="Authorization code.")] = "",
    error: Annotated[str, Query(description="Why there is none.")] = "",
    iss: Annotated[str, Query(description="Issuer, by RFC 9207.")] = "",
) -> Response:
    """Exchange the code, start a session as a log-in by password does, and go on to the page."""
    oidc = _configured(context)
    attempt = Attempt("", request.client.host if request.client else "", context.clock.now())
    destination = ""
    response: Response
    try:
        taken = await _take(context, request, state)
        destination = taken.pop("destination")
        _must_be_let_in(code, error)
        async with context.connection() as database:
            await throttle.refuse_locked(database, context.settings.api, attempt)
        # No database connection is held meanwhile.
        identity = await oidc.identity(code, iss, provider.Request(state=state, **taken))
        by = {"issuer": oidc.settings.issuer}
        async with context.connection() as database, database.transaction():
            person = await person_of(database, oidc.settings, identity, at=attempt.at)
            _, token = await enter(database, context.settings.api, person, attempt, by=by)
    except TooManyAttempts as locked:
        response = _refused(Refusal("oidc_locked", locked.message), destination)
    except (Refusal, psycopg.Error) as fault:
        response = await _counted(context, attempt, fault, destination)
    else:
        # The session's cookie does not come along on this very way, which another site began: the page asks anew.
        response = _to("/entered", {"next": destination})
        set_cookie(response, token, request, context.settings.api)
    response.delete_cookie(_cookie(state), path=_PATH, httponly=True, samesite="lax")
    return response


async def _take(context: Context, request: Request, state: str) -> dict[str, str]:
    """What was sent with the state by this browser; once, and not for long. Raise Refusal."""
    asked = {"state_sha256": digest(state), "browser_sha256": digest(request.cookies.get(_cookie(state), ""))}
    async with context.connection() as database:
        taken = await row(database, SQL["oidc_take"], asked)
    if taken is None or taken.pop("expires_at") <= context.clock.now():
        raise Refusal("oidc_expired", "the state is unknown here, old, used, or of another browser")
    return taken


def _must_be_let_in(code: str, error: str) -> None:
    """Raise Refusal where the provider sends no code. By RFC 6749 `access_denied` is what the user may have wanted."""
    if error or not code:
        raise Refusal("oidc_denied" if error == "access_denied" else "oidc_provider", f"it says {error[:200]!r}")


async def _counted(context: Context, attempt: Attempt, fault: Refusal | psycopg.Error, destination: str) -> Response:
    """The way back to the log-in page, with the failure remembered where it is one."""
    if isinstance(fault, Refusal) and fault.code in COUNTED:
        try:
            async with context.connection() as database:
                await throttle.remember_failure(
                    database, context.settings.api, attempt, login=fault.user, why={"oidc": fault.code}
                )
        except psycopg.Error as error:
            return _refused(error, destination)
    return _refused(fault, destination)


def _configured(context: Context) -> Provider:
    if context.oidc is None:
        raise NotFound("there is no log-in through a provider here", hint="set api.oidc")
    return context.oidc


def _cookie(state: str) -> str:
    """Of its own name, so that two windows can be on their way at once."""
    return _COOKIE + digest(state)[:16]


def _refused(fault: Refusal | psycopg.Error, destination: str) -> RedirectResponse:
    """To the log-in page with the code alone; the log gets the reason."""
    code: Code = "unavailable"
    if isinstance(fault, Refusal):
        code = fault.code
        grave = code in ("oidc_away", "oidc_provider")
        logger.log(
            logging.WARNING if grave else logging.INFO,
            "nobody entered through the provider",
            extra={"code": code, "reason": fault.reason, "user": fault.user},
        )
    elif is_outage(fault):
        logger.warning("database is away", extra={"path": _PATH, "error": str(fault).strip()})
    else:
        raise fault
    return _to("/login", {"fault": code, "next": destination})


def _to(path: str, query: Mapping[str, str]) -> RedirectResponse:
    given = {name: value for name, value in query.items() if value}
    return RedirectResponse(f"{path}?{urlencode(given)}" if given else path, 302)
