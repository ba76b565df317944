"""The scripted reviewer: a person of the demo who looks at the vision alerts of a site under review, and confirms them.

It does what a browser does, through the HTTP API and with a log-in of its own; nothing is written past the API.
"""

from __future__ import annotations

import logging
from typing import Any

import httpx

from core.clock import Clock
from core.errors import ConfigurationError

logger = logging.getLogger(__name__)

_LOOK_S = 1.0
_TIMEOUT_S = 10.0
_UNAUTHENTICATED = 401
_CONFLICT = 409


class Reviewer:
    """Confirms every vision alert of one site that has no verdict; ``reviewed`` are the numbers of those it decided."""

    def __init__(self, *, url: str, login: str, password: str, site: str, clock: Clock) -> None:
        self._url = url
        self._login = login
        self._password = password
        self._site = site
        self._clock = clock
        self.reviewed: list[int] = []

    async def run(self) -> None:
        """Looks once a second until it is cancelled; logs in again whenever the API has forgotten it."""
        while True:
            try:
                async with httpx.AsyncClient(base_url=self._url, timeout=_TIMEOUT_S) as client:
                    await self._log_in(client)
                    site = await self._site_id(client)
                    while True:
                        await self._look(client, site)
                        await self._clock.sleep(_LOOK_S)
            except httpx.TransportError as error:
                logger.debug("api is away", extra={"error": str(error)})
            except httpx.HTTPStatusError as error:
                # Its log-in went with a restart, or the database is away for a moment.
                if error.response.status_code != _UNAUTHENTICATED and not error.response.is_server_error:
                    raise
            await self._clock.sleep(_LOOK_S)

    async def _log_in(self, client: httpx.AsyncClient) -> None:
        answer = await client.post("/api/v1/session", json={"login": self._login, "password": self._password})
        if answer.status_code == _UNAUTHENTICATED:
            raise ConfigurationError(
                f"the reviewer cannot log in as {self._login}", hint="provision the demo sites again"
            )
        client.headers["X-CSRF-Token"] = _items(answer)["csrf"]

    async def _site_id(self, client: httpx.AsyncClient) -> int:
        sites = _items(await client.get("/api/v1/sites"))["items"]
        for site in sites:
            if site["code"] == self._site:
                return int(site["id"])
        raise ConfigurationError(
            f"the reviewer does not see the site {self._site}", hint="provision the demo sites again"
        )

    async def _look(self, client: httpx.AsyncClient, site: int) -> None:
        page = _items(await client.get("/api/v1/alerts", params={"state": "all", "site_id": site, "limit": 50}))
        for alert in page["items"]:
            if alert["rule_kind"] != "vision" or alert["verdict"] is not None:
                continue
            answer = await client.post(
                f"/api/v1/alerts/{alert['id']}/review",
                json={"verdict": "confirmed", "reason": "bare head in the picture"},
            )
            if answer.status_code == _CONFLICT:  # somebody at the page was quicker
                continue
            _items(answer)
            self.reviewed.append(alert["id"])
            logger.info("reviewed", extra={"alert": alert["id"]})


def _items(answer: httpx.Response) -> dict[str, Any]:
    """The body of a good answer; raises httpx.HTTPStatusError for any other."""
    answer.raise_for_status()
    body: dict[str, Any] = answer.json()
    return body
