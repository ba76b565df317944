"""A Mosquitto of a benchmark's own, set up as docs/protocol-mqtt.md says."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
from pathlib import Path

_CONFIGURATION = """\
listener {port} 127.0.0.1
{access}
persistence true
persistence_location {folder}/
autosave_interval 1
max_queued_messages 0
max_inflight_messages 1000
{user}
"""
_START_S = 10.0


class Mosquitto:
    """Started, ended and killed at will, on one port, with its persistence kept in the folder."""

    def __init__(self, folder: Path, access: str = "allow_anonymous true") -> None:
        program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if program is None:
            raise FileNotFoundError("mosquitto is not installed")
        self._program = program
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        user = "user root" if os.geteuid() == 0 else ""  # else it would drop to a user who cannot write here
        text = _CONFIGURATION.format(port=self.port, folder=folder, user=user, access=access)
        (folder / "mosquitto.conf").write_text(text)

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start and wait until it accepts connections."""
        with (self._folder / "mosquitto.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                self._program, "-c", str(self._folder / "mosquitto.conf"), stdout=log, stderr=log
            )
        async with asyncio.timeout(_START_S):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.close()
                    return
                await asyncio.sleep(0.02)

    async def end(self, *, kill: bool = False) -> None:
        """End it, orderly or not."""
        process, self._process = self._process, None
        if process is not None:
            (process.kill if kill else process.terminate)()
            await process.wait()
