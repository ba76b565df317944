"""Runs an asynchronous service as a process: the event loop, and the signals that ask it to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

logger = logging.getLogger(__name__)

Serve = Callable[[asyncio.Event], Coroutine[Any, Any, None]]
_AGAIN_S = 0.5


def run_until_signal(serve: Serve, *, patience_s: float | None = None) -> None:
    """Runs ``serve(stop)``; the first SIGINT or SIGTERM sets ``stop``, the second one ends the process at once.

    ``patience_s`` seconds after ``stop`` whatever still waits, such as for a database that hangs, is cancelled until
    it ends: to be stopped is not to fail.
    """

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
        if patience_s is None:
            await serve(stop)
        else:
            await _bounded(asyncio.ensure_future(serve(stop)), stop, patience_s)

    run(main())


async def _bounded(work: asyncio.Future[Any], stop: asyncio.Event, patience_s: float) -> None:
    """Wait for the work; when it does not end in time after the stop, cancel everything as often as it takes."""
    halt = asyncio.ensure_future(stop.wait())
    await asyncio.wait({work, halt}, return_when=asyncio.FIRST_COMPLETED)
    halt.cancel()
    if stop.is_set():
        await asyncio.wait({work}, timeout=patience_s)
    if work.done() or not stop.is_set():
        await work
        return
    logger.warning("work does not end by itself and is broken off", extra={"after_s": patience_s})
    while not work.done():
        # One cancellation ends one wait: a driver that is cancelled asks the server to cancel, and waits for that.
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.wait({work}, timeout=_AGAIN_S)
    if not work.cancelled() and (error := work.exception()) is not None:
        logger.warning("broken off", extra={"error": f"{type(error).__name__}: {error}"})


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Runs a coroutine to its end on the quickest event loop that the machine has."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(coroutine)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":  # uvloop does not exist there
        return None
    import uvloop

    return uvloop.new_event_loop
