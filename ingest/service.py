"""The ingest process: sources -> intake -> writer, started and ended in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import psycopg

from core.clock import Clock, SystemClock
from core.database import Reconnecting
from core.settings import Settings
from core.workers import Heartbeat
from ingest.commander import Commander
from ingest.intake import Intake
from ingest.prepare import Preparer
from ingest.sources.amqp import AmqpSource
from ingest.sources.base import Source, TwoWay
from ingest.sources.broker import BrokerSource
from ingest.sources.endpoint import EndpointSource
from ingest.sources.hj212 import Hj212Source
from ingest.spool import Spool
from ingest.store import Store
from ingest.tcp import allow_connections
from ingest.writer import Shelter, Writer
from sensors.profiles import Profile, load_profiles
from sensors.registry import RegistryWatch
from sensors.registry_copy import open_watch

logger = logging.getLogger(__name__)

DRAIN_S = 8.0
"""Seconds that the last batches have at the end; what is not stored by then stays with those who sent it."""


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Take messages and store them until `stop`, then store what was taken, and end the connections."""
    clock = SystemClock()
    name = f"ingest-{settings.ingest.worker}"
    profiles = load_profiles(settings.kinds_dir)
    registry = RegistryWatch(settings.database, application=name, clock=clock)
    keeper = Reconnecting(settings.database, application=name, clock=clock)
    intake = Intake(high=settings.ingest.waiting_messages, high_bytes=settings.ingest.waiting_mb << 20)
    queued = settings.ingest.sources == ["amqp"]
    spool = None
    # A broker keeps by itself what is not acknowledged, and gives it to another worker where this one is gone.
    if settings.ingest.spool_mb and {"endpoint", "hj212"} & set(settings.ingest.sources):
        folder = settings.data_dir / "spool" / name
        spool = Spool(folder, limit_bytes=settings.ingest.spool_mb << 20)
        if queued and not spool.pending:
            # The queue keeps what the database does not take, and on more than one machine.
            spool.close()
            spool = None
    copy = None if spool is None else settings.data_dir / "registry" / name
    if not await open_watch(registry, stop, copy=copy, patience_s=settings.ingest.spool_after_s):
        if spool is not None:
            spool.close()
        return
    store = Store(worker=settings.ingest.worker, quarantine_rows=settings.ingest.quarantine_rows)
    writer = Writer(
        intake=intake,
        preparer=Preparer(
            profiles,
            max_age=timedelta(days=settings.ingest.max_age_days),
            max_ahead=timedelta(seconds=settings.ingest.max_ahead_s),
        ),
        store=store,
        keeper=keeper,
        clock=clock,
        batch=settings.ingest.batch_messages,
        shelter=None
        if spool is None
        else Shelter(spool=spool, registry=registry, patience_s=settings.ingest.spool_after_s),
        presence=_knows_presence(settings),
    )
    sources = _sources(settings, profiles=profiles, registry=registry, intake=intake, clock=clock)
    heart = Heartbeat(name, room="ingest", settings=settings.database, clock=clock)

    def detail() -> dict[str, Any]:
        facts: dict[str, Any] = {"waiting": len(intake), "watermark": writer.watermark}
        if queued:
            # Whoever of the group is gone, the others hear its devices.
            facts["group"] = f"amqp {settings.ingest.amqp_queue}"
        if spool is not None and spool.pending:
            facts["spooled_bytes"] = spool.pending
        for source in sources:
            facts |= source.detail()
        return facts

    if _knows_presence(settings):
        allow_connections(settings.ingest.max_connections + settings.ingest.hj212_max_connections)
    ending = asyncio.Event()
    writing = asyncio.create_task(writer.run(), name="writer")
    beside = [asyncio.create_task(registry.run(ending), name="registry")]
    halt = asyncio.create_task(stop.wait(), name="stop")
    try:
        for source in sources:
            await source.start()
        # The first beat says that messages may come.
        beside.append(asyncio.create_task(heart.run(ending, detail), name="heartbeat"))
        outlets = [source.outlet for source in sources if isinstance(source, TwoWay)]
        if outlets:
            commander = Commander(outlets, worker=settings.ingest.worker, settings=settings.database, clock=clock)
            beside.append(asyncio.create_task(commander.run(ending), name="commands"))
        logger.info("ingest is ready", extra={"sources": ",".join(settings.ingest.sources)})
        done, _ = await asyncio.wait({halt, writing, *beside}, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {halt}:
            task.result()  # none of them ends by itself but with an error, and that ends the process
    finally:
        for source in sources:
            await source.quiesce()
        await _drain(writer, writing)
        for source in sources:
            await source.close()
        if _knows_presence(settings):
            # The next start does it in any case.
            with contextlib.suppress(TimeoutError, psycopg.OperationalError):
                async with asyncio.timeout(2), keeper.connection() as connection:
                    await store.forget_connected(connection)
        ending.set()
        halt.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await keeper.close()
        if spool is not None:
            spool.close()


def _knows_presence(settings: Settings) -> bool:
    """Whether devices connect to this process itself."""
    return not {"endpoint", "hj212"}.isdisjoint(settings.ingest.sources)


def _sources(
    settings: Settings, *, profiles: Mapping[str, Profile], registry: RegistryWatch, intake: Intake, clock: Clock
) -> list[Source]:
    sources: list[Source] = []
    if "endpoint" in settings.ingest.sources:
        folder = settings.data_dir / "verified" if settings.ingest.remember_verified else None
        remembered = folder / f"ingest-{settings.ingest.worker}" if folder is not None else None
        sources.append(
            EndpointSource(settings.ingest, registry=registry, intake=intake, clock=clock, remembered=remembered)
        )
    if "broker" in settings.ingest.sources:
        sources.append(BrokerSource(settings.ingest, registry=registry, intake=intake, clock=clock))
    if "amqp" in settings.ingest.sources:
        sources.append(AmqpSource(settings.ingest, registry=registry, intake=intake, clock=clock))
    if "hj212" in settings.ingest.sources:
        sources.append(Hj212Source(settings.ingest, profiles=profiles, registry=registry, intake=intake, clock=clock))
    return sources


async def _drain(writer: Writer, writing: asyncio.Task[None]) -> None:
    """Let the writer store what is queued; while the database is away it does not wait for it."""
    writer.stop()
    if not writing.done():
        await asyncio.wait({writing}, timeout=DRAIN_S)
        if not writing.done():
            logger.warning("the database did not take the last messages, their senders keep them")
            writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
