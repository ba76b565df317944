"""The alerts process: the engine, the delivery worker and the notifier, started and ended in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from typing import Any

from alerts import delivery, periodic
from alerts.evaluation import Evaluation
from alerts.linkage import Linker, load
from alerts.notices import worker as notices
from alerts.replay.worker import Trials
from alerts.rules.versions import in_force
from alerts.rules.watch import RuleWatch
from alerts.rules.written import written
from alerts.team import Team
from alerts.uplink import worker as uplinks
from core.clock import Clock, SystemClock
from core.database import Reconnecting
from core.settings import Settings
from core.tasks import until
from core.workers import Heartbeat
from sensors.profiles import load_profiles
from sensors.registry import RegistryWatch

logger = logging.getLogger(__name__)

NAME = "alerts"
_GRACE_S = 3.0


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Judge, deliver and notify until `stop`.

    Raises:
        ConfigurationError: the rule files (with no rules in force before), a target or a channel is not usable.
    """
    clock = SystemClock()
    targets = {target.name for target in settings.alerts.targets}
    watch = RegistryWatch(settings.database, application=NAME, clock=clock)
    found: list[RuleWatch] = []

    async def prepare() -> None:
        found.append(await _rules(settings, targets, clock))
        await watch.open()

    # The database may be away for long.
    await until(stop, prepare())
    if stop.is_set():
        await watch.run(stop)  # gives up its connection
        return
    (rules,) = found
    profiles = load_profiles(settings.kinds_dir)
    linkages = load(settings.alerts.linkages, profiles)
    team = Team(settings.alerts.engines)
    lanes = [
        Evaluation(
            settings,
            watch=watch,
            rules=rules,
            clock=clock,
            linker=Linker(linkages, profiles),
            team=team,
            lane=lane,
        )
        for lane in range(team.engines)
    ]
    heart = Heartbeat(settings.alerts.worker, room="alerts", settings=settings.database, clock=clock)

    def detail() -> dict[str, Any]:
        held = [lane for lane, evaluation in enumerate(lanes) if evaluation.running]
        return {"engine": bool(held), "lanes": held, "rules": len(rules.current.enabled)}

    ending = asyncio.Event()
    engines = [asyncio.create_task(one.run(stop), name=f"engine {lane}") for lane, one in enumerate(lanes)]
    halt = asyncio.create_task(stop.wait(), name="stop")
    beside = [
        asyncio.create_task(watch.run(ending), name="registry"),
        asyncio.create_task(heart.run(ending, detail), name="heartbeat"),
        asyncio.create_task(delivery.run(settings, clock, ending), name="delivery"),
        asyncio.create_task(notices.run(settings, watch, clock, ending), name="notify"),
        asyncio.create_task(periodic.run(settings, watch, profiles, clock, ending), name="periodic"),
        asyncio.create_task(Trials(settings, clock).run(ending), name="rule trials"),
        asyncio.create_task(uplinks.run(settings, watch, profiles, clock, ending), name="up-links"),
    ]
    logger.info("alerts is ready", extra={"rules": len(rules.current.enabled), "targets": len(targets)})
    try:
        done, _ = await asyncio.wait({*engines, halt, *beside}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()  # only engines end without an error, when they are told to stop
        # They store what is in hand; one that waits for a database that is away would wait on.
        done, _ = await asyncio.wait(engines, timeout=_GRACE_S)
        for task in done:
            task.result()
    finally:
        # What the engines committed last is delivered now or by the next process.
        halt.cancel()
        for engine in engines:
            engine.cancel()
        ending.set()
        await asyncio.gather(*engines, halt, *beside, return_exceptions=True)


async def _rules(settings: Settings, targets: Collection[str], clock: Clock) -> RuleWatch:
    """The rules of files and people, or those that were in force last where these are not usable."""
    keeper = Reconnecting(settings.database, application=NAME, clock=clock)
    try:
        async with keeper.connection() as connection:
            stored, texts = await in_force(connection), await written(connection)
    finally:
        await keeper.close()
    return RuleWatch(settings.alerts.rules, load_profiles(settings.kinds_dir), targets, written=texts, stored=stored)
