"""Kills every process of the installation the hard way, one after another, while it works."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from core.clock import Clock
from smartsite.supervisor import Supervisor

logger = logging.getLogger(__name__)

#: In this order; the database last, when every reader has been through a restart already.
VICTIMS = ("ingest", "alerts", "vision", "api", "keeper", "database")
_LOOK_S = 0.1
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill: how long it took until the part ran again; None when it did not come back."""

    part: str
    pid: int | None
    back_after_s: float | None


async def kill_all(supervisor: Supervisor, *, every_s: float, clock: Clock) -> list[Kill]:
    """Kills each victim with SIGKILL, ``every_s`` seconds apart, and waits until the supervisor has brought it back."""
    kills = []
    for name in VICTIMS:
        await clock.sleep(every_s)
        pid = supervisor.kill(name)
        logger.warning("killed on purpose", extra={"part": name, "pid": pid})
        kills.append(Kill(name, pid, await _until_back(supervisor, name, pid, clock)))
    return kills


async def _until_back(supervisor: Supervisor, name: str, pid: int | None, clock: Clock) -> float | None:
    began = clock.monotonic()
    while clock.monotonic() - began < _PATIENCE_S:
        state = supervisor.states[name]
        if state.state == "running" and state.pid not in (None, pid):
            return round(clock.monotonic() - began, 2)
        await clock.sleep(_LOOK_S)
    return None
