"""Periodic work: one process works, runs are on record, failures hold up nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg

from core.clock import SystemClock
from core.database import connect
from core.schedule import JobRun, Schedule, runs
from core.settings import Settings
from tests.support.wait import eventually

CLOCK = SystemClock()
LOCK = 77


def schedule(settings: Settings, name: str = "tests") -> Schedule:
    return Schedule(settings.database, name=name, lock=LOCK, clock=CLOCK)


async def test_of_several_processes_one_works_and_another_takes_over(settings: Settings) -> None:
    worked: list[str] = []
    stops = {name: asyncio.Event() for name in ("first", "second", "third")}

    def job_of(name: str) -> Any:
        async def count(_connection: psycopg.AsyncConnection[Any]) -> str:
            worked.append(name)
            return ""

        return count

    tasks = {}
    for name, stop in stops.items():
        made = schedule(settings, name)
        made.every(0.05, job_of(name))
        tasks[name] = asyncio.create_task(made.run(stop))
    try:
        await eventually(lambda: len(worked) >= 5)
        (holder,) = set(worked)
        stops[holder].set()
        await tasks[holder]
        worked.clear()
        await eventually(lambda: len(worked) >= 5)
        assert len(set(worked)) == 1
        assert holder not in worked
    finally:
        for stop in stops.values():
            stop.set()
        await asyncio.gather(*tasks.values())


async def test_a_killed_holder_is_followed_at_once(settings: Settings) -> None:
    async def nothing(_connection: psycopg.AsyncConnection[Any]) -> None:
        return

    first, second = schedule(settings, "first"), schedule(settings, "second")
    assert await first.turn(nothing)
    assert not await second.turn(nothing)
    async with await connect(settings.database, application="killer") as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'smartsite first'"
        )
    assert await eventually(lambda: second.turn(nothing))
    assert not await first.turn(nothing)
    await first.close()
    await second.close()


async def test_runs_failures_and_results_are_on_record(settings: Settings) -> None:
    faults = [ValueError("nothing to divide"), psycopg.errors.DivisionByZero("by zero"), None, None]

    async def halves(connection: psycopg.AsyncConnection[Any]) -> str:
        fault = faults.pop(0)
        if fault is not None:
            await connection.execute("SELECT 1")
            raise fault
        return "" if faults else "one half"

    made = schedule(settings)
    made.every(3600, halves)

    async def turn() -> JobRun:
        await made.turn(halves)
        async with await connect(settings.database, application="tests") as connection:
            (run,) = await runs(connection)
            return run

    first = await turn()
    assert (first.job, first.outcome, first.error) == ("halves", "failed", "ValueError: nothing to divide")
    second = await turn()
    assert (second.failures, second.error) == (2, "DivisionByZero: by zero")
    third = await turn()
    assert (third.outcome, third.error, third.every_s) == ("ok", "", 3600)
    last = await turn()
    assert (last.outcome, last.result, last.runs, last.failures) == ("ok", "one half", 4, 2)
    await made.close()


async def test_missed_turns_are_made_up_for_by_one_run(settings: Settings) -> None:
    begun: list[float] = []
    gate = asyncio.Event()

    async def slow(_connection: psycopg.AsyncConnection[Any]) -> str:
        begun.append(CLOCK.monotonic())
        if len(begun) == 1:
            await gate.wait()
        return ""

    stop = asyncio.Event()
    made = schedule(settings)
    made.every(0.2, slow)
    running = asyncio.create_task(made.run(stop))
    await eventually(lambda: begun)
    await asyncio.sleep(1.1)  # five turns go by while the first run lasts
    assert len(begun) == 1
    gate.set()
    released = CLOCK.monotonic()
    await eventually(lambda: len(begun) >= 3)
    stop.set()
    await running
    # The turns that were passed over do not come in a burst.
    assert begun[2] - released >= 0.15
