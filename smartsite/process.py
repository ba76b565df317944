"""One supervised process: started on a leash in a session of its own, its output prefixed, ended politely or not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from core.errors import Unavailable
from smartsite.leash import command_line

#: What a process of ours exits with when its settings are not usable (EX_CONFIG of sysexits.h): starting it again at
#: once would not help.
EXIT_CONFIGURATION = 78

_CHUNK = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """What to run.

    ``environment`` is added to ours; after SIGTERM the process has ``grace_s`` seconds until SIGKILL.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    grace_s: float = 10.0


def print_line(name: str, line: str) -> None:
    """The usual sink of output: our own standard output, one prefixed line each."""
    sys.stdout.write(f"{name:<10} | {line}\n")
    sys.stdout.flush()


class Process:
    """A part of the supervisor that is an operating-system process."""

    def __init__(self, spec: ProcessSpec, *, sink: Callable[[str, str], None] = print_line) -> None:
        self.name = spec.name
        self._spec = spec
        self._sink = sink
        self._process: asyncio.subprocess.Process | None = None
        self._pump: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self) -> None:
        """Starts it; raises Unavailable when the program cannot be started at all."""
        # A pipe of our own and not asyncio's: with that one, wait() would wait for every heir of the pipe as well.
        reading, writing = os.pipe()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *command_line(self._spec.command, parent=os.getpid()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                env={**os.environ, **self._spec.environment},
                # A group of its own: Ctrl-C in the terminal reaches the supervisor alone, which stops in order.
                start_new_session=True,
            )
        except OSError as error:
            os.close(reading)
            raise Unavailable(f"{self.name} cannot be started: {error}") from error
        finally:
            os.close(writing)
        self._pump = asyncio.create_task(self._forward(reading), name=f"output of {self.name}")

    async def wait(self) -> str:
        """Waits until it ends and says how, for a person."""
        assert self._process is not None
        status = await self._process.wait()
        self._signal(signal.SIGKILL)  # whatever it started itself and left behind
        await self._drain()
        if status < 0:
            return f"killed by {signal.Signals(-status).name}"
        return f"exited with status {status}"

    @property
    def misconfigured(self) -> bool:
        """True when it ended by itself because its settings are not usable."""
        return self._process is not None and self._process.returncode == EXIT_CONFIGURATION

    async def stop(self) -> None:
        """Asks it to end, and ends it when the grace time is over. Does nothing when it has ended."""
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(self._spec.grace_s):
                    await self._process.wait()
            except TimeoutError:
                self._sink(self.name, f"did not stop within {self._spec.grace_s:g} s: killed")
        self._signal(signal.SIGKILL)
        await self._process.wait()
        await self._drain()

    def kill(self) -> None:
        """Ends it and its children the hard way (SIGKILL)."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        """Signals the whole process group; that it is gone already is as good."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    async def _drain(self) -> None:
        if self._pump is not None:
            await self._pump

    async def _forward(self, descriptor: int) -> None:
        """Copies its output line by line; a line without end is cut at 64 KiB."""
        stream = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(descriptor, "rb", 0)
        )
        rest = b""
        try:
            while chunk := await stream.read(_CHUNK):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._sink(self.name, line.decode(errors="replace"))
                if len(rest) > _CHUNK:
                    self._sink(self.name, rest.decode(errors="replace"))
                    rest = b""
        finally:
            transport.close()  # and the pipe with it
        if rest:
            self._sink(self.name, rest.decode(errors="replace"))
