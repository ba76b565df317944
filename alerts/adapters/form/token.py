"""The bearer token of OAuth 2 client credentials (RFC 6749, 4.4): fetched when needed, renewed before it ends."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from urllib.parse import urlencode

import httpx

from alerts.adapters.base import Outcome, OutcomeKind
from alerts.adapters.exchange import basic, exchange, refusal
from alerts.adapters.form.options import OAuth2Auth
from alerts.adapters.form.pointer import at, json_of
from core.clock import Clock


class Tokens:
    """One target's token, shared by its calls."""

    def __init__(
        self, auth: OAuth2Auth, *, url: str, client_id: str, secret: str, timeout_s: float, clock: Clock
    ) -> None:
        self._auth = auth
        self._url = url
        self._client_id = client_id
        self._secret = secret
        self._timeout_s = timeout_s
        self._clock = clock
        self._turn = asyncio.Lock()
        self._token = ""
        self._until = 0.0

    def drop(self, token: str) -> bool:
        """Forget a token that was refused; False where it is not the present one: another call has renewed it."""
        if token != self._token:
            return False
        self._token = ""
        return True

    async def get(self, client: httpx.AsyncClient) -> str | Outcome:
        """The token, or why there is none. A violation was not sent then, whatever became of this call."""
        async with self._turn:
            if self._token and self._clock.monotonic() < self._until:
                return self._token
            return await self._fetch(client)

    async def renew(self, client: httpx.AsyncClient) -> Outcome:
        """Fetch a new token whatever there is: accepted, or why there is none, and the present one stays."""
        async with self._turn:
            fetched = await self._fetch(client)
        return fetched if isinstance(fetched, Outcome) else Outcome(kind="accepted")

    async def _fetch(self, client: httpx.AsyncClient) -> str | Outcome:
        auth = self._auth
        fields = {"grant_type": "client_credentials", **auth.fields}
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        if auth.client_in == "basic":
            headers["authorization"] = basic(self._client_id, self._secret)
        else:
            fields |= {"client_id": self._client_id, "client_secret": self._secret}
        began = self._clock.monotonic()
        answer = await exchange(
            client,
            "POST",
            self._url + auth.path,
            headers=headers,
            content=urlencode(fields).encode(),
            timeout_s=self._timeout_s,
            masked=frozenset({"authorization"}),
            clock=self._clock,
            hidden=[self._secret],
        )
        if isinstance(answer, Outcome):
            return _without_token(answer)
        refused = refusal(answer, now=self._clock.now())
        if refused is not None:
            return _without_token(refused)
        body = json_of(answer.body)
        token = at(body, auth.token)
        if not isinstance(token, str) or not token:
            # The answer is not kept: it may hold the token in another place.
            reason = f"no token: the answer holds none at {auth.token}"
            return Outcome(kind="config_error", reason=reason, status=answer.status, request=answer.request)
        lasts = at(body, auth.expires_in)
        lifetime_s = float(lasts) if isinstance(lasts, int | float) and lasts > 0 else auth.lifetime_s
        self._token = token
        # One that is shorter than the margin is used for half its life.
        self._until = began + max(lifetime_s - auth.renew_before_s, lifetime_s / 2)
        return token


def _without_token(outcome: Outcome) -> Outcome:
    kind: OutcomeKind = "config_error" if outcome.kind == "config_error" else "temporary"
    return replace(outcome, kind=kind, reason=f"no token: {outcome.reason}"[:500])
