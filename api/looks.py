"""Who looked at live pictures with faces: rows of the audit log, one an hour for a person and camera."""

from __future__ import annotations

from psycopg import AsyncConnection

from api import audit
from api.context import Row
from core.clock import Clock

EVERY_S = 3600.0


class Looks:
    """A still picture may be fetched every second and a wall be opened anew all day: a row for each would bury the
    log. The hour is counted in this process, so several and a restart make more rows, never fewer."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._noted: dict[tuple[str, int], float] = {}

    async def note(self, database: AsyncConnection, actor: str, camera: Row) -> None:
        """Write the row where it is due. Comes before the picture goes out: without the row there is none."""
        now, key = self._clock.monotonic(), (actor, camera["id"])
        if key in self._noted and now - self._noted[key] < EVERY_S:
            return
        await audit.append(
            database,
            at=self._clock.now(),
            actor=actor,
            action="camera.original",
            thing=f"camera:{camera['id']}",
            detail={"site": camera["site_id"]},
        )
        self._noted = {one: at for one, at in self._noted.items() if now - at < EVERY_S}
        self._noted[key] = now
