"""Sends commands to the devices that this process reaches, and ends those that were not replied to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import psycopg

from core.clock import Clock
from core.database import Reconnecting, is_outage
from core.log import listen
from core.settings import DatabaseSettings
from core.tasks import until
from ingest import metrics
from ingest.sources.base import Outlet
from sensors import commands

logger = logging.getLogger(__name__)

SWEEP_S = 1.0
"""Seconds between looks for commands that have expired, or whose sender is gone."""
_LAST_TURN_S = 2.0


class Commander:
    """Wakes on the commands' notification, and twice a second for devices that came back meanwhile."""

    def __init__(self, outlets: Sequence[Outlet], *, worker: str, settings: DatabaseSettings, clock: Clock) -> None:
        self._outlets = outlets
        self._worker = worker
        self._settings = settings
        self._clock = clock
        self._keeper = Reconnecting(settings, application=f"commands {worker}", clock=clock)
        self._swept_at = clock.monotonic()
        # Kept over an outage of the database.
        self._fresh: list[set[int]] = [set() for _ in outlets]
        self._arrived: list[int] = []
        self._unsent: list[tuple[int, str]] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop`."""
        try:
            # A turn is not cut short, but where it waits for a database that is away.
            await until(stop, self._turns(stop), grace_s=_LAST_TURN_S)
        finally:
            await self._keeper.close()

    async def _turns(self, stop: asyncio.Event) -> None:
        async for _ in listen(self._settings, commands.CHANNEL, clock=self._clock, stop=stop):
            try:
                async with self._keeper.connection() as connection:
                    await self._turn(connection)
            except psycopg.Error as error:
                if not is_outage(error):
                    raise

    async def _turn(self, connection: psycopg.AsyncConnection) -> None:
        now = self._clock.now()
        for outlet in self._outlets:
            self._arrived += outlet.take_arrived()
            self._unsent += outlet.take_unsent()
        if self._arrived:
            await commands.mark_delivered(connection, self._arrived, now=now)
            self._arrived = []
        if self._unsent:
            await commands.release(connection, self._unsent, worker=self._worker)
            metrics.COMMANDS.labels("returned").inc(len(self._unsent))
            self._unsent = []
        if self._clock.monotonic() - self._swept_at >= SWEEP_S:
            self._swept_at = self._clock.monotonic()
            metrics.COMMANDS.labels("expired").inc(await commands.expire(connection, now=now))
            await commands.requeue_abandoned(connection, now=now)
        found = await commands.waiting(connection, now=now)
        for outlet, fresh in zip(self._outlets, self._fresh, strict=True):
            fresh.update(outlet.take_fresh())
            reached = [
                (number, sent)
                for number, device, sent in found
                if outlet.reaches(device) and (not sent or device in fresh)
            ]
            if reached:
                await self._send(connection, outlet, reached)
            fresh.clear()

    async def _send(
        self, connection: psycopg.AsyncConnection, outlet: Outlet, reached: Sequence[tuple[int, bool]]
    ) -> None:
        """Claim and publish. Claimed first, so that no other worker sends it too; killed in between, it is sent again
        when the device comes back."""
        claimed = await commands.claim(
            connection,
            [number for number, _ in reached],
            [number for number, sent in reached if sent],
            worker=self._worker,
            now=self._clock.now(),
        )
        unsent = [(command.id, "") for command in claimed if not outlet.deliver(command)]
        metrics.COMMANDS.labels("sent").inc(len(claimed) - len(unsent))
        if unsent:
            await commands.release(connection, unsent, worker=self._worker)
