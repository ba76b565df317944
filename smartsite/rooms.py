"""The rooms that run as processes, in the order in which they are started; they are stopped the other way round.

Readers come before writers: when ingest accepts its first reading, the alert engine and the page are listening.
"""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module

from core.settings import Settings
from smartsite.process import ProcessSpec

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
    """What the supervisor starts: ``smartsite run ROOM`` each, with ``environment`` added; vision as often as set."""
    found = []
    for room in SERVICES:
        # On a Ray cluster one process looks after all the actors.
        several = room == "vision" and not settings.vision.ray_address
        for number in range(1, (settings.vision.workers if several else 1) + 1):
            name, own = (room, {}) if number == 1 else (f"{room}-{number}", _another(settings, number))
            command = (sys.executable, "-m", "smartsite", "run", room)
            found.append(ProcessSpec(name=name, command=command, environment={**environment, **own}, grace_s=15))
    return found


def room_of(process: str) -> str | None:
    """The room that a process of `specs` runs; None for any other."""
    room = process.partition("-")[0]
    return room if room in SERVICES else None


def _another(settings: Settings, number: int) -> dict[str, str]:
    """What tells one more vision process from the first."""
    port = settings.vision.live_port
    return {
        "SMARTSITE_VISION__WORKER": f"{settings.vision.worker}-{number}",
        "SMARTSITE_VISION__LIVE_PORT": str(port + number - 1 if port else 0),
    }
