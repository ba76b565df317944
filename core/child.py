"""A module of ours in a process beside: orders on its standard input, answers on its standard output."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Coroutine
from typing import Any, NamedTuple


class Child(NamedTuple):
    """A running process and our ends of its pipes."""

    pid: int
    orders: asyncio.StreamWriter
    answers: asyncio.StreamReader


@contextlib.asynccontextmanager
async def child(module: str, *, limit: int) -> AsyncIterator[Child]:
    """`python -m module`; it is gone when the block ends, whatever it hangs in and however often we are cancelled.

    Orders may hold passwords, and arguments are public: hence standard input. Where answers of more than `limit` bytes
    (twice as many at most) wait to be read, the process waits to write more.
    """
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=limit,
        )
    )
    try:
        # A start that is cut short would leave pipes that nobody closes.
        process = await asyncio.shield(starting)
        assert process.stdin is not None
        assert process.stdout is not None
        yield Child(process.pid, process.stdin, process.stdout)
    finally:
        await _to_the_end(_end(starting))


async def _end(starting: asyncio.Future[asyncio.subprocess.Process]) -> None:
    process = await starting
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    # Reads what is left as well: asyncio sees the end of a process only behind the end of its output.
    await process.communicate()


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Do the work; a cancellation meanwhile comes after it."""
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            cancelled = True
    task.result()
    if cancelled:
        raise asyncio.CancelledError
