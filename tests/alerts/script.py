"""Timed scripts of notification: what happens at a second, and between which seconds who is told.

    script.at(1, raises)              # a coroutine function, run at that second
    await script.run(until=12)
    script.want(robot, (1, 1.5), (11, 11.5))

Time is the fake clock's, moved by half a second; at each step what is due is sent before time goes on, however long
the machine takes for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from alerts.notices.escalation import escalate_due
from alerts.notices.worker import Notifier
from alerts.rectification.reminders import remind_due
from sensors.registry import RegistryWatch
from tests.alerts.outgoing import World
from tests.alerts.providers import Provider
from tests.support.clock import FakeClock

STEP_S = 0.5


class Script:
    """One world, one notifier, one clock."""

    def __init__(self, place: World, notifier: Notifier, watch: RegistryWatch, clock: FakeClock) -> None:
        self.place = place
        self.notifier = notifier
        self._watch = watch
        self._clock = clock
        self._origin = clock.now()
        self._steps: list[tuple[float, Callable[[], Awaitable[object]]]] = []

    @property
    def second(self) -> float:
        """Seconds since the start."""
        return (self._clock.now() - self._origin).total_seconds()

    def at(self, second: float, step: Callable[[], Awaitable[object]]) -> None:
        """Do something at a second."""
        self._steps.append((second, step))

    async def run(self, *, until: float) -> None:
        """Go through time; steps of the same second in the order in which they were given."""
        while True:
            due = [step for step in self._steps if step[0] <= self.second]
            self._steps = [step for step in self._steps if step[0] > self.second]
            for _, step in sorted(due, key=lambda one: one[0]):
                await step()
            await self.settle()
            if self.second >= until:
                return
            await self._clock.advance(STEP_S)

    async def settle(self) -> None:
        """Send all that is due now."""
        self._watch.adopt(self.place.registry)
        await escalate_due(self.place.connection, self.place.registry, self.place.settings, self._clock)
        await remind_due(self.place.connection, self.place.registry, self._clock)
        while parcels := await self.notifier.claim():
            await asyncio.gather(*map(self.notifier.handle, parcels))

    def want(self, provider: Provider, *between: tuple[float, float]) -> None:
        """Exactly these messages arrived, each between two seconds."""
        assert len(provider.times) == len(between), (provider.times, between)
        for moment, (first, last) in zip(provider.times, between, strict=True):
            assert first <= moment <= last, (provider.times, between)


@contextlib.asynccontextmanager
async def script(place: World, clock: FakeClock) -> AsyncIterator[Script]:
    """A script in a world; settings are those of the world at this moment."""
    watch = RegistryWatch(place.settings.database, application="tests", clock=clock)
    watch.adopt(place.registry)
    notifier = Notifier(place.settings, watch=watch, clock=clock)
    try:
        yield Script(place, notifier, watch, clock)
    finally:
        await notifier.close()
