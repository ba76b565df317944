"""Processes of a benchmark, each ended with its block; what they complain of lies in one file of the folder."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

_READY_S = 90.0


class Processes:
    """Starts them for a benchmark that keeps its files in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def log(self) -> Path:
        """What all of them wrote to stderr."""
        return self.folder / "processes.log"

    @contextlib.asynccontextmanager
    async def process(self, *arguments: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """`python ARGUMENTS` with pipes to its stdin and stdout, lines of up to 16 MiB; ended with SIGTERM."""
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *arguments, env={**os.environ, **environment},
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log, limit=1 << 24,
            )  # fmt: skip
        try:
            yield process
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            await process.communicate()

    async def until(self, done: Callable[[], bool], process: asyncio.subprocess.Process | None = None) -> None:
        """Wait for a condition, while the process lives.

        Raises RuntimeError when it ended, TimeoutError after 90 s.
        """
        deadline = time.monotonic() + _READY_S
        while not done():
            if process is not None and process.returncode is not None:
                raise RuntimeError(f"a process ended; see {self.log}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"not ready in {_READY_S:g} s; see {self.log}")
            await asyncio.sleep(0.1)
