"""The delivery worker: sends what is due to each regulator, several at a time, and asks for results.

Every target has a lane of its own, so that one regulator that hangs holds up nobody else.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from random import Random

import httpx

from alerts import adapters, metrics
from alerts.adapters.base import Adapter, Delivery, Outcome
from alerts.ledger import Ledger
from alerts.outbox import CHANNEL
from alerts.settlement import Settlement, settle_poll, settle_send
from core.clock import Clock
from core.evidence import EvidenceStore
from core.log import listen
from core.settings import Settings, TargetSettings

logger = logging.getLogger(__name__)

_GRACE_S = 5.0


async def run(settings: Settings, clock: Clock, stop: asyncio.Event) -> None:
    """Deliver until `stop` is set, then let calls under way finish for a few seconds.

    Wakes on the outbox's notification and twice a second; a database that is away is waited for.

    Raises:
        ConfigurationError: a target names no adapter, or the adapter refuses its settings.
    """
    evidence = EvidenceStore(settings.evidence_dir)
    speaking = [(target, adapters.create(target, evidence=evidence, clock=clock)) for target in settings.alerts.targets]
    if not speaking:
        logger.info("no regulator is configured, nothing is delivered")
        await stop.wait()
        return
    ledger = Ledger(settings.database, clock=clock)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=32)
    try:
        # The environment's proxies are not meant for regulators; certificates are checked.
        async with httpx.AsyncClient(limits=limits, trust_env=False) as client, asyncio.TaskGroup() as group:
            lanes = [
                Lane(target=target, adapter=adapter, client=client, ledger=ledger, clock=clock)
                for target, adapter in speaking
            ]
            tasks = [group.create_task(lane.run(stop), name=f"deliver to {lane.target.name}") for lane in lanes]
            async for _ in listen(settings.database, CHANNEL, clock=clock, stop=stop):
                for lane in lanes:
                    lane.wake.set()
            for lane in lanes:
                lane.wake.set()
            # One that waits for a database that is away would wait on.
            _, late = await asyncio.wait(tasks, timeout=2 * _GRACE_S)
            for task in late:
                task.cancel()
    finally:
        await ledger.close()


class Lane:
    """What goes to one target."""

    def __init__(
        self, *, target: TargetSettings, adapter: Adapter, client: httpx.AsyncClient, ledger: Ledger, clock: Clock
    ) -> None:
        self.target = target
        self.wake = asyncio.Event()
        self._adapter = adapter
        self._client = client
        self._ledger = ledger
        self._clock = clock
        self._random = Random()

    async def run(self, stop: asyncio.Event) -> None:
        """Claim and send until `stop`, at most `in_flight` at a time."""
        under_way: set[asyncio.Task[None]] = set()
        try:
            while not stop.is_set():
                self.wake.clear()
                free = self.target.in_flight - len(under_way)
                if free:
                    for delivery in await self._ledger.claim(self.target, free):
                        under_way.add(asyncio.create_task(self._handle(delivery)))
                under_way = await self._pause(under_way)
            if under_way:
                await asyncio.wait(under_way, timeout=_GRACE_S)
        finally:
            # Cut short, a call may have arrived: its lease ends with the session, and it is made again with its key.
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _pause(self, under_way: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
        """Wait for a wake-up or the end of a call; return the calls that go on."""
        waking = asyncio.create_task(self.wake.wait())
        try:
            done, _ = await asyncio.wait({waking, *under_way}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waking.cancel()
        for task in done - {waking}:
            task.result()
        return under_way - done

    async def _handle(self, delivery: Delivery) -> None:
        started_at, start = self._clock.now(), self._clock.monotonic()
        outcome = await self._call(delivery)
        settlement = self._settle(delivery, outcome, started_at)
        kind = "poll" if delivery.state == "accepted" else "send"
        metrics.DELIVERY_CALLS.labels(self.target.name, kind, outcome.kind).inc()
        if settlement.accepted_at is not None:
            waited = settlement.accepted_at - delivery.pending_since
            metrics.ACCEPTED_AFTER.labels(self.target.name).observe(waited.total_seconds())
        await self._ledger.record(
            delivery, outcome, settlement, at=started_at, duration_s=self._clock.monotonic() - start
        )
        if settlement.state in {"config_error", "rejected", "uncertain", "dead"}:
            logger.warning(
                "delivery stopped",
                extra={
                    "delivery": delivery.id,
                    "alert": delivery.alert_id,
                    "target": delivery.target,
                    "state": settlement.state,
                    "reason": settlement.reason,
                },
            )

    async def _call(self, delivery: Delivery) -> Outcome:
        try:
            if delivery.state == "accepted":
                return await self._adapter.poll(self._client, delivery)
            return await self._adapter.send(self._client, delivery)
        except Exception as error:
            # An adapter's own fault stops neither the others nor this delivery; how far it came is not known.
            logger.exception("adapter failed", extra={"target": delivery.target, "delivery": delivery.id})
            return Outcome(kind="no_reply", reason=f"the adapter failed: {type(error).__name__}: {error}")

    def _settle(self, delivery: Delivery, outcome: Outcome, started_at: datetime) -> Settlement:
        now = self._clock.now()
        if delivery.state == "accepted":
            return settle_poll(delivery, outcome, self.target, now=now)
        return settle_send(
            delivery,
            outcome,
            self.target,
            asynchronous=self._adapter.asynchronous,
            started_at=started_at,
            now=now,
            random=self._random,
        )
