"""Vision workers as actors of a Ray cluster: as many as set, spread over its nodes, made anew when a node dies.

Ray places processes; which worker has which camera is decided by the leases in the database, as everywhere. So the
cameras of a node that dies go to the workers that live within seconds, and a new actor gets its part again.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from types import ModuleType
from typing import Any

from core.clock import Clock, SystemClock
from core.errors import ConfigurationError, Unavailable
from core.settings import Settings

logger = logging.getLogger(__name__)

_AGAIN_S = 5.0


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Keep `vision.workers` actors at work on the cluster at `vision.ray_address` until `stop`."""
    await Crew(settings, SystemClock()).run(stop)


class Crew:
    """The actors of one platform."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """ConfigurationError where ray is not installed, Unavailable where the cluster does not answer."""
        self._settings = settings
        self._clock = clock
        self._ray = _load()
        try:
            self._ray.init(
                address=settings.vision.ray_address,
                ignore_reinit_error=True,
                log_to_driver=False,
                namespace="smartsite",
            )
        except (ConnectionError, ValueError) as error:
            raise Unavailable(
                f"no Ray cluster answers at {settings.vision.ray_address}: {error}",
                hint="start one (`ray start --head`), or leave vision.ray_address empty",
            ) from error
        # An actor that is lost is made anew by us, not by Ray: it would restart only where its own work is called.
        self._actor = self._ray.remote(num_cpus=settings.vision.ray_cpus, max_restarts=0)(VisionActor)

    async def run(self, stop: asyncio.Event) -> None:
        """Keep every actor at work."""
        numbers = range(1, self._settings.vision.workers + 1)
        work = [asyncio.create_task(self._keep(number), name=f"actor {number}") for number in numbers]
        halt = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({*work, halt}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*work, halt):
                task.cancel()
            results = await asyncio.gather(*work, halt, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _keep(self, number: int) -> None:
        """One worker, on whichever node has room, again and again."""
        vision = self._settings.vision
        own = vision.model_copy(update={"worker": f"{vision.worker}-ray{number}", "live_port": 0, "ray_address": ""})
        settings = self._settings.model_copy(update={"vision": own})
        while True:
            actor = self._actor.options(scheduling_strategy="SPREAD").remote(settings)
            try:
                await actor.work.remote()
            except self._ray.exceptions.RayActorError as error:
                logger.warning("a vision actor is lost", extra={"worker": own.worker, "error": str(error)})
            except asyncio.CancelledError:
                await asyncio.shield(self._end(actor))
                raise
            await self._clock.sleep(_AGAIN_S)

    async def _end(self, actor: Any) -> None:
        """In order if it still can, by force otherwise."""
        try:
            async with asyncio.timeout(10):
                await actor.stop.remote()
        except (TimeoutError, self._ray.exceptions.RayError) as error:
            logger.warning("a vision actor does not end by itself", extra={"error": str(error)})
        self._ray.kill(actor)


class VisionActor:
    """One vision worker in a process of the cluster."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop = asyncio.Event()
        self._done = asyncio.Event()

    async def work(self) -> None:
        """Watch cameras until `stop`."""
        from core import logs
        from vision.service import VisionService

        logs.setup(self._settings.log, process=f"vision {self._settings.vision.worker}")
        vision = self._settings.vision.model_copy(update={"live_host": _load().util.get_node_ip_address()})
        settings = self._settings.model_copy(update={"vision": vision})
        try:
            await VisionService(settings, SystemClock()).run(self._stop)
        finally:
            self._done.set()

    async def stop(self) -> None:
        """End in order."""
        self._stop.set()
        await self._done.wait()


def _load() -> ModuleType:
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise ConfigurationError(
            f"ray is not installed ({error})", hint="install the extra: pip install 'smartsite[ray]'"
        ) from error
