"""``smartsite up``: everything on this machine, under one supervisor."""

from __future__ import annotations

import argparse
import asyncio

from core.settings import Settings

HELP = "run the whole platform on this machine"
DESCRIPTION = """\
Starts the embedded database (unless database.url names another), migrates it, starts every room as a process of its
own and brings back what dies. Ctrl-C stops everything in order. What runs is told in DATA_DIR/run/parts.json.
"""


def arguments(parser: argparse.ArgumentParser) -> None:  # noqa: ARG001 - it has none
    return


def run(options: argparse.Namespace, settings: Settings) -> int:  # noqa: ARG001
    from functools import partial

    from core import logs
    from smartsite.running import run_until_signal

    logs.setup(settings.log, process="up")
    run_until_signal(partial(_up, settings))
    return 0


async def _up(settings: Settings, stop: asyncio.Event) -> None:
    from core.clock import SystemClock
    from smartsite.console import say
    from smartsite.installation import Installation

    async with Installation(settings, clock=SystemClock()) as installation:
        await installation.launch_rooms()
        say(f"smartsite runs: http://{settings.api.host}:{settings.api.port}  (Ctrl-C stops it)")
        await stop.wait()
        say("stopping")
