"""What all WebSockets have in common: they end with their client, their session and their process."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import psycopg
from fastapi import WebSocket, WebSocketDisconnect

from api.access import Viewer, find_again
from api.errors import SESSION_OVER
from core.database import is_outage

if TYPE_CHECKING:
    from api.context import Context

# How long a socket may outlive its session's end, where that did not happen in this process.
_RECHECK_S = 30.0
_CLOSE_S = 1.0
RIGHTS_CHANGED = 4409


class Sockets:
    """The open WebSockets of the process by session."""

    def __init__(self) -> None:
        self._ends: dict[str, set[asyncio.Event]] = defaultdict(set)

    def end_session(self, token_sha256: str) -> None:
        """Close what the session has open here."""
        for end in self._ends.get(token_sha256, ()):
            end.set()

    async def attend(
        self,
        socket: WebSocket,
        viewer: Viewer,
        context: Context,
        serving: Coroutine[Any, Any, None],
        *,
        hear: Callable[[str], None] | None = None,
    ) -> None:
        """Run `serving` until it ends, the client leaves or the session is over; the socket is closed afterwards.

        `hear` is given every text that the client sends; without it they are dropped.
        """
        end = asyncio.Event()
        self._ends[viewer.token_sha256].add(end)
        serve = asyncio.create_task(serving)
        gone = asyncio.create_task(_gone(socket, hear))
        over = asyncio.create_task(_over(viewer, context, end))
        tasks = {serve, gone, over}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            self._ends[viewer.token_sha256].discard(end)
            if not self._ends[viewer.token_sha256]:
                del self._ends[viewer.token_sha256]
        left = (WebSocketDisconnect, asyncio.CancelledError)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, left):
                raise result
        if over.done() and not over.cancelled():
            await close(socket, *over.result())
        elif not gone.done() or gone.cancelled():
            await close(socket, 1000, "")


async def close(socket: WebSocket, code: int, reason: str) -> None:
    """Close, unless it is closed already.

    A socket whose client reads nothing takes no close frame either: the server cuts it off when its route ends.
    """
    with contextlib.suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
        async with asyncio.timeout(_CLOSE_S):
            await socket.close(code, reason)


async def _gone(socket: WebSocket, hear: Callable[[str], None] | None) -> None:
    """Return when the client has left."""
    while (message := await socket.receive())["type"] != "websocket.disconnect":
        if hear is not None:
            hear(message.get("text") or "")


async def _over(viewer: Viewer, context: Context, end: asyncio.Event) -> tuple[int, str]:
    """The close code and reason, when the session has ended or the person's sites are other ones."""
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_RECHECK_S):
                await end.wait()
                return SESSION_OVER, "unauthenticated"
        try:
            now = await find_again(context, viewer)
        except psycopg.Error as error:
            # While the database is away nobody can be asked: whoever was let in stays.
            if not is_outage(error):
                raise
            continue
        if now is None:
            return SESSION_OVER, "unauthenticated"
        if now.scope != viewer.scope or now.rights != viewer.rights:
            return RIGHTS_CHANGED, "rights_changed"
