"""Who holds a camera: a row with an end that is renewed while it is held, and the authority to take it from others."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg import AsyncConnection

from api.access import SQL, Viewer
from api.context import Context, Row, row
from api.ptz.steering import TakenOver
from core.errors import Conflict

LEASE = timedelta(seconds=10)
"""A hold that nobody renews for so long is over: its process is gone."""

AUTHORITY: Mapping[str, int] = {
    "leader": 3,
    "operator": 2,
    "inspector": 2,
    "supervisor": 1,
    "integrator": 1,
    "officer": 0,
    "auditor": 0,
}
"""A higher one may take the camera from a lower one; nobody from their like."""


class CameraHeld(Conflict):
    """Somebody else is moving the camera."""

    code = "camera_held"


@dataclass(frozen=True, slots=True)
class Taken:
    """A hold that was got: `owes_stop` where the camera was left moving, `taken_from` a person's code or empty."""

    seat: str
    owes_stop: bool
    taken_from: str


async def held(database: AsyncConnection, camera_id: int, now: datetime) -> Row | None:
    """The hold that is in force, with the person's names; None where the camera is free."""
    found = await row(database, SQL["ptz_held"], {"camera_id": camera_id})
    return found if found is not None and found["seat"] is not None and found["expires_at"] > now else None


def may_take(viewer: Viewer, hold: Row) -> bool:
    """Whether the person may have the camera in spite of the hold: it is their own, or that of a lower role."""
    return bool(viewer.code == hold["holder"] or AUTHORITY[viewer.role] > AUTHORITY.get(hold["role"], 0))


def refusal(hold: Row) -> CameraHeld:
    """Names who holds it."""
    return CameraHeld(f"{hold['holder']} is moving the camera", hint="ask them to let go of it, or wait")


async def take(database: AsyncConnection, camera_id: int, viewer: Viewer, now: datetime, *, over: bool) -> Taken:
    """Get the camera, in the caller's transaction; `over` other people, too, where the role may. Raise CameraHeld."""
    await database.execute(SQL["ptz_row"], {"camera_id": camera_id})
    before = await row(database, SQL["ptz_lock"], {"camera_id": camera_id})
    assert before is not None
    hold = await held(database, camera_id, now)
    if hold is not None and hold["holder"] != viewer.code and not (over and may_take(viewer, hold)):
        raise refusal(hold)
    seat = secrets.token_hex(16)
    values = {"camera_id": camera_id, "seat": seat, "holder": viewer.code, "role": viewer.role}
    await database.execute(SQL["ptz_take"], values | {"now": now, "expires_at": now + LEASE})
    taken_from = hold["holder"] if hold is not None and hold["holder"] != viewer.code else ""
    return Taken(seat, before["moving"], taken_from)


class Hold:
    """A hold that was taken; see api.ptz.steering.Holding."""

    def __init__(self, context: Context, camera_id: int, seat: str) -> None:
        self._context = context
        self._camera_id = camera_id
        self._seat = seat

    async def renew(self, *, moving: bool) -> None:
        now = self._context.clock.now()
        if not await self._write("ptz_renew", expires_at=now + LEASE, moving=moving):
            raise TakenOver

    async def stopped(self) -> None:
        await self._write("ptz_stopped")

    async def release(self) -> None:
        """Others may have it. Where it is another's already, that stays."""
        await self._write("ptz_release")

    async def _write(self, name: str, **values: object) -> bool:
        """Whether the hold was still this one."""
        me = {"camera_id": self._camera_id, "seat": self._seat, "now": self._context.clock.now()}
        async with self._context.connection() as database:
            return (await database.execute(SQL[name], me | values)).rowcount == 1
