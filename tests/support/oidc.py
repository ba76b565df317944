"""A small OpenID Connect provider on a free port: it lets in whom the test says, at once, and can be made to lie."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from joserfc import jwt
from joserfc.jwk import RSAKey

from core.clock import Clock
from smartsite.regulator.connections import http_server
from tests.support.ports import free_port

CLIENT = "smartsite"
SECRET = "a-secret-of-the-tests"


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class Idp:
    """The provider. `claims` is who is logged in there; `twist` may change an ID token's claims before it is signed."""

    clock: Clock
    claims: dict[str, Any] = field(default_factory=lambda: {"sub": "s-1", "preferred_username": "officer"})
    userinfo: dict[str, Any] = field(default_factory=dict)
    twist: Callable[[dict[str, Any]], None] = lambda claims: None
    sign: Callable[[dict[str, Any]], str] | None = None
    """Makes the ID token instead of the provider's own key."""
    denies: str = ""
    """The error that is sent back instead of a code."""
    refuses: str = ""
    """The error of the token endpoint."""
    changes: dict[str, Any] = field(default_factory=dict)
    """What the discovery document says otherwise."""
    held: asyncio.Event | None = None
    """The discovery document comes when this is set."""
    secret: str = SECRET
    host: str = "127.0.0.1"
    page: bool = False
    """Shows a page of its own that leads back, as a form with a password does: another site sends the browser."""

    def __post_init__(self) -> None:
        self.port = free_port()
        self.url = f"http://{self.host}:{self.port}"
        self.key = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256", "kid": "k-1"})
        self.asked: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}
        self.app = FastAPI()
        self.app.get("/.well-known/openid-configuration")(self._discovery)
        self.app.get("/jwks")(self._jwks)
        self.app.get("/authorize")(self._authorize)
        self.app.post("/token")(self._token)
        self.app.get("/userinfo")(self._userinfo)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serves until left; port and keys stay, so that it can come back."""
        server = http_server(self.app, host="127.0.0.1", port=self.port)
        task = asyncio.create_task(server._serve())
        while not server.started:
            if task.done():
                task.result()
            await asyncio.sleep(0.005)
        try:
            yield
        finally:
            server.should_exit = server.force_exit = True
            await task

    def turn_keys(self, kid: str) -> None:
        """Sign with another key from now on; the old one is withdrawn."""
        self.key = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256", "kid": kid})

    async def _discovery(self) -> dict[str, Any]:
        self.asked.append("discovery")
        if self.held is not None:
            await self.held.wait()
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
            "authorization_response_iss_parameter_supported": True,
        } | self.changes

    async def _jwks(self) -> dict[str, Any]:
        self.asked.append("jwks")
        return {"keys": [self.key.as_dict(private=False)]}

    async def _authorize(self, request: Request) -> Response:
        query = dict(request.query_params)
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT
        assert "openid" in query["scope"].split()
        assert query["code_challenge_method"] == "S256"
        back = {"state": query["state"], "iss": self.url}
        if self.denies:
            back |= {"error": self.denies, "error_description": "<b>words of the provider</b>"}
        else:
            code = secrets.token_urlsafe(16)
            self._codes[code] = query
            back["code"] = code
        address = f"{query['redirect_uri']}?{urlencode(back)}"
        if self.page:
            script = f"<script>location.href = {json.dumps(address)}</script>"
            return HTMLResponse(f"<!doctype html><title>IdP</title><link rel='icon' href='data:,'>{script}")
        return RedirectResponse(address, 302)

    async def _token(self, request: Request) -> JSONResponse:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        basic = base64.b64encode(f"{CLIENT}:{self.secret}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {basic}":
            return JSONResponse({"error": "invalid_client", "error_description": f"not {SECRET}"}, 401)
        if self.refuses:
            return JSONResponse({"error": self.refuses}, 400)
        asked = self._codes.pop(form.get("code", ""), None)
        challenge = _base64(_hash(form.get("code_verifier", "")))
        if (
            asked is None
            or form["grant_type"] != "authorization_code"
            or form["redirect_uri"] != asked["redirect_uri"]
            or challenge != asked["code_challenge"]
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        access = secrets.token_urlsafe(16)
        now = int(self.clock.now().timestamp())
        claims = {
            "iss": self.url,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            "at_hash": _base64(_hash(access)[:16]),
            **self.claims,
        }
        self.twist(claims)
        token = self.sign(claims) if self.sign else self.signed(claims)
        return JSONResponse({"access_token": access, "token_type": "Bearer", "expires_in": 300, "id_token": token})

    def signed(self, claims: dict[str, Any]) -> str:
        """An ID token with the provider's key."""
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, self.key)

    async def _userinfo(self, request: Request) -> JSONResponse:
        self.asked.append("userinfo")
        assert request.headers["authorization"].startswith("Bearer ")
        return JSONResponse(self.userinfo)
