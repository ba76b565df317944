"""Test calls of targets that people ask for on the page: claimed by any delivery worker, made as it would deliver."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import httpx
import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from alerts.adapters.base import Adapter
from alerts.trial import Trial
from core.clock import Clock
from core.database import Reconnecting, is_outage
from core.settings import Settings, TargetSettings
from core.sql import queries

logger = logging.getLogger(__name__)

_SQL = queries("alerts")
_LOOK_S = 1.0
_WRITTEN_S = 10.0


class Checks:
    """One worker's part in them; each runs beside the others, so that a target that hangs holds up no other's test."""

    def __init__(
        self,
        settings: Settings,
        speaking: Sequence[tuple[TargetSettings, Adapter]],
        *,
        client: httpx.AsyncClient,
        trust: ssl.SSLContext,
        clock: Clock,
    ) -> None:
        self._worker = settings.alerts.worker
        self._speaking = {target.name: (target, adapter) for target, adapter in speaking}
        self._client = client
        self._trust = trust
        self._clock = clock
        self._keeper = Reconnecting(settings.database, application=f"{self._worker} test calls", clock=clock)

    async def run(self) -> None:
        """Look for work every second until cancelled; a test under way then is left, and told as lost."""
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    await self._clock.sleep(_LOOK_S)
                    try:
                        while claimed := await self._claim():
                            group.create_task(self._make(*claimed), name=f"test call of {claimed[0]}")
                    except psycopg.Error as error:
                        if not is_outage(error):
                            raise
        finally:
            await self._keeper.close()

    async def _claim(self) -> tuple[str, datetime] | None:
        async with self._keeper.connection() as connection, connection.transaction():
            cursor = connection.cursor(row_factory=dict_row)
            wanted: dict[str, Any] = {"now": self._clock.now(), "targets": list(self._speaking)}
            found = await (await cursor.execute(_SQL["target_check_next"], wanted)).fetchone()
            if found is None:
                return None
            target, _ = self._speaking[found["target"]]
            due = self._clock.now() + timedelta(seconds=Trial.longest_s(target) + _WRITTEN_S)
            values = {"target": target.name, "worker": self._worker, "now": self._clock.now(), "due_at": due}
            await cursor.execute(_SQL["target_check_claim"], values)
            return target.name, found["asked_at"]

    async def _make(self, name: str, asked_at: datetime) -> None:
        target, adapter = self._speaking[name]
        trial = Trial(target, adapter, client=self._client, trust=self._trust, clock=self._clock)
        report = Jsonb([asdict(step) for step in await trial.run()])
        values = {"target": name, "asked_at": asked_at, "now": self._clock.now(), "report": report}
        try:
            async with self._keeper.connection() as connection:
                await connection.execute(_SQL["target_check_end"], values)
        except psycopg.Error as error:
            # It is told as lost when its time is up.
            if not is_outage(error):
                raise
            logger.warning("the result of a test call was lost", extra={"target": name})
