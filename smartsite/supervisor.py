"""Keeps the parts of an installation running: starts them in order, brings back what dies, stops in reverse order."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Protocol

from core.clock import Clock
from core.errors import SmartsiteError
from smartsite.restarts import RestartPolicy

logger = logging.getLogger(__name__)

State = Literal["starting", "running", "waiting", "failing", "stopped"]


class Part(Protocol):
    """Something that runs until it ends: a process of ours, or the embedded database."""

    name: str

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""

    @property
    def misconfigured(self) -> bool:
        """True when it ended because of its settings, which no restart mends."""

    async def start(self) -> None:
        """Starts it and returns when it runs; raises SmartsiteError when it cannot."""

    async def wait(self) -> str:
        """Returns when it has ended, with a word on how."""

    async def stop(self) -> None:
        """Ends it politely; does nothing when it has ended."""

    def kill(self) -> None:
        """Ends it at once."""


@dataclass(slots=True)
class PartState:
    """What is known of a part: ``since`` is the wall time of the last change (seconds since the epoch)."""

    name: str
    state: State
    pid: int | None
    restarts: int
    last_end: str
    since: float


class Supervisor:
    """Runs parts in the order in which they were launched and shuts down in the reverse one.

    ``board`` is a file that always tells the present states as JSON; ``policy`` makes the restart policy of a part;
    ``buried`` is told the process id of every part that ended.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        board: Path,
        policy: Callable[[], RestartPolicy] = RestartPolicy,
        buried: Callable[[int], None] = lambda _pid: None,
    ) -> None:
        self._clock = clock
        self._board = board
        self._policy = policy
        self._buried = buried
        self._parts: dict[str, Part] = {}
        self._states: dict[str, PartState] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}

    @property
    def states(self) -> dict[str, PartState]:
        """The state of every part by name, in launch order."""
        return dict(self._states)

    async def launch(self, part: Part) -> None:
        """Starts a part and keeps it running from now on; raises what its first start raises."""
        self._parts[part.name] = part
        self._states[part.name] = PartState(part.name, "starting", None, 0, "", self._now())
        self._publish()
        await part.start()
        self._note(part, "running")
        self._keepers[part.name] = asyncio.create_task(self._keep(part), name=f"keeper of {part.name}")

    async def end(self, name: str) -> None:
        """Stops a part for good; the others go on."""
        keeper = self._keepers.pop(name, None)
        if keeper is not None:
            keeper.cancel()
            # A keeper that failed by itself is a bug that must be seen, not swallowed with the cancellation.
            await asyncio.wait([keeper])
            if not keeper.cancelled() and (error := keeper.exception()) is not None:
                logger.error("keeper failed", exc_info=error, extra={"part": name})
        part = self._parts[name]
        await part.stop()
        self._note(part, "stopped")

    def kill(self, name: str) -> int | None:
        """Kills a part the hard way, to be brought back; returns the process id that was killed."""
        part = self._parts[name]
        pid = part.pid
        part.kill()
        return pid

    async def shut_down(self) -> None:
        """Stops everything, the part launched last first."""
        for name in reversed(list(self._parts)):
            if self._states[name].state != "stopped":
                await self.end(name)

    async def _keep(self, part: Part) -> None:
        """Waits for the part to end and starts it again, for ever."""
        policy = self._policy()
        state = self._states[part.name]
        while True:
            pid = part.pid
            state.last_end = await part.wait()
            if pid is not None:
                self._buried(pid)
            while True:
                verdict = policy.died(self._clock.monotonic())
                if part.misconfigured:
                    verdict = policy.hopeless()
                self._note(part, "failing" if verdict.failing else "waiting")
                logger.log(
                    logging.ERROR if verdict.failing else logging.WARNING,
                    "%s %s; starting it again in %.1f s",
                    part.name,
                    state.last_end,
                    verdict.delay_s,
                )
                await self._clock.sleep(verdict.delay_s)
                try:
                    await part.start()
                except SmartsiteError as error:
                    state.last_end = f"did not start: {error}"
                else:
                    break
            state.restarts += 1
            self._note(part, "running")

    def _note(self, part: Part, state: State) -> None:
        known = self._states[part.name]
        known.state, known.pid, known.since = state, part.pid, self._now()
        self._publish()

    def _publish(self) -> None:
        """Replaces the board file, so that a reader never sees half of it."""
        fresh = self._board.with_suffix(".new")
        fresh.write_text(json.dumps({"parts": [asdict(state) for state in self._states.values()]}, indent=1) + "\n")
        fresh.replace(self._board)

    def _now(self) -> float:
        return self._clock.now().timestamp()
