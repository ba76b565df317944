"""Work that ends when it is told to, whatever it waits for at that moment."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def until(stop: asyncio.Event, work: Coroutine[Any, Any, None], *, grace_s: float = 0.0) -> None:
    """Run `work` to its end, or until `stop` is set: then it has `grace_s` seconds to end by itself, and is cancelled.

    What it raises passes through.
    """
    task, halt = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, halt}, return_when=asyncio.FIRST_COMPLETED)
        if grace_s and not task.done():
            await asyncio.wait({task}, timeout=grace_s)
    finally:
        halt.cancel()
        if not task.done():
            task.cancel()
        await asyncio.gather(task, halt, return_exceptions=True)
    if not task.cancelled():
        task.result()


async def first(*work: Coroutine[Any, Any, object]) -> None:
    """Wait until one of them is done; the others are cancelled. What they return or raise is dropped."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
