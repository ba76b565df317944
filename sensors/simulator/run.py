"""Runs simulated devices against a real MQTT endpoint, and keeps the journal of what they know."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from core.clock import Clock, SystemClock, micros
from sensors.simulator.devices import Instrument, Reading, SimulatedDevice
from sensors.simulator.journal import Beginning, Journal
from sensors.simulator.link import Link
from sensors.simulator.orders import Obedient, Orders
from sensors.simulator.schedule import Effect, Schedule
from sensors.simulator.spray import Spray

logger = logging.getLogger(__name__)

_FLUSH_S = 0.1
_GOOD_BYE_S = 2.0
# A device's memory: it takes no readings while this many wait for their PUBACK. MQTT has 65,535 packet numbers.
_MEMORY = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationPlan:
    """What to simulate and where to publish. `journal` is appended to; `drain_s` bounds the wait for late PUBACKs."""

    host: str
    port: int
    devices: tuple[SimulatedDevice, ...]
    schedule: Schedule
    journal: Path
    seed: int = 1
    drain_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Summary:
    """How a simulation ended: messages published, acknowledged, and given up when the drain was over."""

    published: int
    acknowledged: int

    @property
    def unacknowledged(self) -> int:
        """Messages whose fate the devices do not know."""
        return self.published - self.acknowledged


async def run_simulation(plan: SimulationPlan, stop: asyncio.Event, *, clock: Clock | None = None) -> Summary:
    """Publish until `stop` is set; then wait for what is not acknowledged yet, and say good-bye.

    What a dead server did not acknowledge is sent again when it is back; outages are waited out, however long.
    """
    clock = clock or SystemClock()
    with Journal(plan.journal) as journal:
        started_at = micros(clock.now())
        journal.begin(
            Beginning(
                started_at, plan.seed, {device.name: device.kind for device in plan.devices}, plan.schedule.episodes
            )
        )
        sprays: defaultdict[str, Spray] = defaultdict(Spray)
        stations = [
            _Station(
                device,
                plan,
                journal=journal,
                clock=clock,
                started_at=started_at,
                phase=place / len(plan.devices),
                spray=sprays[device.site],
            )
            for place, device in enumerate(plan.devices)
        ]
        links = [asyncio.create_task(station.link.run()) for station in stations]
        work = [asyncio.create_task(station.run()) for station in stations]
        work.append(asyncio.create_task(_flush(journal)))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([stopping, *links, *work], return_when=asyncio.FIRST_COMPLETED)
            await _end(work)
            await _drain(stations, plan.drain_s)
        finally:
            await _end([stopping, *work, *links])
            await asyncio.gather(*(station.link.close(_GOOD_BYE_S) for station in stations))
    summary = Summary(sum(station.published for station in stations), sum(station.acknowledged for station in stations))
    logger.info("simulation ended", extra={"published": summary.published, "unacknowledged": summary.unacknowledged})
    return summary


async def _end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel what still runs; what ended by an error raises it."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _drain(stations: list[_Station], drain_s: float) -> None:
    for station in stations:
        station.link.restore()  # also what a device without power had not got through yet
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(drain_s):
            for station in stations:
                await station.settled.wait()


async def _flush(journal: Journal) -> None:
    while True:
        await asyncio.sleep(_FLUSH_S)
        journal.flush()


class _Station:
    """One device: takes a reading at each interval, publishes it, and remembers it until its PUBACK."""

    def __init__(
        self,
        device: SimulatedDevice,
        plan: SimulationPlan,
        *,
        journal: Journal,
        clock: Clock,
        started_at: int,
        phase: float,
        spray: Spray,
    ) -> None:
        self._device = device
        self._schedule = plan.schedule
        self._instrument = Instrument(device, seed=plan.seed, spray=spray)
        self._journal = journal
        self._clock = clock
        self._started_at = started_at
        self._phase = phase
        self._encoder = msgspec.json.Encoder()
        self._waiting: set[int] = set()  # times of readings, until the PUBACK
        self.settled = asyncio.Event()  # nothing waits
        self.settled.set()
        self._newest = -1
        self.published = 0
        self.acknowledged = 0
        self._orders: Orders | None = None
        model = self._instrument.model
        if isinstance(model, Obedient):
            self._orders = Orders(device.name, model, reply=self._reply, journal=journal, clock=clock)
        self.link = Link(
            host=plan.host,
            port=plan.port,
            user=device.name,
            password=device.secret,
            topic=f"smartsite/v1/{device.site}/{device.code}",
            acknowledged=self._on_acknowledged,
            hears=None if self._orders is None else self._on_command,
        )

    async def run(self) -> None:
        """Take readings until cancelled."""
        interval = self._device.interval_s
        # The devices of a site do not all speak in the same millisecond.
        due = self._clock.monotonic() + self._phase * interval
        while True:
            await self._clock.sleep(due - self._clock.monotonic())
            self._step()
            # After a stall the missed readings are not made up: a probe that was not read has no value.
            due += interval * (1 + int((self._clock.monotonic() - due) / interval))

    def _step(self) -> None:
        now = self._clock.now()
        elapsed = (micros(now) - self._started_at) / 1e6
        episode = self._schedule.at(self._device.name, elapsed)
        reading = self._instrument.read(now, elapsed, episode)
        if episode is not None and episode.effect is Effect.SILENCE:
            self.link.cut()
            return
        self.link.restore()
        # Where the wall clock was set back nothing is published until it has caught up: a time is one reading's own.
        if reading is None or reading.ts <= self._newest:
            return
        if len(self._waiting) >= _MEMORY:
            logger.warning("memory of a simulated device is full", extra={"device": self._device.name})
            return
        # Noted first: a message that is out must be in the journal, whatever happens between the two.
        self._journal.published(self._device.name, reading, micros(now))
        self._waiting.add(reading.ts)
        self.settled.clear()
        self._newest = reading.ts
        self.published += 1
        self.link.publish(self._encoder.encode(reading), reading)

    def _on_command(self, payload: bytes) -> None:
        assert self._orders is not None
        self._orders.hear(payload)

    def _reply(self, payload: bytes, number: int) -> None:
        self.settled.clear()
        self.link.publish(payload, number, "reply")

    def _on_acknowledged(self, token: Reading | int) -> None:
        """The PUBACK of a reading, or of the reply to the command of that number."""
        if isinstance(token, Reading):
            self._waiting.discard(token.ts)
            self.acknowledged += 1
            self._journal.acknowledged(self._device.name, token, micros(self._clock.now()))
        elif self._orders is not None:
            self._orders.acknowledged(token)
        if not self._waiting and (self._orders is None or self._orders.settled):
            self.settled.set()
