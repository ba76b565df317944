"""The regulator's HTTP API: violations and receipts as the reference describes them, the sandbox's own pages beside."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import format_datetime
from http import HTTPStatus
from importlib import resources
from random import Random
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import ValidationError
from pydantic.json_schema import models_json_schema
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.clock import Clock, micros
from smartsite.regulator import inbox, sandbox
from smartsite.regulator.connections import cut_connection
from smartsite.regulator.schema import Accepted, ErrorBody, Fault, FieldFault, Listed, Listing, Result, Violation
from smartsite.regulator.signature import SignatureError, Signed, verify
from smartsite.regulator.store import Store

BODY_BYTES_MAX = 8 * 1024 * 1024
_FLOOD_BYTES = 1024 * 1024

_DESCRIPTION = """Reference API by which a construction site platform reports violations to a regulator.

Every call is signed as Standard Webhooks describes (`webhook-id`, `webhook-timestamp`, `webhook-signature`), with the
client's number in `x-client-id`. `webhook-id` is the idempotency key: the same key brings the same receipt, so a call
whose reply was lost is simply made again."""


class Dated:
    """Puts the Date of the regulator's own clock on every answer."""

    def __init__(self, app: ASGIApp, clock: Clock) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = format_datetime(self._clock.now(), usegmt=True)
                message = {**message, "headers": [*message.get("headers", []), (b"date", date.encode())]}
            await send(message)

        await self._app(scope, receive, dated if scope["type"] == "http" else send)


class Refused(Exception):
    """The request is answered with an error."""

    def __init__(self, status: int, fault: Fault, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(fault.message)
        self.status = status
        self.fault = fault
        self.headers = headers


@dataclass(frozen=True, slots=True)
class Regulator:
    """What the endpoints share."""

    store: Store
    clients: Mapping[str, bytes]
    clock: Clock
    random: Random
    skew_s: float

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return micros(self.clock.now()) // 1000

    def signed(self, request: Request, body: bytes) -> Signed:
        """Who sent the request; raise Refused where that is not proven."""
        try:
            return verify(
                request.headers,
                body,
                clients=self.clients,
                now_s=self.clock.now().timestamp(),
                skew_s=self.skew_s,
            )
        except SignatureError as error:
            raise Refused(401, Fault(code=error.code, message=error.message)) from error


def create_app(
    store: Store, clients: Mapping[str, bytes], *, clock: Clock, random: Random, skew_s: float = 360
) -> FastAPI:
    """The regulator over a store; `clients` maps the ids of registered senders to the bytes of their secrets."""
    regulator = Regulator(store=store, clients=clients, clock=clock, random=random, skew_s=skew_s)
    # FastAPI's own documentation pages load their scripts from the internet; /openapi.json needs nothing.
    app = FastAPI(
        title="Smartsite reference regulator", version="1", description=_DESCRIPTION, docs_url=None, redoc_url=None
    )
    app.state.regulator = regulator
    app.add_middleware(Dated, clock=clock)
    _add_error_shapes(app)

    @app.post(
        "/api/v1/violations",
        tags=["regulator"],
        summary="Report one phase of a violation",
        status_code=202,
        response_model=Accepted,
        responses={
            200: {"model": Accepted, "description": "The key is known: the receipt of its first arrival"},
            **{
                status: {"model": ErrorBody, "description": HTTPStatus(status).phrase}
                for status in (400, 401, 403, 409, 413, 422, 429, 500)
            },
        },
        openapi_extra={
            "parameters": _SIGNATURE_HEADERS,
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Violation"}}},
            },
        },
    )
    async def post_violation(request: Request) -> Response:
        arrived_ms = regulator.now_ms()
        try:
            answer = await _take(regulator, request, arrived_ms)
        except Refused as refused:
            store.count_answer(refused.status)
            store.note_refusal(
                arrived_ms=arrived_ms,
                client=request.headers.get("x-client-id", ""),
                key=request.headers.get("webhook-id", ""),
                status=refused.status,
                reason=f"{refused.fault.code}: {refused.fault.message}",
            )
            raise
        return answer

    @app.get(
        "/api/v1/receipts/{receipt}",
        tags=["regulator"],
        summary="Ask for the result behind a receipt",
        response_model=Result,
        responses={
            401: {"model": ErrorBody, "description": "Unauthorized"},
            404: {"model": ErrorBody, "description": "Not Found"},
        },
        openapi_extra={"parameters": _SIGNATURE_HEADERS},
    )
    async def get_receipt(request: Request, receipt: str) -> Result | JSONResponse:
        """The signature is made over an empty body; only the client's own receipts are found."""
        signed = regulator.signed(request, b"")
        found = store.result(receipt, client=signed.client, now_ms=regulator.now_ms())
        if found is None:
            raise Refused(404, Fault(code="not_found", message=f"no receipt {receipt[:100]}"))
        if regulator.random.random() < store.behaviour.wrong_result:
            return JSONResponse({"receipt": receipt, "status": "lost", "reason": None})
        return Result.model_validate({"receipt": receipt, "status": found[0], "reason": found[1]})

    @app.get(
        "/api/v1/violations",
        tags=["regulator"],
        summary="List what has arrived from the sender",
        responses={401: {"model": ErrorBody, "description": "Unauthorized"}},
        openapi_extra={"parameters": _SIGNATURE_HEADERS},
    )
    async def get_violations(
        request: Request,
        since: Annotated[int, Query(ge=0, description="Milliseconds since 1970 UTC; arrived then or later")] = 0,
        until: Annotated[int, Query(ge=0, description="Milliseconds since 1970 UTC; arrived before")] = 2**53,
        after: Annotated[int, Query(ge=0, description="`next` of the page before")] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 500,
    ) -> Listing:
        """In order of arrival. The signature's id is the path with its query, its body is empty."""
        signed = regulator.signed(request, b"")
        target = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
        if signed.id != target:
            raise Refused(401, Fault(code="signature_wrong", message="the signature is that of another question"))
        items = store.listed(
            client=signed.client, since=since, until=until, after=after, limit=limit, now_ms=regulator.now_ms()
        )
        return Listing(
            items=[Listed.model_validate(item) for item in items],
            next=items[-1]["id"] if len(items) == limit else None,
        )

    app.include_router(sandbox.router)
    app.include_router(inbox.router)
    page = resources.files("smartsite.regulator").joinpath("page.html").read_text(encoding="utf-8")

    @app.get("/", include_in_schema=False)
    async def get_page() -> HTMLResponse:
        return HTMLResponse(page)

    return app


