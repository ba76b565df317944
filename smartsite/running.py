"""Runs an asynchronous service as a process: the event loop, and the signals that ask it to stop."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

Serve = Callable[[asyncio.Event], Awaitable[None]]


def run_until_signal(serve: Serve) -> None:
    """Runs ``serve(stop)``; the first SIGINT or SIGTERM sets ``stop``, the second one ends the process at once."""

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def ask(number: signal.Signals) -> None:
            if stop.is_set():
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)
            stop.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, ask, number)
        await serve(stop)

    run(main())


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Runs a coroutine to its end on the quickest event loop that the machine has."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(coroutine)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":  # uvloop does not exist there
        return None
    import uvloop

    return uvloop.new_event_loop
