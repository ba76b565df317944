"""One person's hand on one camera: wishes in, orders out, and a stop behind every movement."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Literal, Protocol

import psycopg

from core.clock import Clock
from core.database import is_outage
from core.tasks import first
from vision.onvif import Velocity
from vision.soap import OnvifError

logger = logging.getLogger(__name__)

TIMEOUT_S = 2.0
"""After so long the camera itself ends a movement that nobody renews."""
REFRESH_S = 0.8
DEADMAN_S = 1.5
"""A wish that is not repeated for so long is over: the connection hangs, or the page does."""
IDLE_S = 120.0
"""Whoever wishes for nothing for so long gives the camera to others."""
MOST_S = 60.0
"""No movement lasts longer without being let go of: whoever holds a button down so long has left it."""
RENEW_S = 1.0
STOP_TRIES = 3
_TICK_S = 0.25
_APART_S = 0.15  # a pointer that is drawn about changes its mind faster than cameras take it
_RETRY_S = 0.5

Ending = Literal["left", "invalid", "idle", "taken_over", "unavailable"]
Tell = Callable[[dict[str, Any]], None]


class TakenOver(Exception):
    """Somebody else holds the camera now."""


class Movable(Protocol):
    """What is asked of the camera; both raise OnvifError."""

    async def move(self, velocity: Velocity, *, timeout_s: float) -> None: ...

    async def stop(self) -> None: ...


class Holding(Protocol):
    """The hold in the database; psycopg.Error where that is away."""

    async def renew(self, *, moving: bool) -> None:
        """Before every movement and once a second; raises TakenOver where it is another's."""
        ...

    async def stopped(self) -> None:
        """The camera has answered a stop."""
        ...


class Steering:
    """Carries out the newest wish, one order at a time, so that a stop never overtakes the movement that it ends."""

    def __init__(self, camera: Movable, hold: Holding, *, clock: Clock, tell: Tell, owes_stop: bool = False) -> None:
        """`tell` takes messages for the person; `owes_stop`: who held the camera before left it moving."""
        self._camera = camera
        self._hold = hold
        self._clock = clock
        self._tell = tell
        self._owes_stop = owes_stop
        self._wish = Velocity()
        self._sent = Velocity()
        self._wished_at = self._renewed_at = clock.monotonic()
        self._began_at: float | None = None
        self._sent_at = -1e9
        self._changed = asyncio.Event()
        self._ended: Ending | None = None
        self.moves = 0
        """Movements begun."""

    def wish(self, velocity: Velocity) -> None:
        """Move so from now on; zero: stand still. What has lasted too long is over until it is let go of."""
        now = self._clock.monotonic()
        self._began_at = (now if self._began_at is None else self._began_at) if velocity else None
        if self._began_at is not None and now - self._began_at >= MOST_S:
            velocity = Velocity()
        self._wish, self._wished_at = velocity, now
        if velocity != self._sent or not velocity:
            self._changed.set()

    def end(self, why: Ending = "left") -> None:
        """The person has left, or is sent away."""
        self._ended = self._ended or why
        self._changed.set()

    async def run(self) -> Ending:
        """Until the person leaves or may hold the camera no longer. A stop has been tried by then where one is due."""
        try:
            return await self._steer()
        finally:
            for _ in range(STOP_TRIES):
                if self._owes_stop:
                    await self._stop(last=True)

    async def _steer(self) -> Ending:
        try:
            while self._ended is None:
                await self._turn(self._clock.monotonic())
                if self._clock.monotonic() - self._wished_at >= IDLE_S:
                    return "idle"
                await first(self._changed.wait(), self._clock.sleep(_TICK_S))
                self._changed.clear()
        except TakenOver:
            return "taken_over"
        except psycopg.Error as error:
            # Nobody knows any more whose the camera is.
            if not is_outage(error):
                raise
            return "unavailable"
        return self._ended

    async def _turn(self, now: float) -> None:
        if self._wish and now - self._wished_at >= DEADMAN_S:
            self._wish = Velocity()
        if self._wish:
            since = now - self._sent_at
            if since >= REFRESH_S or (self._wish != self._sent and since >= _APART_S):
                await self._move(self._wish, now)
        elif self._owes_stop:
            await self._stop()
        if now - self._renewed_at >= RENEW_S:
            await self._renew(now, moving=self._owes_stop)

    async def _renew(self, now: float, *, moving: bool) -> None:
        await self._hold.renew(moving=moving)
        self._renewed_at = now

    async def _move(self, velocity: Velocity, now: float) -> None:
        await self._renew(now, moving=True)
        if not self._owes_stop:
            self.moves += 1
            self._tell({"kind": "moving", "moving": True})
        # From here on the camera may have heard it, whatever becomes of the answer.
        self._owes_stop, self._sent, self._sent_at = True, velocity, now
        try:
            await self._camera.move(velocity, timeout_s=TIMEOUT_S)
        except OnvifError as error:
            self._wish = Velocity()
            self._tell({"kind": "failed", "code": error.reason, "message": error.message})

    async def _stop(self, *, last: bool = False) -> None:
        """Try once. `last`: nobody comes back to a database that is away; the row is then seen to by the desk."""
        try:
            await self._camera.stop()
        except OnvifError as error:
            logger.warning("a camera did not answer a stop", extra={"reason": error.reason})
            self._tell({"kind": "failed", "code": "stop_failed", "message": error.message})
            await self._clock.sleep(_RETRY_S)
            return
        self._owes_stop, self._sent = False, Velocity()
        self._tell({"kind": "moving", "moving": False})
        try:
            await self._hold.stopped()
        except psycopg.Error as error:
            if not (last and is_outage(error)):
                raise
