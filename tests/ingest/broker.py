"""A Mosquitto of a test's own, set up as docs/protocol-mqtt.md says."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from pathlib import Path

from tests.support.ports import free_port

_CONFIGURATION = """\
listener {port} 127.0.0.1
{tls}
allow_anonymous true
persistence true
persistence_location {folder}/
autosave_interval 1
max_queued_messages 0
max_inflight_messages 1000
{user}
"""


class Mosquitto:
    """Started and stopped at will, on one port, with its persistence kept.

    With `certificate`, a certificate and its key, `port` speaks TLS and `plain_port` does not.
    """

    def __init__(self, folder: Path, *, certificate: tuple[Path, Path] | None = None) -> None:
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self.port = self.plain_port = free_port()
        self._scheme, tls = "mqtt", ""
        if certificate is not None:
            self._scheme, self.plain_port = "mqtts", free_port()
            tls = f"certfile {certificate[0]}\nkeyfile {certificate[1]}\nlistener {self.plain_port} 127.0.0.1"
        user = "user root" if os.geteuid() == 0 else ""  # else it would drop to a user who cannot write here
        (folder / "mosquitto.conf").write_text(_CONFIGURATION.format(port=self.port, folder=folder, user=user, tls=tls))

    @property
    def url(self) -> str:
        """Address for the settings."""
        return f"{self._scheme}://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start and wait until it accepts connections."""
        program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
        assert program is not None
        with (self._folder / "mosquitto.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                program, "-c", str(self._folder / "mosquitto.conf"), stdout=log, stderr=log
            )
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.close()
                    await writer.wait_closed()
                    return
                await asyncio.sleep(0.02)

    async def stop(self, *, kill: bool = False) -> None:
        """End it, orderly or not."""
        process, self._process = self._process, None
        if process is not None:
            (process.kill if kill else process.terminate)()
            await process.wait()
