"""Every error of the API has one JSON shape and a stable code, whoever raised it.

`{"error": {"code": "not_found", "message": "there is no alert 7", "hint": "", "fields": []}}`
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import psycopg
from fastapi import FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.permissions import methods
from core.database import is_outage
from core.errors import Conflict, Forbidden, InvalidInput, SmartsiteError, Unauthenticated, Unavailable
from sensors.provision import RowError
from sensors.provision.faults import explained

logger = logging.getLogger(__name__)

# Close codes of WebSockets: policy violation where nobody is logged in (any more), else 4000 + the HTTP status.
SESSION_OVER = 1008
SOCKET_CODE = 4000


class FieldFault(BaseModel):
    """What is wrong with one field of the request."""

    field: str = Field(
        description="Dotted path, beginning with its place: query, path, body, header.", examples=["body.verdict"]
    )
    message: str = Field(examples=["Input should be 'confirmed' or 'false_alarm'"])
    code: str = Field(default="", description="The same for programs; may be empty.", examples=["literal_error"])
    values: dict[str, str] = Field(default={}, description="What belongs to the code.")


class ErrorDetail(BaseModel):
    """One fault: the code is for programs and never changes, the message and the hint are for people."""

    code: str = Field(examples=["not_found"])
    message: str = Field(examples=["there is no alert 7"])
    hint: str = Field(default="", description="What to do about it; may be empty.")
    fields: list[FieldFault] = Field(default=[], description="Only of `invalid_input`: the fields at fault.")


class ErrorBody(BaseModel):
    """The body of every answer from 400 on."""

    error: ErrorDetail


class BadCsrf(Forbidden):
    """A write came without the token of its session."""

    code = "csrf"


class BadCredentials(Unauthenticated):
    """Log-in and password do not belong together."""

    code = "bad_credentials"


class Stale(Conflict):
    """The thing was changed by somebody else since it was read."""

    code = "stale"
    status = 412


class TooManyAttempts(SmartsiteError):
    """Log-in is locked for a while after repeated failures."""

    code = "too_many_requests"
    status = 429

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message, hint=f"try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class RateLimited(TooManyAttempts):
    """The caller asks too often."""

    code = "rate_limited"


_EXAMPLES: dict[int, tuple[str, str, str]] = {
    401: ("unauthenticated", "nobody is logged in", "No session, or it has expired."),
    403: ("forbidden", "this role may not review alerts", "The role lacks the right, or the CSRF token is missing."),
    404: ("not_found", "there is no alert 7", "No such thing, or not of a site that the person may see."),
    409: ("conflict", "alert 7 was already reviewed as confirmed", "The thing is no longer in the assumed state."),
    412: ("stale", "person 'li' was changed meanwhile", "It was changed by somebody else since it was read."),
    413: ("too_large", "the request is larger than 65536 bytes", "The body is too large."),
    415: ("unsupported_type", "the file is neither PDF nor PNG", "The file has none of the forms that are taken."),
    422: ("invalid_input", "the request does not fit", "A parameter or field does not fit; `fields` names it."),
    429: ("rate_limited", "this session or token asks too often", "See the Retry-After header."),
    503: ("unavailable", "the database is away", "A part is away for the moment; try again."),
    507: ("no_room", "the disk is full", "There is no room for a file."),
}
# Of faults that the framework finds before any route of ours does.
_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI entries of the errors that a route can answer with; 429 and 503 are always among them."""
    entries: dict[int | str, dict[str, Any]] = {}
    for status in sorted({*statuses, 429, 503}):
        code, message, description = _EXAMPLES[status]
        example = {"error": {"code": code, "message": message, "hint": "", "fields": []}}
        entries[status] = {
            "model": ErrorBody,
            "description": description,
            "content": {"application/json": {"example": example}},
        }
    return entries


