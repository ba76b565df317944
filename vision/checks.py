"""Checks of cameras that people ask for on the page: claimed in the database by any worker, one at a time in each."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from core.child import child
from core.clock import Clock
from core.database import Reconnecting, is_outage
from core.settings import CameraSettings, DatabaseSettings, VisionSettings
from core.sql import queries
from vision.check_process import Answer, Order
from vision.options import InvalidOptions, camera_settings

logger = logging.getLogger(__name__)

_SQL = queries(__package__)
_LOOK_S = 1.0
_WATCH_S = 5.0
# Beyond watching and the camera's time-outs: to start the process and load the model, also on a busy machine.
_PATIENCE_S = 60.0
_WRITTEN_S = 10.0
_MOST_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Claim:
    """A check that is this worker's; `options` None: they are not usable."""

    camera_id: int
    asked_at: datetime
    url: str
    options: CameraSettings | None

    @property
    def budget_s(self) -> float:
        """The longest that it may take."""
        waits = 0.0 if self.options is None else self.options.open_timeout_s + 2 * self.options.read_timeout_s
        return _WATCH_S + waits + _PATIENCE_S


class Checks:
    """One worker's part in them."""

    def __init__(self, database: DatabaseSettings, vision: VisionSettings, *, worker: str, clock: Clock) -> None:
        self._vision = vision
        self._worker = worker
        self._clock = clock
        self._keeper = Reconnecting(database, application=f"{worker} checks", clock=clock)

    async def run(self) -> None:
        """Look for work every second until cancelled; a check that is under way then is left, and told as lost."""
        try:
            while True:
                await self._clock.sleep(_LOOK_S)
                try:
                    if claim := await self._claim():
                        await self._write(claim, *await self._made(claim))
                except psycopg.Error as error:
                    # One that was claimed and is not written is told as lost when its time is up.
                    if not is_outage(error):
                        raise
        finally:
            await self._keeper.close()

    async def _claim(self) -> Claim | None:
        async with self._keeper.connection() as connection, connection.transaction():
            cursor = connection.cursor(row_factory=dict_row)
            found = await (await cursor.execute(_SQL["check_next"], {"now": self._clock.now()})).fetchone()
            if found is None:
                return None
            options = None
            # What the registry holds may be older than the limits of today.
            with contextlib.suppress(InvalidOptions):
                options = camera_settings(self._vision.camera, found["options"])
            claim = Claim(found["camera_id"], found["asked_at"], found["url"], options)
            now = self._clock.now()
            due = now + timedelta(seconds=claim.budget_s + _WRITTEN_S)
            values = {"camera_id": claim.camera_id, "worker": self._worker, "now": now, "due_at": due}
            await cursor.execute(_SQL["check_claim"], values)
            return claim

    async def _made(self, claim: Claim) -> tuple[str, Answer | None]:
        """The answer, or the code of what kept the check from being made."""
        if claim.options is None:
            return "invalid_options", None
        order = Order(claim.url, claim.options.model_dump(mode="json"), self._vision.model_dump(mode="json"), _WATCH_S)
        try:
            async with asyncio.timeout(claim.budget_s):
                output = await _asked(msgspec.json.encode(order) + b"\n")
        except TimeoutError:
            logger.warning("check of a camera took too long", extra={"camera": claim.camera_id})
            return "check_hung", None
        try:
            return "", msgspec.json.decode(output, type=Answer)
        except msgspec.DecodeError:
            logger.warning("check of a camera ended without an answer", extra={"camera": claim.camera_id})
            return "check_died", None

    async def _write(self, claim: Claim, error: str, answer: Answer | None) -> None:
        values: dict[str, Any] = {"report": None, "picture": None, "blurred": None}
        if answer is not None:
            pictures = {name: base64.b64decode(getattr(answer, name)) or None for name in ("picture", "blurred")}
            values = {"report": Jsonb(answer.report), **pictures}
        values |= {"camera_id": claim.camera_id, "asked_at": claim.asked_at, "now": self._clock.now(), "error": error}
        async with self._keeper.connection() as connection:
            await connection.execute(_SQL["check_end"], values)


async def _asked(order: bytes) -> bytes:
    """What the process answers; it is gone when this returns, whatever it hangs in."""
    async with child("vision.check_process", limit=_MOST_BYTES) as process:
        process.orders.write(order)
        return await process.answers.read()
