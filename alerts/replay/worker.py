"""Trials of rules on history that people ask for: claimed by one alerts process, made in a process beside it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from typing import Any

import msgspec
import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from alerts.replay.trial_process import Answer, Order
from core.child import child
from core.clock import Clock
from core.database import Reconnecting, is_outage
from core.settings import Settings
from core.sql import queries

logger = logging.getLogger(__name__)

_SQL = queries("alerts")
_LOOK_S = 1.0
_SIGN_S = 30.0
"""Seconds without a sign of life after which a trial is told as lost."""
_MOST_BYTES = 4 * 1024 * 1024


class Trials:
    """One after the other. One that its person has given up, or asked for anew, ends at the next sign of life."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._keeper = Reconnecting(settings.database, application="rule trials", clock=clock)

    async def run(self, stop: asyncio.Event) -> None:
        """Look for work every second until `stop`; a trial under way then is left, and told as lost."""
        halt = asyncio.create_task(stop.wait())
        work = asyncio.create_task(self._work())
        try:
            await asyncio.wait({halt, work}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        finally:
            halt.cancel()
            work.cancel()
            await asyncio.gather(halt, work, return_exceptions=True)
            await self._keeper.close()

    async def _work(self) -> None:
        while True:
            await self._clock.sleep(_LOOK_S)
            try:
                while claimed := await self._claim():
                    await self._make(claimed)
            except psycopg.Error as error:
                if not is_outage(error):
                    raise

    async def _claim(self) -> dict[str, Any] | None:
        async with self._keeper.connection() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            values = {"now": self._clock.now(), "worker": self._settings.alerts.worker, "due_at": self._due()}
            return await (await cursor.execute(_SQL["rule_trial_claim"], values)).fetchone()

    async def _make(self, claimed: dict[str, Any]) -> None:
        last = Answer(0)
        try:
            async with (
                asyncio.timeout(self._settings.alerts.trial.at_most_s),
                contextlib.aclosing(_answers(await self._order(claimed))) as answers,
            ):
                async for last in answers:
                    if not await self._sign(claimed, last):
                        return
        except TimeoutError:
            await self._sign(claimed, Answer(last.progress, error="trial_too_long"))
            return
        if last.report is None and not last.error:
            logger.warning("trial of rules ended without an answer", extra={"asked_by": claimed["asked_by"]})
            await self._sign(claimed, Answer(last.progress, error="trial_died"))

    async def _order(self, claimed: dict[str, Any]) -> Order:
        async with self._keeper.connection() as connection:
            rows = await (await connection.execute(_SQL["rules_in_force_of"], {"rules": claimed["rules"]})).fetchall()
        database = self._settings.database
        return Order(
            database={
                "url": None if database.url is None else database.url.get_secret_value(),
                "connect_timeout_s": database.connect_timeout_s,
            },
            kinds_dir=None if self._settings.kinds_dir is None else str(self._settings.kinds_dir),
            text=claimed["text"],
            current=[definition for (definition,) in rows],
            site=claimed["site"],
            start=claimed["starts_at"],
            end=claimed["ends_at"],
            at_most=self._settings.alerts.trial.readings,
        )

    async def _sign(self, claimed: dict[str, Any], answer: Answer) -> bool:
        """Store how far it is; False where nobody waits for it any more."""
        ended = answer.report is not None or bool(answer.error)
        values = {
            "asked_by": claimed["asked_by"],
            "asked_at": claimed["asked_at"],
            "progress": answer.progress,
            "due_at": self._due(),
            "ended_at": self._clock.now() if ended else None,
            "error": answer.error,
            "report": None if answer.report is None else Jsonb(answer.report),
        }
        async with self._keeper.connection() as connection:
            return (await connection.execute(_SQL["rule_trial_sign"], values)).rowcount > 0

    def _due(self) -> datetime:
        return self._clock.now() + timedelta(seconds=_SIGN_S)


async def _answers(order: Order) -> AsyncGenerator[Answer, None]:
    """What the process tells, with its last word again every few seconds while it computes; it is gone at the end."""
    async with child("alerts.replay.trial_process", limit=_MOST_BYTES) as process:
        process.orders.write(msgspec.json.encode(order) + b"\n")
        last = Answer(0)
        reading = asyncio.ensure_future(process.answers.readline())
        try:
            while True:
                done, _ = await asyncio.wait({reading}, timeout=_LOOK_S)
                if done:
                    line = reading.result()
                    if not line:
                        return
                    last = msgspec.json.decode(line, type=Answer)
                    reading = asyncio.ensure_future(process.answers.readline())
                yield last
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
