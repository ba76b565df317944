"""Work that ends when it is told to."""

from __future__ import annotations

import asyncio

import pytest

from core.clock import SystemClock
from core.settings import DatabaseSettings
from core.tasks import until
from core.workers import Heartbeat


async def test_work_ends_by_itself_or_with_its_error() -> None:
    done: list[int] = []

    async def work() -> None:
        done.append(1)

    await until(asyncio.Event(), work())
    assert done == [1]

    async def broken() -> None:
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        await until(asyncio.Event(), broken())


async def test_a_stop_cancels_what_does_not_end_in_its_grace() -> None:
    stop, told = asyncio.Event(), []

    async def waits(name: str, seconds: float) -> None:
        try:
            await stop.wait()
            await asyncio.sleep(seconds)
            told.append(f"{name} ended")
        except asyncio.CancelledError:
            told.append(f"{name} cancelled")
            raise

    running = [
        asyncio.create_task(until(stop, waits("quick", 0.01), grace_s=20)),
        asyncio.create_task(until(stop, waits("slow", 60), grace_s=0.05)),
    ]
    await asyncio.sleep(0)
    stop.set()
    await asyncio.wait_for(asyncio.gather(*running), 10)
    assert sorted(told) == ["quick ended", "slow cancelled"]


async def test_being_cancelled_cancels_the_work() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    running = asyncio.create_task(until(asyncio.Event(), work()))
    await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended.is_set()


async def test_a_heartbeat_ends_while_the_database_is_away() -> None:
    away = DatabaseSettings(url="postgresql://nobody:x@127.0.0.1:1/nowhere")  # type: ignore[arg-type]
    stop = asyncio.Event()
    beating = asyncio.create_task(Heartbeat("h", room="test", settings=away, clock=SystemClock()).run(stop))
    await asyncio.sleep(0.1)
    assert not beating.done()
    stop.set()
    await asyncio.wait_for(beating, 10)
