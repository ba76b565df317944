"""What is due on each up-link, and how far it is: real-time data as they come, periods until they are acknowledged.

Of several alerts processes one serves an up-link, by an advisory lock. A period's cursor moves when the platform has
acknowledged it, so that an outage is filled in from the roll-ups afterwards; real-time data of an outage are not sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

import psycopg

from alerts import metrics
from alerts.settlement import backoff_s
from alerts.uplink import rows
from alerts.uplink.link import Declined, Link, Lost
from alerts.uplink.packets import HOUR_DATA, MINUTE_DATA, codes_of, floor, of_period, of_readings
from core.clock import Clock
from core.database import Reconnecting, is_outage
from core.errors import ConfigurationError
from core.settings import DatabaseSettings, Settings, UplinkSettings
from core.sql import queries
from sensors.hj212.packet import Packet
from sensors.hj212.sm4 import key_bytes
from sensors.profiles import Profile
from sensors.registry import Device, Registry, RegistryWatch

logger = logging.getLogger(__name__)

_SQL = queries("alerts")
_LOCK_SPACE = 0x5AFE0B1
_TICK_S = 1.0
_STANDBY_S = 5.0
_LOOK_S = 2.0
"""Seconds after which a station that has nothing new is looked at again."""
_LONGEST_WAIT_S = 60.0
_PERIODS = 50
"""Periods of one station that go out before the others, and real-time data, have their turn."""


async def run(
    settings: Settings, watch: RegistryWatch, profiles: Mapping[str, Profile], clock: Clock, stop: asyncio.Event
) -> None:
    """Serve every up-link until `stop`.

    Raises:
        ConfigurationError: an up-link's codes or key are not usable.
    """
    served = [
        Uplink(uplink, settings.database, watch=watch, profiles=profiles, clock=clock)
        for uplink in settings.alerts.uplinks
    ]
    tasks = [asyncio.create_task(uplink.run(), name=f"up-link {uplink.name}") for uplink in served]
    stopping = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stopping}:
            task.result()
    finally:
        for task in (stopping, *tasks):
            task.cancel()
        await asyncio.gather(stopping, *tasks, return_exceptions=True)


@dataclass(slots=True)
class Station:
    """A device on an up-link, as far as this process knows."""

    mn: str
    sent: datetime | None = None  # time of the newest reading that went out
    due_at: float = 0.0  # monotonic, of the next real-time data
    rests_until: float = 0.0  # monotonic; the platform refused it
    done: dict[str, datetime] = field(default_factory=dict)  # by command: periods before are done with


class Uplink:
    """One platform."""

    def __init__(
        self,
        uplink: UplinkSettings,
        database: DatabaseSettings,
        *,
        watch: RegistryWatch,
        profiles: Mapping[str, Profile],
        clock: Clock,
    ) -> None:
        self.name = uplink.name
        self._uplink = uplink
        self._keeper = Reconnecting(database, application=f"up-link {uplink.name}", clock=clock)
        self._watch = watch
        self._profiles = profiles
        self._clock = clock
        self._random = Random()
        self._stations: dict[int, Station] = {}
        self._failures = 0  # connections in a row on which nothing was acknowledged
        self._nameless: set[str] = set()
        self._widths = {
            command: width
            for command, width, wanted in (
                (MINUTE_DATA, timedelta(minutes=uplink.minutes), uplink.minutes > 0),
                (HOUR_DATA, timedelta(hours=1), uplink.hours),
            )
            if wanted
        }
        try:
            self._codes = codes_of(uplink)
            if uplink.key.get_secret_value():
                key_bytes(uplink.key.get_secret_value())
        except ValueError as error:
            raise ConfigurationError(
                f"up-link {uplink.name}: {error}", hint="correct [[alerts.uplinks]] in the settings"
            ) from None

    async def run(self) -> None:
        """Serve until cancelled; outages of the database and of the platform are waited out."""
        try:
            while True:
                try:
                    async with self._keeper.connection() as connection:
                        if not await self._is_ours(connection):
                            await self._clock.sleep(_STANDBY_S)
                            continue
                        await self._serve(connection)
                except psycopg.Error as error:
                    if not is_outage(error):
                        raise
                except Lost as lost:
                    self._failures += 1
                    wait_s = backoff_s(self._failures, self._random, longest_s=_LONGEST_WAIT_S)
                    logger.warning("up-link is down", extra={"uplink": self.name, "reason": str(lost)})
                    await self._clock.sleep(wait_s)
        finally:
            await self._keeper.close()

    async def _is_ours(self, connection: psycopg.AsyncConnection[Any]) -> bool:
        # Taken again on every turn of the same session, which counts; it ends with the session.
        asked = {"space": _LOCK_SPACE, "uplink": self.name}
        row = await (await connection.execute(_SQL["uplink_lock"], asked)).fetchone()
        return row is not None and bool(row[0])

    async def _serve(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Connect, and send what is due until something fails."""
        link = await Link.open(self._uplink)
        logger.info("up-link is connected", extra={"uplink": self.name})
        metrics.UPLINK_CONNECTED.labels(self.name).set(1)
        try:
            known = await rows.cursors(connection, self.name)
            while True:
                more = False
                through = await rows.complete_until(connection)
                for device, profile, station in self._due(self._watch.current, known):
                    try:
                        await self._real_time(connection, link, device, profile, station)
                        more |= await self._periods(connection, link, device, profile, station, through)
                    except Declined as declined:
                        station.rests_until = self._clock.monotonic() + _LONGEST_WAIT_S
                        metrics.UPLINK_PACKETS.labels(self.name, "", "declined").inc()
                        extra = {"uplink": self.name, "mn": station.mn, "reason": str(declined)}
                        logger.warning("the platform refuses a station's data", extra=extra)
                if not more:
                    await self._clock.sleep(_TICK_S)
        finally:
            metrics.UPLINK_CONNECTED.labels(self.name).set(0)
            await link.close()

    def _due(
        self, registry: Registry, known: Mapping[tuple[int, str], datetime]
    ) -> Iterator[tuple[Device, Profile, Station]]:
        """The stations that are reported and not resting."""
        uplink = self._uplink
        for device in registry.devices.values():
            site = registry.sites[device.site_id]
            profile = self._profiles.get(device.kind)
            if device.kind not in uplink.kinds or profile is None or not device.enabled or not site.enabled:
                continue
            if uplink.sites and site.code not in uplink.sites:
                continue
            path = f"{device.site}/{device.code}"
            mn = uplink.mn.get(path) or device.mn
            if not mn:
                if path not in self._nameless:
                    self._nameless.add(path)
                    logger.warning(
                        "a station has no MN and is not reported", extra={"uplink": self.name, "device": path}
                    )
                continue
            station = self._stations.get(device.id)
            if station is None or station.mn != mn:
                done = {command: known[device.id, command] for command in self._widths if (device.id, command) in known}
                station = self._stations[device.id] = Station(mn, done=done)
            if station.rests_until <= self._clock.monotonic():
                yield device, profile, station

    async def _real_time(
        self,
        connection: psycopg.AsyncConnection[Any],
        link: Link,
        device: Device,
        profile: Profile,
        station: Station,
    ) -> None:
        """The newest reading, where it is newer than the last that was sent and its time has come."""
        if not self._uplink.real_time_s or self._clock.monotonic() < station.due_at:
            return
        now = self._clock.now()
        # What is older than that is no real-time value any more.
        oldest = now - timedelta(seconds=max(self._uplink.real_time_s, device.interval_s) * 2)
        reading = await rows.newest(connection, profile, device.id, after=max(oldest, station.sent or oldest))
        if reading is None:
            station.due_at = self._clock.monotonic() + min(_LOOK_S, self._uplink.real_time_s)
            return
        for packet in of_readings(self._uplink, station.mn, reading, self._codes, now=now):
            await self._deliver(link, packet)
        station.sent = reading.time
        station.due_at = self._clock.monotonic() + self._uplink.real_time_s

    async def _periods(
        self,
        connection: psycopg.AsyncConnection[Any],
        link: Link,
        device: Device,
        profile: Profile,
        station: Station,
        through: datetime | None,
    ) -> bool:
        """The periods that are over and not acknowledged, oldest first; True where there are more.

        What arrived until `through` is in the roll-ups; None where they have never been made.
        """
        more = False
        now = self._clock.now()
        for command, width in self._widths.items():
            if command not in station.done:
                # A station that is new on the up-link begins with the period that runs now.
                await self._done(connection, device, station, command, floor(now, width))
            if through is None:
                continue
            until = floor(min(now - timedelta(seconds=self._uplink.delay_s), through), width)
            since = max(station.done[command], floor(now - timedelta(days=self._uplink.back_fill_days), width))
            if until <= since:
                continue
            found = await rows.periods(
                connection,
                profile,
                device.id,
                width,
                interval_s=device.interval_s,
                since=since,
                until=until,
                limit=_PERIODS,
            )
            for period in found:
                packets = of_period(self._uplink, station.mn, command, period, self._codes, now=self._clock.now())
                for packet in packets:
                    await self._deliver(link, packet)
                await self._done(connection, device, station, command, period.time + width)
            if len(found) < _PERIODS:
                await self._done(connection, device, station, command, until)
            else:
                more = True
        return more

    async def _done(
        self,
        connection: psycopg.AsyncConnection[Any],
        device: Device,
        station: Station,
        command: str,
        through: datetime,
    ) -> None:
        if station.done.get(command) != through:
            await rows.keep_cursor(connection, self.name, device.id, command, through)
            station.done[command] = through

    async def _deliver(self, link: Link, packet: Packet) -> None:
        try:
            sent = await link.deliver(packet)
        except Lost:
            metrics.UPLINK_PACKETS.labels(self.name, packet.cn, "lost").inc()
            raise
        self._failures = 0
        metrics.UPLINK_PACKETS.labels(self.name, packet.cn, "acknowledged").inc()
        if sent > 1:
            extra = {"uplink": self.name, "command": packet.cn, "times": sent}
            logger.info("a packet was acknowledged after it was sent again", extra=extra)
