"""The rooms that run as processes, in the order in which they are started; they are stopped the other way round.

Readers come before writers: when ingest accepts its first reading, the alert engine and the page are listening.
"""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module

from core.settings import Settings
from smartsite.process import ProcessSpec

GRACE_S = 15.0
"""Seconds from SIGTERM to SIGKILL."""

PATIENCE_S = 11.0
"""Seconds after SIGTERM in which a room ends in its own way; then it breaks off what still waits."""

#: Process name -> the module that has ``async serve(settings, stop)``.
SERVICES = {
    "keeper": "smartsite.keeper",
    "api": "api.service",
    "alerts": "alerts.service",
    "vision": "vision.service",
    "ingest": "ingest.service",
}


async def serve(room: str, settings: Settings, stop: asyncio.Event) -> None:
    """Runs a room in this process until ``stop`` is set."""
    await import_module(SERVICES[room]).serve(settings, stop)


def specs(environment: dict[str, str], settings: Settings) -> list[ProcessSpec]:
    """What the supervisor starts: ``smartsite run ROOM`` each, with ``environment`` added; some as often as set."""
    found = []
    for room in SERVICES:
        for number in range(1, _times(room, settings) + 1):
            name, own = (room, {}) if number == 1 else (f"{room}-{number}", _another(room, settings, number))
            command = (sys.executable, "-m", "smartsite", "run", room)
            found.append(ProcessSpec(name=name, command=command, environment={**environment, **own}, grace_s=GRACE_S))
    return found


def room_of(process: str) -> str | None:
    """The room that a process of `specs` runs; None for any other."""
    room = process.partition("-")[0]
    return room if room in SERVICES else None


def _times(room: str, settings: Settings) -> int:
    """How many processes run the room."""
    if room == "vision" and not settings.vision.ray_address:  # on Ray one process looks after all the actors
        return settings.vision.workers
    return settings.alerts.processes if room == "alerts" else 1


def _another(room: str, settings: Settings, number: int) -> dict[str, str]:
    """What tells one more process of a room from the first."""
    # A name has at most 32 characters.
    if room == "alerts":
        return {"SMARTSITE_ALERTS__WORKER": f"{settings.alerts.worker[:29]}-{number}"}
    port = settings.vision.live_port
    return {
        "SMARTSITE_VISION__WORKER": f"{settings.vision.worker[:29]}-{number}",
        "SMARTSITE_VISION__LIVE_PORT": str(port + number - 1 if port else 0),
    }
