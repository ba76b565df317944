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


def specs(environment: dict[str, str]) -> list[ProcessSpec]:
    """What the supervisor starts: ``smartsite run ROOM`` each, with ``environment`` added."""
    return [
        ProcessSpec(
            name=room, command=(sys.executable, "-m", "smartsite", "run", room), environment=environment, grace_s=15
        )
        for room in SERVICES
    ]
