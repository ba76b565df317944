"""The delivery worker: sends what is due to each regulator, several at a time, and asks for results.

Every target has a lane of its own, so that one regulator that hangs holds up nobody else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from random import Random

import httpx

from alerts import adapters, metrics
from alerts.adapters.base import Adapter, BatchAdapter, Delivery, Outcome
from alerts.checks import Checks
from alerts.ledger import Ledger
from alerts.outbox import CHANNEL
from alerts.settlement import Settlement, settle_poll, settle_send
from core.clock import Clock
from core.evidence import EvidenceStore
from core.log import listen
from core.settings import Settings, TargetSettings

logger = logging.getLogger(__name__)

_GRACE_S = 5.0
_SKEW_STEP_S = 5.0
_ALONE_S = 60.0
# How signatures are refused: by the status, or by a code in a 200.
_SIGNATURE_STATUSES = frozenset({200, 401, 403})


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
        trust = httpx.create_ssl_context(trust_env=False)
        async with (
            httpx.AsyncClient(limits=limits, trust_env=False, verify=trust) as client,
            asyncio.TaskGroup() as group,
        ):
            checks = Checks(settings, speaking, client=client, trust=trust, clock=clock)
            checking = group.create_task(checks.run(), name="test calls")
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
            checking.cancel()
            # One that waits for a database that is away would wait on.
            _, late = await asyncio.wait(tasks, timeout=_GRACE_S + 1)
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
        self._skew_s: float | None = None  # as it was stored last
        self._alone_until = clock.monotonic()  # a batch was refused: until then each delivery goes by itself

    async def run(self, stop: asyncio.Event) -> None:
        """Claim and send until `stop`, at most `in_flight` calls at a time."""
        under_way: set[asyncio.Task[None]] = set()
        try:
            while not stop.is_set():
                self.wake.clear()
                free = self.target.in_flight - len(under_way)
                if self.target.ordered:
                    free = 0 if under_way else 1
                if free:
                    batch = self._batch_max
                    claimed = await self._ledger.claim(self.target, free, batch=batch)
                    under_way |= {asyncio.create_task(self._handle(group)) for group in _groups(claimed, batch)}
                under_way = await self._pause(under_way)
            if under_way:
                await asyncio.wait(under_way, timeout=_GRACE_S)
        finally:
            # Cut short, a call may have arrived: its lease ends with the session, and it is made again with its key.
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    @property
    def _batch_max(self) -> int:
        if isinstance(self._adapter, BatchAdapter) and self._clock.monotonic() >= self._alone_until:
            return self._adapter.batch_max
        return 1

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

    async def _handle(self, group: Sequence[Delivery]) -> None:
        started_at, start = self._clock.now(), self._clock.monotonic()
        outcomes = await self._call(group)
        if len(group) > 1 and any(outcome.kind == "config_error" for outcome in outcomes):
            # One that is refused must not take the others with it: each goes by itself the next time.
            self._alone_until = self._clock.monotonic() + _ALONE_S
            outcomes = [
                replace(outcome, kind="temporary", reason=f"refused together with others: {outcome.reason}")
                for outcome in outcomes
            ]
        await self._record(group, outcomes, started_at, start)

    async def _record(
        self, group: Sequence[Delivery], outcomes: Sequence[Outcome], started_at: datetime, start: float
    ) -> None:
        duration_s = self._clock.monotonic() - start
        for place, (delivery, raw) in enumerate(zip(group, outcomes, strict=True)):
            outcome = self._with_clock(raw)
            settlement = self._settle(delivery, outcome, started_at)
            kind = "poll" if delivery.state == "accepted" else "send"
            metrics.DELIVERY_CALLS.labels(self.target.name, kind, outcome.kind).inc()
            if settlement.accepted_at is not None:
                waited = settlement.accepted_at - delivery.pending_since
                metrics.ACCEPTED_AFTER.labels(self.target.name).observe(waited.total_seconds())
            await self._ledger.record(
                self.target, delivery, outcome, settlement, at=started_at, duration_s=duration_s, first=place == 0
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
        await self._note_skew(outcomes[0])

    async def _call(self, group: Sequence[Delivery]) -> Sequence[Outcome]:
        try:
            if len(group) > 1 and isinstance(self._adapter, BatchAdapter):
                return await self._adapter.send_batch(self._client, group)
            (delivery,) = group
            if delivery.state == "accepted":
                return [await self._adapter.poll(self._client, delivery)]
            return [await self._adapter.send(self._client, delivery)]
        except Exception as error:
            # An adapter's own fault stops neither the others nor this delivery; how far it came is not known.
            logger.exception("adapter failed", extra={"target": self.target.name, "deliveries": [d.id for d in group]})
            failed = Outcome(kind="no_reply", reason=f"the adapter failed: {type(error).__name__}: {error}")
            return [failed] * len(group)

    def _with_clock(self, outcome: Outcome) -> Outcome:
        """A refused signature while the clocks are apart is the clock's fault: it passes when the clock is set."""
        skew_s = outcome.skew_s
        if outcome.kind != "config_error" or outcome.status not in _SIGNATURE_STATUSES:
            return outcome
        if skew_s is None or abs(skew_s) <= self.target.max_skew_s:
            return outcome
        reason = f"{outcome.reason}; its clock is {skew_s:+.0f} s from ours: synchronise this machine's clock (NTP)"
        return replace(outcome, kind="temporary", reason=reason)

    async def _note_skew(self, outcome: Outcome) -> None:
        skew_s = outcome.skew_s
        if skew_s is None:
            return
        metrics.REGULATOR_SKEW.labels(self.target.name).set(skew_s)
        if self._skew_s is not None and abs(skew_s - self._skew_s) < _SKEW_STEP_S:
            return
        self._skew_s = skew_s
        await self._ledger.note_skew(self.target, skew_s)
        if abs(skew_s) > self.target.max_skew_s:
            logger.warning("a regulator's clock is off ours", extra={"target": self.target.name, "skew_s": skew_s})

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


def _groups(claimed: Sequence[Delivery], size: int) -> list[Sequence[Delivery]]:
    """What goes into one call each: reports together, at most `size`, results one by one."""
    reports = [delivery for delivery in claimed if delivery.state == "pending"]
    groups = [reports[start : start + size] for start in range(0, len(reports), size)]
    return [*groups, *([delivery] for delivery in claimed if delivery.state != "pending")]
