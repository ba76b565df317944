"""A sandbox regulator on a free port, in the test's own event loop; it can be killed and started again."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import httpx
from standardwebhooks import Webhook

from core.clock import Clock, SystemClock
from smartsite.regulator.app import create_app
from smartsite.regulator.connections import http_server
from smartsite.regulator.signature import secret_bytes
from smartsite.regulator.store import Store
from tests.support.ports import free_port

CLIENT = "city-1"
SECRET = "whsec_" + base64.b64encode(b"a secret of the tests, 32 bytes!").decode()


class Sandbox:
    """One regulator: its folder and port stay through `stop` and `start`."""

    def __init__(self, folder: Path, *, clock: Clock | None = None, seed: int = 1) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._clock = clock or SystemClock()
        self._seed = seed
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.store = Store(self._folder)
        app = create_app(self.store, {CLIENT: secret_bytes(SECRET)}, clock=self._clock, random=Random(self._seed))
        self._server = http_server(app, host="127.0.0.1", port=self.port)
        self._task = asyncio.create_task(self._server._serve())
        while not self._server.started:
            if self._task.done():
                self._task.result()
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Go away at once, with whatever is in flight."""
        if self._task is not None:
            self._server.should_exit = self._server.force_exit = True
            await self._task
            self._task = None
            self.store.close()

    @property
    def waiting(self) -> bool:
        """Whether it holds a call that it has not answered."""
        return bool(self._server.server_state.tasks)

    def behave(self, **switches: Any) -> None:
        """Set these switches, the others to their defaults."""
        self.store.behaviour = self.store.behaviour.model_validate(switches)

    def received(self) -> list[dict[str, Any]]:
        """One item an idempotency key, in order of arrival."""
        return self.store.received(after=0, limit=10_000, now_ms=int(self._clock.now().timestamp() * 1000))


@contextlib.asynccontextmanager
async def sandbox(folder: Path, *, clock: Clock | None = None, seed: int = 1) -> AsyncIterator[Sandbox]:
    """A running sandbox regulator that knows one client."""
    running = Sandbox(folder, clock=clock, seed=seed)
    await running.start()
    try:
        yield running
    finally:
        await running.stop()


def violation(**changes: Any) -> dict[str, Any]:
    """A valid request body; `changes` replace fields at its top level."""
    return {
        "phase": "raise",
        "alert": {"id": 7, "rule": "pm10-high", "rule_version": 1, "kind": "threshold", "severity": "major"},
        "site": {
            "code": "east",
            "name": "东区一号工地",
            "project_code": "5101072608010101",
            "permit_number": "510107202608010101",
            "supervision_number": "",
            "region_code": "510107",
        },
        "subject": {"type": "device", "code": "dust-1", "name": "扬尘站", "record_number": "", "factory": ""},
        "metric": "pm10",
        "unit": "µg/m³",
        "limit": 150.0,
        "first_value": 163.5,
        "max_value": 163.5,
        "started_at": "2026-08-01T16:00:00+08:00",
        "ended_at": None,
        "quality": {},
        "evidence": [],
        "amendment": 0,
        **changes,
    }


def signed(body: bytes, *, key: str, at_s: int, secret: str = SECRET, client: str = CLIENT) -> dict[str, str]:
    """Headers made by the independent implementation of Standard Webhooks."""
    return {
        "content-type": "application/json",
        "x-client-id": client,
        "webhook-id": key,
        "webhook-timestamp": str(at_s),
        "webhook-signature": Webhook(secret).sign(key, datetime.fromtimestamp(at_s, UTC), body.decode()),
    }


async def report(client: httpx.AsyncClient, content: dict[str, Any], *, key: str, at_s: int) -> httpx.Response:
    """Post a violation as a registered sender does."""
    body = json.dumps(content).encode()
    return await client.post("/api/v1/violations", content=body, headers=signed(body, key=key, at_s=at_s))
