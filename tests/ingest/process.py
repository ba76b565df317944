"""Ingest as a process of its own, to be killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

_PROCESS = """
from functools import partial
from core import logs
from core.settings import load_settings
from ingest.service import serve
from smartsite.running import run_until_signal

settings = load_settings()
logs.setup(settings.log, process="ingest")
run_until_signal(partial(serve, settings))
"""


class Worker:
    """The ingest process, as the supervisor starts it."""

    def __init__(self, url: str, port: int, folder: Path, **environment: str) -> None:
        self._environment = {
            **os.environ,
            "SMARTSITE_DATABASE__URL": url,
            "SMARTSITE_DATA_DIR": str(folder),
            "SMARTSITE_INGEST__MQTT_HOST": "127.0.0.1",
            "SMARTSITE_INGEST__MQTT_PORT": str(port),
            **environment,
        }
        self._folder = folder
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start; it says when it is ready through its heartbeat."""
        with (self._folder / "ingest.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", _PROCESS,
                env=self._environment, stdout=log, stderr=log, cwd=self._folder,
            )  # fmt: skip

    def spooled(self) -> int:
        """Bytes in the spool's segments."""
        total = 0
        for path in self._folder.glob("spool/*/*.segment"):
            # One that is drained goes between being listed and being looked at.
            with contextlib.suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    async def end(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        return await self.process.wait()
