"""The notification worker: sends what is due to people, several messages at a time, red ones first.

A worker that dies between sending and recording leaves a message that is sent again: told twice is better than never.
One whose channel gave no answer is sent again only from a severity on, and says then that it may be a repetition.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import httpx
import psycopg

import alerts.channels.others  # noqa: F401 - loaded before the first message waits for it
from alerts import channels, metrics
from alerts.channels import Means, Outgoing, Sent
from alerts.channels.sms import options_of
from alerts.hold import Hold
from alerts.model import SEVERITIES
from alerts.notices import links, wording
from alerts.notices.claims import Claims, Notice, Parcel, phase_of
from alerts.notices.contacts import by_channel
from alerts.notices.order_wording import compose_order
from alerts.outbox import CHANNEL
from alerts.reports.message import report_message
from alerts.settlement import backoff_s
from core.clock import Clock
from core.evidence import EvidenceStore
from core.log import listen
from core.logs import redact
from core.settings import Settings
from core.sql import queries
from sensors.registry import Person, RegistryWatch

logger = logging.getLogger(__name__)

_SQL = queries(__package__)
_LONGEST_S = 300.0
_GRACE_S = 5.0


async def run(settings: Settings, watch: RegistryWatch, clock: Clock, stop: asyncio.Event) -> None:
    """Notify until `stop` is set, then let messages under way finish for a few seconds.

    Wakes on the outbox's notification and twice a second; a database that is away is waited for.

    Raises:
        ConfigurationError: the gateway for text messages is not described usably.
    """
    notifier = Notifier(settings, watch=watch, clock=clock)
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(notifier.run(stop), name="notify")
            async for _ in listen(settings.database, CHANNEL, clock=clock, stop=stop):
                notifier.wake.set()
            notifier.wake.set()
            # It would wait on for a database that is away.
            _, late = await asyncio.wait({task}, timeout=_GRACE_S + 1)
            for task in late:
                task.cancel()
    finally:
        await notifier.close()


class Notifier:
    """Claims what is due and hands it to its channels."""

    def __init__(self, settings: Settings, *, watch: RegistryWatch, clock: Clock) -> None:
        self.wake = asyncio.Event()
        self._settings = settings.alerts.notify
        if self._settings.sms is not None:
            options_of(self._settings.sms)
        self._watch = watch
        self._clock = clock
        self._hold = Hold(settings.database, application="notify", clock=clock)
        self._claims = Claims(self._settings, holder=self._hold.number, clock=clock)
        self._evidence = EvidenceStore(settings.evidence_dir)
        self._random = Random()
        self._key: bytes | None = None
        self._under_way: Counter[str] = Counter()
        # A channel that overruns its time-out keeps its thread a while: twice as many as may be under way.
        threads = ThreadPoolExecutor(2 * self._settings.in_flight, thread_name_prefix="notify")
        self._means = Means(
            client=httpx.AsyncClient(trust_env=False),
            threads=threads,
            clock=clock,
            timeout_s=self._settings.timeout_s,
            sms=self._settings.sms,
        )

    async def close(self) -> None:
        """Give up what was not finished."""
        self._means.threads.shutdown(wait=False, cancel_futures=True)
        await self._means.client.aclose()
        await self._hold.close()

    async def run(self, stop: asyncio.Event) -> None:
        """Claim and send until `stop`, at most `in_flight` at a time and half of them to one address."""
        under_way: set[asyncio.Task[None]] = set()
        try:
            while not stop.is_set():
                self.wake.clear()
                under_way |= {asyncio.create_task(self.handle(parcel)) for parcel in await self.claim()}
                waking = asyncio.create_task(self.wake.wait())
                done, _ = await asyncio.wait({waking, *under_way}, return_when=asyncio.FIRST_COMPLETED)
                waking.cancel()
                under_way -= done
                for task in done - {waking}:
                    task.result()
            if under_way:
                await asyncio.wait(under_way, timeout=_GRACE_S)
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def claim(self) -> list[Parcel]:
        """Take what may go out now."""
        free = self._settings.in_flight - self._under_way.total()
        if free <= 0:
            return []

        async def work(connection: psycopg.AsyncConnection[Any]) -> list[Parcel]:
            if self._key is None:
                self._key = await links.signing_key(connection, now=self._clock.now())
            return await self._claims.take(connection, self._watch.current, limit=free, under_way=self._under_way)

        parcels = await self._hold.transact(work)
        self._under_way.update(parcel.endpoint for parcel in parcels)
        return parcels

    async def handle(self, parcel: Parcel) -> None:
        """Send what was claimed and record what came of it."""
        try:
            sent = await self._send(parcel)
            await self._settle(parcel, sent)
        finally:
            self._under_way[parcel.endpoint] -= 1
            self._under_way = +self._under_way

    async def _settle(self, parcel: Parcel, sent: Sent) -> None:
        now = self._clock.now()
        expired = now - parcel.created_at >= timedelta(hours=self._settings.give_up_hours)
        lost = sent.lost and parcel.priority < SEVERITIES.index(self._settings.resend_from)
        state = "sent" if sent.ok else "uncertain" if lost else "failed" if expired or not sent.usable else "pending"
        wait_s = max(backoff_s(parcel.attempts + 1, self._random, longest_s=_LONGEST_S), sent.retry_after_s)
        settled = {
            "ids": [notice.id for notice in parcel.notices],
            "state": state,
            "error": sent.error,
            "lost": sent.lost,
            "message": parcel.reference,
            "next_attempt_at": now + timedelta(seconds=wait_s),
            "sent_at": now if sent.ok else None,
        }
        gate = {"endpoint": parcel.endpoint, "reason": sent.error, "now": now, "retry_after_s": sent.retry_after_s}

        async def work(connection: psycopg.AsyncConnection[Any]) -> None:
            await connection.execute(_SQL["settle"], settled)
            if sent.usable:
                await connection.execute(_SQL["gate_passed" if sent.ok else "gate_failed"], gate)
            if state == "failed":
                for notice in parcel.notices:
                    await connection.execute(_SQL["withhold_end"], notice.key)

        await self._hold.transact(work)
        if state != "pending":
            metrics.MESSAGES.labels(parcel.channel, state).inc()
        if state in ("failed", "uncertain"):
            logger.warning(
                f"notification {state}",
                extra={
                    "alerts": [notice.alert_id for notice in parcel.notices if notice.alert_id is not None],
                    "order": parcel.notices[0].rectification_id,
                    "report": parcel.notices[0].report_id,
                    "person": parcel.person_id,
                    "channel": parcel.channel,
                    "error": sent.error,
                },
            )

    async def _send(self, parcel: Parcel) -> Sent:
        person = self._watch.current.people.get(parcel.person_id)
        contact = by_channel(person.contacts).get(parcel.channel) if person is not None and person.enabled else None
        if person is None or contact is None:
            return Sent(ok=False, error="the person no longer has this channel", usable=False)
        outgoing = self._outgoing(parcel, person)
        try:
            # Channels keep to the time-out themselves; this is for one that does not.
            async with asyncio.timeout(2 * self._settings.timeout_s):
                sent = await channels.send(contact, outgoing, self._means)
        except TimeoutError:
            error = f"no answer from the channel within {2 * self._settings.timeout_s:g} s"
            return Sent(ok=False, error=error, lost=True)
        except Exception as failure:
            # A channel's own fault stops neither the other messages nor this one.
            logger.exception("channel failed", extra={"channel": parcel.channel, "message": parcel.reference})
            sent = Sent(ok=False, error=f"the channel failed: {type(failure).__name__}: {failure}")
        return replace(sent, error=redact(sent.error))

    def _outgoing(self, parcel: Parcel, person: Person) -> Outgoing:
        first = parcel.notices[0]
        picture = None
        if len(parcel.notices) == 1 and first.phase == "raised" and first.alert is not None:
            frame = first.alert.frame_sha256
            picture = self._evidence.path(frame) if frame is not None else None
        language: wording.Language = "en" if person.language == "en" else "zh"
        message = self._message(parcel, language)
        return Outgoing(
            message=wording.repeated(message, language) if parcel.in_doubt else message,
            reference=parcel.reference,
            alert=first.alert_id,
            phase=first.phase,
            phone=person.phone,
            picture=picture,
        )

    def _message(self, parcel: Parcel, language: wording.Language) -> wording.Message:
        registry, now, first = self._watch.current, self._clock.now(), parcel.notices[0]
        if first.order is not None:
            link = self._page(f"rectifications/{first.order.id}")
            return compose_order(first.order, first.phase, language, registry, link, now=now)
        if first.report is not None:
            return report_message(first.report, language, registry, self._page(f"reports/{first.report.id}"))
        told = [(notice.alert, phase_of(notice)) for notice in parcel.notices if notice.alert is not None]
        if len(told) > 1:
            return wording.digest(told, language, registry, self._page("alerts"))
        (alert, phase), *_ = told
        return wording.compose(alert, phase, language, registry, self._link(first), now=now)

    def _page(self, path: str) -> str:
        return f"{self._settings.link.rstrip('/')}/{path}"

    def _link(self, notice: Notice) -> str:
        """Where the alert is acknowledged, or looked at once it is over."""
        assert notice.alert_id is not None
        if notice.phase == "cleared" or self._key is None:
            return self._page(f"alerts/{notice.alert_id}")
        expires_at = notice.created_at + timedelta(hours=self._settings.link_hours)
        token = links.make(self._key, alert_id=notice.alert_id, person_id=notice.person_id, expires_at=expires_at)
        return self._page(f"{links.PATH.strip('/')}/{token}")
