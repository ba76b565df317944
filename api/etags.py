"""What the caller has already is not sent again: entity tags of JSON answers and If-None-Match (RFC 9110, 13.1.2).

The tag is the digest of the answer, so it needs no bookkeeping and is right whoever asks: it spares the way to the
client and the client's work, not the server's own.
"""

from __future__ import annotations

import hashlib
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_JSON = "application/json"


class Tagged:
    """Gives an ETag to JSON answers to GET that come in one piece, and answers 304 where the caller has it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].startswith("/api/"):
            await self._app(scope, receive, send)
            return
        known = Headers(scope=scope).get("if-none-match", "")
        held: Message | None = None

        async def tag(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start" and _takes_a_tag(message):
                held = message
                return
            if held is None:
                await send(message)
                return
            start, held = held, None
            if not message.get("more_body", False):
                headers = MutableHeaders(scope=start)
                headers["ETag"] = etag = f'"{hashlib.blake2b(message["body"], digest_size=12).hexdigest()}"'
                if _names(known, etag):
                    del headers["content-length"]
                    start = {**start, "status": HTTPStatus.NOT_MODIFIED}
                    message = {**message, "body": b""}
            await send(start)
            await send(message)

        await self._app(scope, receive, tag)


def _takes_a_tag(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    return start["status"] == HTTPStatus.OK and headers.get("content-type") == _JSON and "etag" not in headers


def _names(known: str, etag: str) -> bool:
    """Whether the header names the tag; compared weakly, as a proxy may have made it weak."""
    return known.strip() == "*" or etag in (one.strip().removeprefix("W/") for one in known.split(","))