_SIGNATURE_HEADERS: list[dict[str, Any]] = [
    {"name": name, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
    for name, text in (
        ("x-client-id", "Number under which the sender is registered"),
        ("webhook-id", "Idempotency key; for receipts the receipt itself"),
        ("webhook-timestamp", "Time of the call in seconds since 1970 UTC; at most 6 minutes off"),
        ("webhook-signature", "v1,base64(HMAC-SHA256(secret, id.timestamp.body))"),
    )
]


async def _take(regulator: Regulator, request: Request, arrived_ms: int) -> Response:
    body = await _read(request)
    signed = regulator.signed(request, body)
    behaviour = regulator.store.behaviour
    if behaviour.delay_s:
        await regulator.clock.sleep(behaviour.delay_s)
    if behaviour.refuse:
        raise Refused(403, Fault(code="refused", message="this client may not send at present"))
    if regulator.random.random() < behaviour.throttle:
        raise Refused(
            429,
            Fault(code="throttled", message="too many requests"),
            headers={"Retry-After": str(behaviour.retry_after_s)},
        )
    if regulator.random.random() < behaviour.fail:
        raise Refused(500, Fault(code="internal", message="the regulator failed; nothing was stored"))
    if regulator.random.random() < behaviour.redirect:
        raise Refused(307, Fault(code="moved", message="elsewhere"), headers={"Location": "http://elsewhere.example/"})
    taken = regulator.store.take(
        _parse(body),
        client=signed.client,
        key=signed.id,
        receipt=f"R{secrets.token_hex(8).upper()}",
        arrived_ms=arrived_ms,
        result_ms=arrived_ms + round(behaviour.result_delay_s * 1000),
        rejected_for="rejected on inspection" if regulator.random.random() < behaviour.reject_rate else "",
        keyed=not behaviour.no_keys,
    )
    if taken.kind == "key_reused":
        raise Refused(409, Fault(code="key_reused", message="this webhook-id came before with another content"))
    status = 202 if taken.kind == "new" else 200
    if regulator.random.random() < behaviour.drop_reply and cut_connection(request):
        status = 0
    regulator.store.count_answer(status)
    if regulator.random.random() < behaviour.nonsense:
        return HTMLResponse("<html><body>系统维护中</body></html>")
    if regulator.random.random() < behaviour.flood:
        return Response(b"\0" * _FLOOD_BYTES, media_type="application/octet-stream")
    # After a cut this answer reaches nobody.
    return JSONResponse({"receipt": taken.receipt}, status_code=status or 202)


async def _read(request: Request) -> bytes:
    """The body; raise Refused beyond the largest size, before all of it is held."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            raise Refused(
                413,
                Fault(code="too_large", message=f"more than {BODY_BYTES_MAX // 1024**2} MiB"),
                {"Connection": "close"},
            )
        chunks.append(chunk)
    return b"".join(chunks)


def _parse(body: bytes) -> Violation:
    try:
        return Violation.model_validate_json(body)
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False)
        if faults[0]["type"] == "json_invalid":
            raise Refused(400, Fault(code="malformed", message=f"not JSON: {faults[0]['msg']}")) from error
        raise Refused(422, _field_faults(faults)) from error


def _field_faults(faults: list[Any]) -> Fault:
    fields = [
        FieldFault(field=".".join(str(part) for part in fault["loc"]) or "(whole)", message=fault["msg"])
        for fault in faults
    ]
    return Fault(
        code="invalid", message="; ".join(f"{item.field}: {item.message}" for item in fields[:5]), fields=fields
    )


def _add_error_shapes(app: FastAPI) -> None:
    """Every error in the one shape, and the schema of what is parsed by hand in the OpenAPI document."""

    @app.exception_handler(Refused)
    async def refused(_request: Request, error: Refused) -> JSONResponse:
        return JSONResponse(ErrorBody(error=error.fault).model_dump(), error.status, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse(ErrorBody(error=_field_faults(list(error.errors()))).model_dump(), 422)

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            _, definitions = models_json_schema(
                [(Violation, "validation")], ref_template="#/components/schemas/{model}"
            )
            document["components"]["schemas"].update(definitions["$defs"])
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
