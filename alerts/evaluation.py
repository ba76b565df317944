"""The engine at work: log entries in, and one transaction for everything that follows from them.

Transitions, deliveries, notices, the position in the log and the engine's snapshot commit together or not at all. After
anything that failed the engine is built anew from the last snapshot and reads on from the position that was stored
with it, so a kill at any moment changes nothing in what is raised. Sites are divided into lanes; one engine at a time
judges a lane, by locks of the database (alerts.team), and others stand by.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import psycopg

from alerts import consequences, hush, life, logbook, metrics
from alerts.engine import Engine, Transition
from alerts.engine.snapshot import BadSnapshot
from alerts.linkage import Linker
from alerts.listening import Heard, Listening
from alerts.model import AlertRow, load_open
from alerts.rules.model import RuleSet
from alerts.rules.versions import put_in_force
from alerts.rules.watch import RuleWatch
from alerts.rules.written import written
from alerts.team import Team
from core import log
from core.clock import Clock, micros
from core.database import Reconnecting, is_outage
from core.settings import Settings
from core.sql import queries
from sensors.batch import ReadingBatch
from sensors.entries import EpisodeEntry
from sensors.registry import Registry, RegistryWatch, load_registry

logger = logging.getLogger(__name__)

READER = "alerts"
_RULES_LOCK = 0x5317E0B2
_SHARE_S = 1.0
_BATCH = 256
_REST_S = 0.02  # a turn costs the same for one entry as for many: let some gather
_UNMUTE_S = 2.0
_TICK_S = 0.4  # less than the doorbell's back-stop, so that every idle turn looks
_SQL = queries("alerts")


class Evaluation:
    """Keeps one engine in step with the log, the registry and the rules."""

    def __init__(
        self,
        settings: Settings,
        *,
        watch: RegistryWatch,
        rules: RuleWatch,
        clock: Clock,
        linker: Linker | None = None,
        team: Team | None = None,
        lane: int = 0,
    ) -> None:
        self._settings = settings
        self._team = team or Team(settings.alerts.engines)
        self._lane = lane
        self._in_force: RuleSet = rules.current
        self._watch = watch
        self._rules = rules
        self._clock = clock
        self._linker = linker or Linker((), {})
        self._keeper = Reconnecting(settings.database, application="alerts engine", clock=clock)
        self._reader = log.Reader(READER, registered=True, shards=self._team.shards(lane))
        self._listening = Listening(clock)
        self._engine: Engine | None = None
        self._registry: Registry = self._team.part(watch.current, lane)
        self._strangers: set[int] = set()  # devices in the log that the registry does not hold
        self._versions: Mapping[str, int] = {}
        self._session: psycopg.AsyncConnection[Any] | None = None  # the one that holds the lock
        self._stale = False  # rules or registry have moved
        self._dirty = False  # something was read since the last commit
        self._snapshot_at = self._rules_at = self._ticked_at = self._unmuted_at = clock.monotonic()
        self._shared_at = clock.monotonic()
        self._alone = False  # snapshots of another division are gone

    @property
    def running(self) -> bool:
        """Whether this process holds the engine; False: it stands by, or the database is away."""
        return self._session is not None

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`, then store what is in hand."""
        try:
            async for _ in log.doorbell(self._settings.database, clock=self._clock, stop=stop, rest_s=_REST_S):
                try:
                    async with self._keeper.connection() as connection:
                        await self._turn(connection, stop)
                except psycopg.Error as error:
                    self._engine = self._session = None
                    self._team.release(self._lane)
                    if not is_outage(error):
                        raise
            await self._finish()
        finally:
            self._team.release(self._lane)
            await self._keeper.close()

    async def _turn(self, connection: psycopg.AsyncConnection[Any], stop: asyncio.Event) -> None:
        """Catch up with the log, then look at what time alone brings about."""
        if self._engine is None or connection is not self._session:
            self._engine = self._session = None
            if not await self._open(connection):
                return
        if await self._gives_way(connection):
            return
        await self._refresh(connection)
        # What is silent by these times may have spoken since: they are taken before the log is read to its end.
        now, heard = self._clock.now(), await self._heard(connection)
        while not stop.is_set():
            before = dict(self._reader.position)
            entries = await self._reader.read(connection, _BATCH)
            if entries:
                logbook.warn_of_gaps(before, entries)
                await self._take(connection, entries)
            if len(entries) < _BATCH:
                await self._tick(connection, now, heard)
                return

    async def _open(self, connection: psycopg.AsyncConnection[Any]) -> bool:
        """Take the lane and the stored state; False where another process has it, or shall have it."""
        if not await self._team.take(connection, self._lane):
            return False
        self._registry, self._in_force = self._team.part(self._watch.current, self._lane), self._rules.current
        engine = Engine(self._rules.current.enabled, self._registry, self._rules.profiles)
        await self._reader.open(connection, at="start")
        stored = await (await connection.execute(_SQL["snapshots"])).fetchall()
        for _, state in stored:
            try:
                engine.load(bytes(state))
            except BadSnapshot as error:
                # What is open comes from the alerts' own rows; windows and durations in hand start anew.
                logger.warning("engine starts without its state", extra={"error": str(error)})
        for device, seen_at in await (await connection.execute(_SQL["devices_heard"])).fetchall():
            engine.hear(device, micros(seen_at))
        await self._put_in_force(connection, engine)
        self._session = connection
        self._listening.restart()
        self._snapshot_at = self._clock.monotonic()
        self._dirty = False
        logger.info(
            "engine is running", extra={"rules": len(engine.rules), "lane": self._lane, "snapshot": bool(stored)}
        )
        return True

    async def _gives_way(self, connection: psycopg.AsyncConnection[Any]) -> bool:
        """Leave the lane to a process that has less than its share; what is in hand is stored first."""
        if self._team.engines == 1 or self._clock.monotonic() - self._shared_at < _SHARE_S:
            return False
        self._shared_at = self._clock.monotonic()
        if not await self._team.is_too_much(connection):
            return False
        if self._dirty:
            await self._commit(connection, [])
        self._engine = self._session = None
        await self._team.give(connection, self._lane)
        logger.info("engine leaves its lane to another process", extra={"lane": self._lane})
        return True

    async def _refresh(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Follow changes of the registry and of the rules."""
        if self._watch.current.version > self._registry.version:
            self._follow(self._watch.current)
        if self._clock.monotonic() - self._rules_at >= self._settings.alerts.rules_check_s:
            self._rules_at = self._clock.monotonic()
            self._rules.poll(await written(connection))
        # The rules are looked at by all lanes of the process: whoever sees them move, all follow.
        self._stale |= self._rules.current is not self._in_force
        if self._stale:
            await self._rebuild(connection)

    def _follow(self, registry: Registry) -> None:
        known, registry = self._registry, self._team.part(registry, self._lane)
        self._registry = registry
        # People and units come and go without the engine.
        followed = ("sites", "devices", "cameras", "permits", "stages")
        if any(getattr(registry, part) != getattr(known, part) for part in followed):
            self._stale = True

    async def _rebuild(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """A new engine for new rules or devices, with the old one's state."""
        assert self._engine is not None
        self._in_force = self._rules.current
        engine = Engine(self._in_force.enabled, self._registry, self._rules.profiles)
        engine.load(self._engine.dump())
        await self._put_in_force(connection, engine)
        logger.info("engine follows rules and registry", extra={"rules": len(engine.rules)})

    async def _put_in_force(self, connection: psycopg.AsyncConnection[Any], engine: Engine) -> None:
        """Number the rules, agree with the database on what is open, and end what no rule looks at any more."""
        self._engine = None  # until the transaction has held
        async with connection.transaction():
            await connection.execute(_SQL["rules_lock"], {"key": _RULES_LOCK})
            versions = await put_in_force(connection, engine.rules.values(), clock=self._clock)
            opened = [alert for alert in await load_open(connection) if self._team.has(self._lane, alert.site_id)]
            await consequences.adopt(connection, engine, opened, **self._common())
        self._engine, self._versions, self._stale = engine, versions, False
        metrics.RULES.set(len(engine.rules))

    async def _take(self, connection: psycopg.AsyncConnection[Any], entries: Sequence[log.Entry]) -> None:
        """Evaluate entries of the log; commit at once where they change an alert."""
        items, cleared = logbook.decode(entries)
        await self._know_devices(connection, items)
        assert self._engine is not None
        # Streams have no order among each other: what a person cleared is forgotten before new readings are judged.
        await self._forget(connection, cleared)
        readings = [item for item in items if isinstance(item, ReadingBatch)]
        told = self._engine.feed(*readings)
        for batch in readings:
            self._linker.feed(batch)
        metrics.READINGS.inc(sum(map(len, readings)))
        for item in items:
            if isinstance(item, EpisodeEntry):
                told += self._engine.feed_episode(item)
        self._dirty = True
        if told or self._snapshot_is_due():
            await self._commit(connection, told)
        if told:
            metrics.DELAY.observe(max(0.0, (self._clock.now() - entries[-1].written_at).total_seconds()))

    async def _know_devices(self, connection: psycopg.AsyncConnection[Any], items: Sequence[logbook.Item]) -> None:
        """A device's first reading may be here before the notification of its registration."""
        assert self._engine is not None
        strangers = {
            device
            for item in items
            if isinstance(item, ReadingBatch) and self._engine.unknown(item)
            for device in item.device.tolist()
            if device not in self._registry.devices
        }
        if not strangers <= self._strangers:
            self._follow(await load_registry(connection))
            # Those that are still unknown are gone: looking for them once is enough.
            self._strangers = strangers
        if self._stale:
            await self._rebuild(connection)

    async def _forget(self, connection: psycopg.AsyncConnection[Any], cleared: Sequence[int]) -> None:
        if not cleared:
            return
        assert self._engine is not None
        cursor = await connection.execute(_SQL["alerts_closed"], {"alert_ids": list(cleared)})
        for rule, subject in await cursor.fetchall():
            if self._engine.is_open(rule, subject):
                self._engine.close(rule, subject, micros(self._clock.now()))

    async def _heard(self, connection: psycopg.AsyncConnection[Any]) -> Heard | None:
        """What silence can be judged of; None: it is not yet time to."""
        if self._clock.monotonic() - self._ticked_at < _TICK_S:
            return None
        self._ticked_at = self._clock.monotonic()
        return await self._listening.heard(connection)

    async def _tick(self, connection: psycopg.AsyncConnection[Any], now: datetime, heard: Heard | None) -> None:
        """Absence, and a snapshot where one is due. Only ever with the log read to its end as of `now`."""
        assert self._engine is not None
        await self._unmute(connection)
        if heard is None:
            return
        told = self._engine.tick(micros(now), listening_since=heard.since, heard_until=heard.until)
        if told or self._snapshot_is_due():
            await self._commit(connection, told)
        else:
            async with connection.transaction():
                await self._linker.step(connection, self._registry, self._clock.now())

    async def _unmute(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Tell what still stands at the end of a mute window."""
        if self._clock.monotonic() - self._unmuted_at >= _UNMUTE_S:
            self._unmuted_at = self._clock.monotonic()
            async with connection.transaction():
                await hush.unmute(connection, self._clock.now())

    def _snapshot_is_due(self) -> bool:
        return self._dirty and self._clock.monotonic() - self._snapshot_at >= self._settings.alerts.snapshot_every_s

    async def _commit(self, connection: psycopg.AsyncConnection[Any], told: Sequence[Transition]) -> None:
        """One transaction: transitions with all they cause, values, position and snapshot."""
        engine = self._engine
        assert engine is not None
        self._engine = None  # until the transaction has held
        state, alone = engine.dump(), self._alone
        async with connection.transaction():
            # What explains others comes first; the order within a rule and subject stays.
            ordered = sorted(told, key=lambda transition: bool(transition.rule.inhibited_by))
            ended: list[AlertRow] = []
            common = self._common()
            refused = [
                transition
                for transition in ordered
                if not await consequences.write(
                    connection, transition, self._versions[transition.rule.id], ended, **common
                )
            ]
            for alert in ended:
                await hush.uninhibit(connection, alert, self._clock.now())
            await life.progress(connection, engine.progress(), clock=self._clock)
            await self._linker.step(connection, self._registry, self._clock.now())
            await self._reader.commit(connection)
            names = [_name(lane, self._team.engines) for lane in range(self._team.engines)]
            await connection.execute(
                _SQL["snapshot_put"], {"engine": names[self._lane], "now": self._clock.now(), "state": state}
            )
            if not self._alone:
                row = await (await connection.execute(_SQL["snapshots_forget"], {"engines": names})).fetchone()
                alone = row is not None and row[0] == 0
        for transition in refused:
            engine.close(transition.rule.id, transition.subject, micros(self._clock.now()))
        self._engine = engine
        self._alone = alone
        self._snapshot_at = self._clock.monotonic()
        self._dirty = False
        for transition in told:
            metrics.TRANSITIONS.labels(transition.rule.id, transition.phase).inc()
        metrics.SNAPSHOT_BYTES.set(len(state))
        metrics.LATE.set(engine.late())

    def _common(self) -> consequences.Common:
        return {"registry": self._registry, "settings": self._settings, "clock": self._clock}

    async def _finish(self) -> None:
        """Store what was read since the last commit; what cannot be stored is read again at the next start."""
        if self._engine is None or not self._dirty:
            return
        try:
            async with asyncio.timeout(2), self._keeper.connection() as connection:
                if connection is self._session:
                    await self._commit(connection, [])
        except (psycopg.Error, TimeoutError) as error:
            logger.info("engine stopped without a last snapshot", extra={"error": str(error).strip()})


def _name(lane: int, engines: int) -> str:
    """Name of a lane's snapshot."""
    return READER if engines == 1 else f"{READER} {lane}/{engines}"
