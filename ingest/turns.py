"""Slow checks of passwords in a few threads: a bounded number waits, and addresses take turns."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

THREADS = 2
WAITING = 500
"""Checks that wait at most: some 5 s on two free cores, less than a device is patient."""
_NICE = 10


class Busy(Exception):
    """Too many checks wait; whoever asks may come again later."""


class Job:
    """One check and who waits for it."""

    __slots__ = ("answer", "hashed", "secret")

    def __init__(self, hashed: str, secret: str, answer: asyncio.Future[bool]) -> None:
        self.hashed = hashed
        self.secret = secret
        self.answer = answer


class Turns:
    """Runs `verify(hashed, secret)` in threads, one check of each lane after the other.

    A lane is an address. When too many checks wait, the newest of the fullest lane gives way: who floods, pushes out
    itself, and a device elsewhere waits no longer than its own share.
    """

    def __init__(self, verify: Callable[[str, str], bool], *, threads: int = THREADS, waiting: int = WAITING) -> None:
        self._verify = verify
        self._free = threads
        self._limit = waiting
        self._waiting = 0
        self._lanes: dict[str, deque[Job]] = {}  # in the order of their turns
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="argon2", initializer=_step_back)

    async def ask(self, lane: str, hashed: str, secret: str) -> bool:
        """Whether the secret fits. Raises Busy."""
        loop = asyncio.get_running_loop()
        job = Job(hashed, secret, loop.create_future())
        if self._waiting >= self._limit:
            self._make_room(lane)
        self._lanes.setdefault(lane, deque()).append(job)
        self._waiting += 1
        self._next(loop)
        return await job.answer

    def _make_room(self, lane: str) -> None:
        fullest = max(self._lanes, key=lambda name: len(self._lanes[name]))
        if len(self._lanes.get(lane, ())) + 1 >= len(self._lanes[fullest]):
            raise Busy
        job = self._lanes[fullest].pop()
        self._waiting -= 1
        if not job.answer.done():
            job.answer.set_exception(Busy())

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._free and self._lanes:
            lane, jobs = next(iter(self._lanes.items()))
            job = jobs.popleft()
            del self._lanes[lane]
            if jobs:
                self._lanes[lane] = jobs
            self._waiting -= 1
            self._free -= 1
            running = loop.run_in_executor(self._pool, self._verify, job.hashed, job.secret)
            running.add_done_callback(lambda done, job=job: self._done(loop, job, done))  # type: ignore[misc]

    def _done(self, loop: asyncio.AbstractEventLoop, job: Job, done: asyncio.Future[bool]) -> None:
        self._free += 1
        if done.cancelled():
            job.answer.cancel()
            return
        error = done.exception()
        if not job.answer.done():
            if error is None:
                job.answer.set_result(done.result())
            else:
                job.answer.set_exception(error)
        self._next(loop)

    def close(self) -> None:
        """Let the threads go; what waits is not answered."""
        self._lanes.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)


def _step_back() -> None:
    # The loop and the database come before newcomers. Linux gives each thread a niceness of its own.
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
