"""This process's part in moving cameras: the cameras it speaks to, the hands on them, and a look for what was left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import psycopg

from api import audit
from api.access import SQL
from api.context import Row, rows
from core.clock import Clock
from core.database import is_outage
from core.errors import InvalidInput
from core.settings import CameraSettings
from core.tasks import first
from vision.onvif import Ability, OnvifCamera, address_of
from vision.options import camera_settings
from vision.soap import OnvifError

if TYPE_CHECKING:
    from api.context import Context
    from api.ptz.steering import Steering

logger = logging.getLogger(__name__)

_REMEMBER_S = 30.0
_SWEEP_S = 2.0
# By then the camera has long stood still by its own time-out; somebody else may move it by other means.
_STOP_WITHIN = timedelta(minutes=2)


class Desk:
    """One per process."""

    def __init__(self, defaults: CameraSettings, *, clock: Clock) -> None:
        self._defaults = defaults
        self._clock = clock
        # Cameras drop connections that wait, often just as the next order comes: each call has its own.
        self._http = httpx.AsyncClient(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))
        self._cameras: dict[int, tuple[object, OnvifCamera]] = {}
        self._refused: dict[int, tuple[OnvifCamera, OnvifError, float]] = {}
        self._hands: dict[asyncio.Task[Any], Steering] = {}

    def camera(self, found: Row) -> OnvifCamera:
        """The camera of a row with `id`, `url` and `options`; OnvifError where it has no address to be moved by."""
        key = (found["url"], repr(found["options"]))
        known = self._cameras.get(found["id"])
        if known is None or known[0] != key:
            try:
                address = address_of(found["url"], camera_settings(self._defaults, found["options"]))
            except InvalidInput:
                address = None
            if address is None:
                raise OnvifError("no_ptz", "the camera has no address by which it could be moved")
            known = self._cameras[found["id"]] = (key, OnvifCamera(address, self._http, clock=self._clock))
        return known[1]

    async def ability(self, found: Row) -> Ability:
        """What the camera can; an answer that it cannot, or none, is remembered for half a minute."""
        camera, number = self.camera(found), found["id"]
        if (refused := self._refused.get(number)) and refused[0] is camera and self._clock.monotonic() < refused[2]:
            raise refused[1]
        try:
            return await camera.ability()
        except OnvifError as error:
            self._refused[number] = (camera, error, self._clock.monotonic() + _REMEMBER_S)
            raise

    def sit(self, steering: Steering, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run the work of a hand on a camera to its end, whatever becomes of the connection that it came by."""
        task = asyncio.create_task(work, name="hand on a camera")
        self._hands[task] = steering
        task.add_done_callback(self._left)
        return task

    def _left(self, task: asyncio.Task[Any]) -> None:
        del self._hands[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("moving a camera failed", exc_info=error)

    async def run(self, context: Context, halt: asyncio.Event) -> None:
        """Stop what a process that died left moving, now and every two seconds until `halt`."""
        while not halt.is_set():
            try:
                await self.sweep(context)
            except psycopg.Error as error:
                if not is_outage(error):
                    raise
            await first(halt.wait(), self._clock.sleep(_SWEEP_S))

    async def sweep(self, context: Context) -> None:
        """Stop it once. Two processes may both do so: a stop more does no harm."""
        now = self._clock.now()
        async with context.connection() as database:
            left = await rows(database, SQL["ptz_left"], {"now": now, "since": now - _STOP_WITHIN})
        for one in left:
            try:
                await self.camera(one).stop()
            except OnvifError as error:
                logger.warning(
                    "a camera that was left moving did not answer a stop",
                    extra={"camera": one["camera_id"], "reason": error.reason},
                )
                continue
            async with context.connection() as database, database.transaction():
                done = await rows(database, SQL["ptz_left_stopped"], one)
                if done:
                    await audit.append(
                        database,
                        at=self._clock.now(),
                        actor=one["holder"],
                        action="camera.ptz_end",
                        thing=f"camera:{one['camera_id']}",
                        detail={"site": one["site_id"], "why": "left_moving"},
                    )

    async def close(self) -> None:
        """End every hand; their cameras get their stops before this returns."""
        hands = dict(self._hands)
        for steering in hands.values():
            steering.end()
        if hands:
            await asyncio.wait(hands)
        await self._http.aclose()
