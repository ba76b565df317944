"""The periodic work of the alerts room. Several processes may offer it; the one that holds the lock does it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import psycopg

from alerts.notices.escalation import escalate_due
from alerts.rectification import reminders, requests
from alerts.reports import job as report_job
from core.clock import Clock
from core.schedule import Schedule
from core.settings import Settings
from sensors.profiles import Profile
from sensors.registry import RegistryWatch

LOCK = 0x5317E0C2
"""Key of the advisory lock of whoever does it."""

_ESCALATIONS_S = 1.0
_REMINDERS_S = 5.0
_OLD_REQUESTS_S = 3600.0
_REPORTS_S = 15.0


class AlertJobs:
    """The jobs; each is safe to run again at any time."""

    def __init__(self, settings: Settings, watch: RegistryWatch, profiles: Mapping[str, Profile], clock: Clock) -> None:
        self._settings = settings
        self._watch = watch
        self._profiles = profiles
        self._clock = clock

    async def escalations(self, connection: psycopg.AsyncConnection[Any]) -> str:
        """Tells further people of violations that nobody acknowledges."""
        return await escalate_due(connection, self._watch.current, self._settings, self._clock)

    async def reminders(self, connection: psycopg.AsyncConnection[Any]) -> str:
        """Reminds of orders to rectify, and tells further roles of those that are late."""
        return await reminders.remind_due(connection, self._watch.current, self._clock)

    async def reports(self, connection: psycopg.AsyncConnection[Any]) -> str:
        """Makes the reports of days and weeks that are over."""
        return await report_job.make_due(
            connection, self._watch.current, self._profiles, self._settings.alerts, self._clock
        )

    async def old_requests(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Forgets idempotency keys that nobody will send again."""
        await requests.forget_old(connection, now=self._clock.now())


async def run(
    settings: Settings, watch: RegistryWatch, profiles: Mapping[str, Profile], clock: Clock, stop: asyncio.Event
) -> None:
    """Do what is due until `stop`."""
    jobs = AlertJobs(settings, watch, profiles, clock)
    schedule = Schedule(settings.database, name="alerts", lock=LOCK, clock=clock)
    schedule.every(_ESCALATIONS_S, jobs.escalations)
    schedule.every(_REMINDERS_S, jobs.reminders)
    schedule.every(_OLD_REQUESTS_S, jobs.old_requests)
    schedule.every(_REPORTS_S, jobs.reports)
    await schedule.run(stop)