def install(app: FastAPI) -> None:
    """Register the handlers on the application."""
    # Each serves requests and WebSockets alike, which the registration's type cannot say.
    handlers: dict[type[Exception], Any] = {
        SmartsiteError: _smartsite,
        RequestValidationError: _validation,
        HTTPException: _http,
        psycopg.Error: _database,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


async def answer(
    connection: HTTPConnection, error: SmartsiteError, fields: list[FieldFault] | None = None
) -> JSONResponse | None:
    """The error in the one shape; a WebSocket is closed with it, and there is nothing to send."""
    if isinstance(connection, WebSocket):
        # A browser's script sees a close code, but nothing of a refused handshake.
        await connection.accept()
        unknown = error.status == HTTPStatus.UNAUTHORIZED
        await connection.close(SESSION_OVER if unknown else SOCKET_CODE + error.status, error.code)
        return None
    body = ErrorBody(error=ErrorDetail(code=error.code, message=error.message, hint=error.hint, fields=fields or []))
    headers = {"Cache-Control": "no-store"}
    if isinstance(error, TooManyAttempts):
        headers["Retry-After"] = str(error.retry_after_s)
    elif isinstance(error, Unavailable):
        headers["Retry-After"] = "2"
    return JSONResponse(body.model_dump(), error.status, headers)


class FaultyFields(InvalidInput):
    """Fields of the request do not fit; `faults` says by their path (`body.name`) what is wrong with each."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        super().__init__("the request does not fit", hint="correct the named fields")
        self.fields = [FieldFault(field=field, message=message) for field, message in faults.items()]

    @classmethod
    def of_rows(cls, errors: Iterable[RowError]) -> FaultyFields:
        """What provisioning found in a row that the request's body made."""
        fault = cls({})
        fault.fields = [
            FieldFault(field=f"body.{one.field}", message=one.message, code=one.code, values=dict(one.values))
            for one in errors
        ]
        return fault


async def _smartsite(connection: HTTPConnection, error: Exception) -> JSONResponse | None:
    assert isinstance(error, SmartsiteError)
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.warning(
            "request failed", extra={"path": connection.url.path, "code": error.code, "error": error.message}
        )
    return await answer(connection, error, error.fields if isinstance(error, FaultyFields) else None)


async def _validation(connection: HTTPConnection, error: Exception) -> JSONResponse | None:
    assert isinstance(error, RequestValidationError)
    # The input itself is not echoed: it may be a password.
    faults = []
    for fault in error.errors():
        code, values, message = explained(fault)
        field = ".".join(str(part) for part in fault["loc"])
        faults.append(FieldFault(field=field, message=message, code=code, values=values))
    return await answer(connection, InvalidInput("the request does not fit", hint="correct the named fields"), faults)


async def _http(connection: HTTPConnection, error: Exception) -> JSONResponse | None:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.BAD_REQUEST:
        # FastAPI's word for a body that is no text; one that is no JSON is InvalidInput as well.
        return await answer(connection, InvalidInput("the body is no JSON in UTF-8", hint="send JSON"))
    nothing_there = error.status_code == HTTPStatus.NOT_FOUND
    refused = SmartsiteError(f"there is nothing at {connection.url.path}" if nothing_there else str(error.detail))
    refused.status = error.status_code
    refused.code = _CODES.get(error.status_code, "bad_request")
    answered = await answer(connection, refused)
    if answered is not None and error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        of_route = (error.headers or {}).get("Allow", "")
        answered.headers["Allow"] = ", ".join(methods(connection.url.path)) or of_route
    return answered


async def _database(connection: HTTPConnection, error: Exception) -> JSONResponse | None:
    if is_outage(error):
        logger.warning("database is away", extra={"path": connection.url.path, "error": str(error).strip()})
        return await answer(connection, Unavailable("the database is away", hint="try again in a few seconds"))
    return await _unexpected(connection, error)


async def _unexpected(connection: HTTPConnection, error: Exception) -> JSONResponse | None:
    logger.error("request failed unexpectedly", exc_info=error, extra={"path": connection.url.path})
    return await answer(connection, SmartsiteError("something went wrong inside", hint="the server's log says what"))


class LastResort:
    """Answers what nothing else has caught in the one shape, and tells the log."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception as error:
            # Too late for another answer, or a WebSocket: the server ends the connection.
            if started or scope["type"] != "http":
                raise
            response = await _unexpected(Request(scope), error)
            assert response is not None
            await response(scope, receive, send)
