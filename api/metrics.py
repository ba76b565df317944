"""Figures of the API for Prometheus."""

from __future__ import annotations

import time

from prometheus_client import Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUESTS = Histogram(
    "smartsite_api_request_seconds",
    "Time to answer HTTP requests.",
    ["method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
LIVE_CLIENTS = Gauge("smartsite_api_live_clients", "Open live connections.", multiprocess_mode="livesum")
LIVE_BATCHES = Counter("smartsite_api_live_batches_total", "Batches of changes put together for live clients.")
LIVE_DROPPED = Counter("smartsite_api_live_dropped_total", "Live clients dropped because they read too slowly.")
RATE_LIMITED = Counter(
    "smartsite_api_rate_limited_total", "Requests refused because their caller asked too often.", ["by"]
)
VIDEO_WATCHED = Gauge(
    "smartsite_api_video_watched",
    "Cameras watched, by form and over all viewers.",
    ["form"],
    multiprocess_mode="livesum",
)
VIDEO_LOST = Counter("smartsite_api_video_lost_total", "Messages of cameras left out because a viewer read too slowly.")
RELAYS_FAILED = Counter(
    "smartsite_api_relays_failed_total", "Streams of cameras that ended of a fault inside, each time.", ["form"]
)


class Measured:
    """Counts and times every HTTP request by its route."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            # The route's pattern, never the path: paths are without number.
            route = getattr(scope.get("route"), "path", "other")
            REQUESTS.labels(scope["method"], route, status).observe(time.perf_counter() - started)
