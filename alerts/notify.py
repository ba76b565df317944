"""The notification worker: sends what is due to people, several messages at a time, each in a thread of its own.

A worker that dies between sending and recording leaves a message that is sent again: told twice is better than never.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

import psycopg
from psycopg.rows import dict_row

from alerts import channels, metrics, wording
from alerts.channels import Sent
from alerts.contacts import by_channel
from alerts.hold import LEASE_MARGIN_S, LOCK_SPACE, Hold
from alerts.model import AlertRow, load_many
from alerts.outbox import CHANNEL
from alerts.settlement import backoff_s
from alerts.wording import NoticePhase
from core.clock import Clock
from core.log import listen
from core.logs import redact
from core.settings import Settings
from core.sql import queries
from sensors.registry import RegistryWatch

logger = logging.getLogger(__name__)

_SQL = queries("alerts")
_LONGEST_S = 300.0
_GRACE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One message that is due."""

    id: int
    phase: NoticePhase
    person_id: int
    channel: str
    attempts: int
    created_at: datetime
    alert: AlertRow


async def run(settings: Settings, watch: RegistryWatch, clock: Clock, stop: asyncio.Event) -> None:
    """Notify until `stop` is set, then let messages under way finish for a few seconds.

    Wakes on the outbox's notification and twice a second; a database that is away is waited for.
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
    """Claims notices and hands them to their channels."""

    def __init__(self, settings: Settings, *, watch: RegistryWatch, clock: Clock) -> None:
        self.wake = asyncio.Event()
        self._settings = settings.alerts.notify
        self._watch = watch
        self._clock = clock
        self._hold = Hold(settings.database, application="notify", clock=clock)
        self._random = Random()
        # A channel that overruns its time-out keeps its thread a while: twice as many as may be under way.
        self._threads = ThreadPoolExecutor(2 * self._settings.in_flight, thread_name_prefix="notify")

    async def close(self) -> None:
        """Give up what was not finished."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        await self._hold.close()

    async def run(self, stop: asyncio.Event) -> None:
        """Claim and send until `stop`, at most `in_flight` at a time."""
        under_way: set[asyncio.Task[None]] = set()
        try:
            while not stop.is_set():
                self.wake.clear()
                free = self._settings.in_flight - len(under_way)
                if free:
                    for notice in await self._claim(free):
                        under_way.add(asyncio.create_task(self._handle(notice)))
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

    async def _claim(self, limit: int) -> list[Notice]:
        now = self._clock.now()
        parameters = {
            "now": now,
            "until": now + timedelta(seconds=self._settings.timeout_s + LEASE_MARGIN_S),
            "holder": self._hold.number,
            "space": LOCK_SPACE,
            "limit": limit,
        }

        async def work(connection: psycopg.AsyncConnection[Any]) -> list[Notice]:
            async with connection.cursor(row_factory=dict_row) as cursor:
                await cursor.execute(_SQL["notification_claim"], parameters)
                rows = await cursor.fetchall()
            alerts = await load_many(connection, [row["alert_id"] for row in rows]) if rows else {}
            return [Notice(alert=alerts[row.pop("alert_id")], **row) for row in rows]

        return await self._hold.transact(work)

    async def _handle(self, notice: Notice) -> None:
        sent = await self._send(notice)
        now = self._clock.now()
        given_up = not sent.usable or now - notice.created_at >= timedelta(hours=self._settings.give_up_hours)
        state = "sent" if sent.ok else "failed" if given_up else "pending"
        wait_s = backoff_s(notice.attempts + 1, self._random, longest_s=_LONGEST_S)
        settled = {
            "id": notice.id,
            "state": state,
            "error": sent.error,
            "next_attempt_at": now + timedelta(seconds=wait_s),
            "sent_at": now if sent.ok else None,
        }

        async def work(connection: psycopg.AsyncConnection[Any]) -> None:
            await connection.execute(_SQL["notification_settle"], settled)
            if state == "failed" and notice.phase == "raised":
                # Who was not told of the raise is not told of its end.
                await connection.execute(
                    _SQL["notification_withhold_end"],
                    {"alert_id": notice.alert.id, "person_id": notice.person_id, "channel": notice.channel},
                )

        await self._hold.transact(work)
        if state != "pending":
            metrics.MESSAGES.labels(notice.channel, state).inc()
        if state == "failed":
            logger.warning(
                "notification failed",
                extra={
                    "alert": notice.alert.id,
                    "person": notice.person_id,
                    "channel": notice.channel,
                    "error": sent.error,
                },
            )

    async def _send(self, notice: Notice) -> Sent:
        registry = self._watch.current
        person = registry.people.get(notice.person_id)
        contact = by_channel(person.contacts).get(notice.channel) if person is not None and person.enabled else None
        if person is None or contact is None:
            return Sent(ok=False, error="the person no longer has this channel", usable=False)
        language: wording.Language = "en" if person.language == "en" else "zh"
        message = wording.compose(notice.alert, notice.phase, language, registry, self._settings.link)
        sending = asyncio.get_running_loop().run_in_executor(
            self._threads,
            lambda: channels.send(
                contact, message, alert=notice.alert.id, phase=notice.phase, timeout_s=self._settings.timeout_s
            ),
        )
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                sent = await sending
        except TimeoutError:
            return Sent(ok=False, error=f"no answer from the channel within {self._settings.timeout_s:g} s")
        except Exception as error:
            # A channel's own fault stops neither the other messages nor this one.
            logger.exception("channel failed", extra={"channel": notice.channel, "notification": notice.id})
            sent = Sent(ok=False, error=f"the channel failed: {type(error).__name__}: {error}")
        return Sent(ok=sent.ok, error=redact(sent.error), usable=sent.usable)
