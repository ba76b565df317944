"""Stand-ins for two regulators' APIs, written from their descriptions and without any part of the adapter.

Each checks what it is sent as its regulator would, keeps it, and answers in its regulator's words.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from smartsite.regulator.connections import http_server
from tests.support.ports import free_port


@contextlib.asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """The address of a running app."""
    port = free_port()
    server = http_server(app, host="127.0.0.1", port=port)
    task = asyncio.create_task(server._serve())
    while not server.started:
        if task.done():
            task.result()
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = server.force_exit = True
        await task


async def _form(request: Request) -> dict[str, str]:
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    return {name: values[0] for name, values in parse_qs((await request.body()).decode(), True).items()}


class TokenRegulator:
    """OAuth 2 client credentials, then `params=<JSON>`; codes in `status.code`."""

    def __init__(self) -> None:
        self.tokens = 0
        self.lifetime_s: int | None = 43_200
        self.refuse_tokens: set[str] = set()
        self.answers: list[int] = []
        self.taken: list[tuple[str, dict[str, Any]]] = []
        self.app = FastAPI()
        self.app.post("/oauth/token")(self._token)
        self.app.post("/rest/{service}/{method}")(self._push)

    async def _token(self, request: Request) -> JSONResponse:
        form = await _form(request)
        if form != {"grant_type": "client_credentials", "client_id": "c-1", "client_secret": "s/3 cret"}:
            return JSONResponse({"error": "invalid_client"}, 401)
        self.tokens += 1
        answer: dict[str, Any] = {"access_token": f"token-{self.tokens}", "token_type": "bearer"}
        if self.lifetime_s is not None:
            answer["expires_in"] = self.lifetime_s
        return JSONResponse(answer)

    async def _push(self, request: Request, service: str, method: str) -> JSONResponse:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or token != f"token-{self.tokens}" or token in self.refuse_tokens:
            return JSONResponse({"status": {"code": 401, "message": "token"}}, 200)
        form = await _form(request)
        assert list(form) == ["params"]
        code = self.answers.pop(0) if self.answers else 0
        if code == 0:
            self.taken.append((f"{service}/{method}", json.loads(form["params"])))
        return JSONResponse({"status": {"code": code, "message": f"said {code}"}})


class SignedRegulator:
    """A sorted, lower-cased query with the secret at its end, digested by SHA-256; results by serial number."""

    def __init__(self, *, now: str) -> None:
        self.now = now
        self.nonces: set[str] = set()
        self.records: dict[str, dict[str, Any]] = {}
        self.states: dict[str, tuple[str, str]] = {}
        self.answers: list[str] = []
        self.app = FastAPI()
        self.app.post("/open.api")(self._call)

    async def _call(self, request: Request) -> JSONResponse:
        form = await _form(request)
        sign = form.pop("sign", "")
        text = "&".join(f"{name}={form[name]}" for name in sorted(form)) + "&appsecret=s/3 cret"
        if hashlib.sha256(text.lower().encode()).hexdigest() != sign:
            return JSONResponse({"code": "10", "message": "bad sign"})
        if form["appid"] != "c-1" or form["timestamp"] != self.now:
            return JSONResponse({"code": "40", "message": f"timestamp {form['timestamp']}, here it is {self.now}"})
        if form["nonce"] in self.nonces:
            return JSONResponse({"code": "98", "message": "nonce used"})
        self.nonces.add(form["nonce"])
        data = json.loads(form["data"])
        if form["method"] == "AsyncHandleResult.Query":
            state, told = self.states.get(data["requestSerialCode"], ("10", ""))
            return JSONResponse({"code": "0", "data": {"status": state, "result": told}})
        assert form["method"] == "SiteAlarm.Add"
        code = self.answers.pop(0) if self.answers else "0"
        serial = f"S{len(self.records) + 1}"
        if code == "0":
            self.records[serial] = data
        return JSONResponse({"code": code, "message": f"said {code}", "data": {"requestSerialCode": serial}})
