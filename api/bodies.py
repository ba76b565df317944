"""How much of a request's body is read: up to a limit, and of what nobody reads a little before the connection ends."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PHOTOS = "/photos"
"""End of paths that take a photo as their body."""
DOCUMENTS = "/documents"
"""End of paths that take a file as their body."""

# What is still under way after an answer is read for so long and so far, so that the answer is not lost with the
# connection, then the connection is cut: nobody may make us read for ever.
_LINGER_BYTES = 256 * 1024
_LINGER_S = 1.0
# So little is read before the answer: it is there already, and the connection can go on.
_SMALL_BYTES = 4096


class BodyLimit:
    """Refuses to read more than `max_bytes` of a request's body, or what `larger` allows by the end of the path.

    An answer given before the body has come ends the connection: otherwise the server would read and throw away the
    rest, however long it is.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, larger: Mapping[str, int]) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._larger = larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope.get("path", "")
        most = next((most for end, most in self._larger.items() if path.endswith(end)), self._max_bytes)
        body = _Body(receive, send, most, announced=_announced(scope))
        await self._app(scope, body.receive, body.send)


class _Body:
    """One request's body and the answer to it."""

    def __init__(self, receive: Receive, send: Send, most: int, *, announced: int) -> None:
        self._receive = receive
        self._send = send
        self._most = most
        self._announced = announced
        self._read = 0
        self._whole = announced == 0

    async def receive(self) -> Message:
        """The next part; raise HTTPException beyond the limit, at once where the header announces more."""
        if self._announced > self._most:
            raise self._too_large()
        message = await self._next()
        if self._read > self._most:
            raise self._too_large()
        return message

    async def send(self, message: Message) -> None:
        """Pass the answer on; where the body has not come by then, as the last one of its connection."""
        if message["type"] == "http.response.start" and 0 < self._announced <= _SMALL_BYTES:
            await self._linger()
        if self._whole:
            await self._send(message)
        elif message["type"] == "http.response.start":
            await self._send({**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]})
        elif message.get("more_body", False):
            await self._send(message)
        else:
            await self._send({**message, "more_body": True})
            await self._linger()
            await self._send({"type": "http.response.body", "body": b""})

    async def _next(self) -> Message:
        message = await self._receive()
        self._read += len(message.get("body", b""))
        self._whole = self._whole or not message.get("more_body", False)
        return message

    async def _linger(self) -> None:
        """Read on a little; closed with bytes unread, a connection takes the answer with it."""
        until = self._read + _LINGER_BYTES
        try:
            async with asyncio.timeout(_LINGER_S):
                while not self._whole and self._read < until:
                    await self._next()
        except TimeoutError:
            return

    def _too_large(self) -> HTTPException:
        return HTTPException(413, f"the request is larger than {self._most} bytes")


def _announced(scope: Scope) -> int:
    """Bytes of the body by its header; 0: there is none, -1: it comes in chunks."""
    headers = dict(scope["headers"])
    if b"transfer-encoding" in headers:
        return -1
    length: bytes = headers.get(b"content-length", b"0")
    return int(length) if length.isdigit() else 0
