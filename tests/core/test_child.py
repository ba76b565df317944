"""A process beside ours, and that nothing of it is left (a pipe left open is a warning, and fails the test)."""

from __future__ import annotations

import asyncio
import gc

import psutil
import pytest

from core.child import Child, child

ECHO, FLOOD = "tests.core.echoing", "tests.core.flooding"


def children() -> set[psutil.Process]:
    """Those of this process, the dead that are not buried among them."""
    return set(psutil.Process().children())


async def test_orders_and_answers_pass_through_its_pipes() -> None:
    async with child(ECHO, limit=1000) as process:
        process.orders.write(b"first\nsecond\n")
        assert await process.answers.readline() == b"first\n"
        assert psutil.pid_exists(process.pid)
    assert not psutil.pid_exists(process.pid)
    assert await process.answers.read() == b""


async def test_one_that_writes_more_than_is_read_ends_all_the_same() -> None:
    async with child(FLOOD, limit=1000) as process:
        assert await process.answers.readexactly(10) == b"x" * 10
    assert not psutil.pid_exists(process.pid)


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8])
async def test_an_owner_cancelled_while_it_starts_leaves_nothing(turns: int) -> None:
    async def own() -> None:
        async with child(ECHO, limit=1000) as process:
            await process.answers.read()

    before = children()
    owner = asyncio.create_task(own())
    for _ in range(turns):
        await asyncio.sleep(0)
    owner.cancel()
    with pytest.raises(asyncio.CancelledError):
        await owner
    assert children() <= before
    gc.collect()


async def test_an_owner_cancelled_again_and_again_still_ends_it() -> None:
    started: asyncio.Future[Child] = asyncio.get_running_loop().create_future()

    async def own() -> None:
        async with child(ECHO, limit=1000) as process:
            started.set_result(process)
            await process.answers.read()

    owner = asyncio.create_task(own())
    process = await started
    while not owner.done():
        owner.cancel()
        await asyncio.sleep(0)
    assert owner.cancelled()
    assert not psutil.pid_exists(process.pid)
    gc.collect()


async def test_one_that_ended_by_itself_is_no_fault() -> None:
    async with child("this", limit=10_000) as process:
        assert (await process.answers.read()).startswith(b"The Zen")
    assert not psutil.pid_exists(process.pid)
