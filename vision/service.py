"""The vision room as a process: `smartsite run vision`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor

import psycopg

from core.clock import Clock, SystemClock
from core.database import Reconnecting, is_outage
from core.errors import ConfigurationError
from core.evidence import EvidenceStore
from core.settings import CameraSettings, Settings
from core.tasks import first
from core.workers import Heartbeat
from sensors.registry import Camera, RegistryWatch
from vision import episode_rows
from vision.camera import CameraWorker
from vision.checks import Checks
from vision.detectors import load_detector
from vision.episodes import EpisodeWriter
from vision.fleet import Fleet, runs
from vision.judge import Left
from vision.leases import Leases
from vision.live import LiveServer
from vision.moving import Moving
from vision.states import StateBoard

logger = logging.getLogger(__name__)

_FLUSH_S = 1.0
_SHARE_S = 2.0
_LAST_WRITES_S = 5.0


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Watch every enabled camera of the registry until `stop`; ConfigurationError where the model is not usable."""
    if settings.vision.ray_address:
        from vision import on_ray

        await on_ray.serve(settings, stop)
        return
    await VisionService(settings, SystemClock()).run(stop)


class VisionService:
    """Puts the room together."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        vision, database = settings.vision, settings.database
        self._settings = settings
        self._clock = clock
        self._name = f"vision-{vision.worker}"
        self._detector = load_detector(vision)
        # One thread: the detector has its own, and cameras take turns anyway.
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="analysis")
        self._board = StateBoard(clock)
        store = EvidenceStore(settings.evidence_dir, reserve_bytes=settings.evidence.reserve_bytes)
        self._episodes = EpisodeWriter(database, store, writer=self._name, clock=clock)
        self._fleet = Fleet(
            self._make_worker, defaults=vision.camera, board=self._board, episodes=self._episodes, clock=clock
        )
        self._live = LiveServer(self._fleet.workers)
        self._watch = RegistryWatch(database, application=self._name, clock=clock)
        self._leases = Leases(database, worker=self._name, clock=clock)
        self._checks = Checks(database, vision, worker=self._name, clock=clock)
        self._moving = Moving(self._fleet.workers)
        self._held: frozenset[int] = frozenset()
        self._keeper = Reconnecting(database, application=f"{self._name} states", clock=clock)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop`, then end in order: cameras first, then what they left to be written."""
        vision = self._settings.vision
        try:
            await self._live.start(vision.live_host, vision.live_port)
        except OSError as error:
            raise ConfigurationError(
                f"live pictures cannot be served on {vision.live_host}:{vision.live_port}: {error.strerror}",
                hint="set vision.live_port to a free port, or 0",
            ) from error
        logger.info("vision started", extra={"model": self._detector.name, "live_port": self._live.port})
        heartbeat = Heartbeat(self._name, room="vision", settings=self._settings.database, clock=self._clock)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(heartbeat.run(stop, self._detail))
                tasks.create_task(self._work(stop))
        finally:
            await self._live.close()
            self._executor.shutdown(cancel_futures=True)
            await self._keeper.close()

    async def _work(self, stop: asyncio.Event) -> None:
        """Everything that needs the database to begin with."""
        changed = asyncio.Event()
        self._watch.on_change(lambda _: changed.set())
        if not await _unless(stop, self._open()):
            return
        changed.set()
        writing = [
            asyncio.create_task(self._episodes.run(), name="episodes"),
            asyncio.create_task(self._flush(), name="states"),
            asyncio.create_task(self._follow(changed), name="registry changes and leases"),
            asyncio.create_task(self._watch.run(stop), name="registry"),
            asyncio.create_task(self._checks.run(), name="checks"),
        ]
        halt = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({*writing, halt}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*writing, halt):
                task.cancel()
            results = await asyncio.gather(*writing, return_exceptions=True)
            await self._fleet.close()
            await self._episodes.close(within_s=_LAST_WRITES_S)
            await self._leases.close()
            # Last words: where the database went first, the states simply stay as they were.
            with contextlib.suppress(TimeoutError, psycopg.Error):
                async with asyncio.timeout(_LAST_WRITES_S):
                    await self._write_states(last=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _open(self) -> None:
        """Wait for the database and the registry."""
        await self._watch.open()

    async def _follow(self, changed: asyncio.Event) -> None:
        """Bring the fleet in line with every new registry, and with what other workers take or leave."""
        while True:
            await first(changed.wait(), self._clock.sleep(_SHARE_S))
            changed.clear()
            try:
                await self._share()
            except psycopg.Error as error:
                # What we have we keep until it is known that another took it.
                if not is_outage(error):
                    raise

    async def _share(self) -> None:
        """One turn of sharing the cameras out among the workers."""
        registry = self._watch.current
        enabled = {number for number, camera in registry.cameras.items() if runs(camera, registry)}
        share = await self._leases.turn(enabled, registry.cameras.keys() - enabled)
        left: dict[int, Left] = {}
        if taken := share.held - self._held:
            async with self._keeper.connection() as connection:
                await self._board.open(connection)
                found = await episode_rows.left(connection, self._clock)
            left = {number: remains for number, remains in found.items() if number in taken}
        self._held = share.held - share.surplus
        await self._fleet.apply(registry, self._held, {number: left[number] for number in left.keys() & self._held})
        if share.surplus:
            # Everything of theirs must be in the database before another worker reads it.
            await self._episodes.settled()
            await self._leases.release(share.surplus)
            logger.info("cameras given to other workers", extra={"cameras": len(share.surplus)})

    async def _flush(self) -> None:
        """Write states, counts and last sightings about once a second."""
        while True:
            await self._clock.sleep(_FLUSH_S)
            try:
                await self._write_states()
            except psycopg.Error as error:
                # The next second writes them anew.
                if not is_outage(error):
                    raise

    async def _write_states(self, *, last: bool = False) -> None:
        async with self._keeper.connection() as connection:
            await self._board.write(connection, last=last)
            await episode_rows.sighted(connection, self._fleet.open_episodes())
            await self._moving.look(connection)

    def _make_worker(self, camera: Camera, options: CameraSettings) -> CameraWorker:
        name = f"{self._watch.current.sites[camera.site_id].code}/{camera.code}"
        return CameraWorker(
            camera,
            options,
            detector=self._detector,
            executor=self._executor,
            episodes=self._episodes,
            status=self._board.status(camera.id, name),
            clock=self._clock,
        )

    def _detail(self) -> dict[str, object]:
        """What the worker's row tells: api finds the live pictures by it."""
        return {
            "live_host": self._settings.vision.live_host,
            "live_port": self._live.port,
            "model": self._detector.name,
            "cameras": len(self._board),
            "online": self._board.online(),
        }


async def _unless(stop: asyncio.Event, work: Awaitable[None]) -> bool:
    """Await `work`, but give up at `stop`; whether it was done."""
    doing, halt = asyncio.ensure_future(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({doing, halt}, return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            doing.result()
        return doing.done()
    finally:
        doing.cancel()
        halt.cancel()
        await asyncio.gather(doing, halt, return_exceptions=True)
