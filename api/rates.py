"""How many requests one caller may make: whoever asks too fast is told when to come again, and slows nobody else.

A caller is a session or a token that was found good; everybody else, failed log-ins and guessed tokens included, is an
address. So a flood of strangers behind one router costs those who are logged in there nothing. Counted in memory, in
each process for itself; messages of WebSockets are not counted, their opening is.
"""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from dataclasses import dataclass

from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from alerts.notices import links
from api.access import credential_of
from api.errors import RateLimited, answer
from api.metrics import RATE_LIMITED
from core.clock import Clock
from core.settings import ApiSettings

# Files of the page cost less than counting; load balancers and Prometheus have to be answered in any case.
_COUNTED = ("/api/", links.PATH)
# Beyond so many the caller that was silent longest is forgotten, and begins anew.
_MOST = 10_000
_IPV6_NETWORK = 64


@dataclass(frozen=True, slots=True)
class Rate:
    """`per_s` requests a second for ever, `burst` at once after a pause; 0 a second: no limit."""

    per_s: float
    burst: int


class Buckets:
    """One leaky bucket a key (GCRA, as in ATM Forum TM 4.1): a number says when the bucket will be empty again."""

    def __init__(self, rate: Rate, most: int = _MOST) -> None:
        self._rate = rate
        self._most = most
        self._empty_at: OrderedDict[str, float] = OrderedDict()

    def __contains__(self, key: str) -> bool:
        return key in self._empty_at

    def __len__(self) -> int:
        return len(self._empty_at)

    def add(self, key: str) -> None:
        """Know the key from now on."""
        self._store(key, self._empty_at.get(key, 0.0))

    def take(self, key: str, now: float) -> float:
        """Count one request at `now` (monotonic seconds); 0, or after how many seconds the next one would be let in."""
        if not self._rate.per_s:
            return 0.0
        step = 1 / self._rate.per_s
        empty_at = max(self._empty_at.get(key, 0.0), now) + step
        over = empty_at - now - self._rate.burst * step
        # Floats: the last of a burst must not fail by a rounding.
        if over > step * 1e-6:
            return over
        self._store(key, empty_at)
        return 0.0

    def _store(self, key: str, empty_at: float) -> None:
        self._empty_at[key] = empty_at
        self._empty_at.move_to_end(key)
        if len(self._empty_at) > self._most:
            self._empty_at.popitem(last=False)


class Rates:
    """The callers of the process."""

    def __init__(self, settings: ApiSettings, *, clock: Clock) -> None:
        self._clock = clock
        self._callers = Buckets(Rate(settings.caller_requests_s, settings.caller_burst))
        self._addresses = Buckets(Rate(settings.address_requests_s, settings.address_burst))

    def know(self, credential: str) -> None:
        """The session or token (its digest) was found good: from now on it is counted by itself."""
        self._callers.add(credential)

    def check(self, connection: HTTPConnection) -> None:
        """Count the request; raise RateLimited where its caller asks too fast."""
        credential = credential_of(connection)
        if credential in self._callers:
            wait, who = self._callers.take(credential, self._clock.monotonic()), "caller"
        else:
            wait, who = self._addresses.take(_network(connection), self._clock.monotonic()), "address"
        if wait:
            RATE_LIMITED.labels(who).inc()
            whose = "this session or token" if who == "caller" else "this address, without a session or token,"
            raise RateLimited(f"{whose} asks too often", retry_after_s=math.ceil(wait))


def _network(connection: HTTPConnection) -> str:
    """The address; of IPv6 the network, since one host has all of it to choose from."""
    host = connection.client.host if connection.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, _IPV6_NETWORK), strict=False))
    return host


class RateLimits:
    """Refuses the requests of callers that ask too fast, before anything is looked up for them."""

    def __init__(self, app: ASGIApp, rates: Rates) -> None:
        self._app = app
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not scope.get("path", "").startswith(_COUNTED):
            await self._app(scope, receive, send)
            return
        websocket = scope["type"] == "websocket"
        connection = WebSocket(scope, receive, send) if websocket else Request(scope, receive)
        try:
            self._rates.check(connection)
        except RateLimited as error:
            response = await answer(connection, error)
            if response is not None:
                await response(scope, receive, send)
            return
        await self._app(scope, receive, send)
