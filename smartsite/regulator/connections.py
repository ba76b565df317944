"""The HTTP server of the sandbox, which can cut a connection instead of answering."""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from uvicorn.protocols.http.h11_impl import H11Protocol

_TRANSPORT = "smartsite.transport"


class CuttableProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, with the connection's transport within an endpoint's reach."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state: dict[str, Any] = {**self.app_state, _TRANSPORT: transport}


def cut_connection(request: Request) -> bool:
    """Cut the request's connection at once, as a crash would; False where the server is not ours."""
    transport = request.scope.get("state", {}).get(_TRANSPORT)
    if transport is None:
        return False
    transport.abort()
    return True


def http_server(app: FastAPI, *, host: str, port: int) -> uvicorn.Server:
    """A server that is not started yet; port 0 takes a free one."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            http=CuttableProtocol,
            # The sandbox tells the time of its own clock, which a test may set.
            date_header=False,
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            timeout_graceful_shutdown=2,
        )
    )
