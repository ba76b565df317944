"""The cameras of this worker: one task each, started, restarted and ended as the registry says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Container, Mapping

from core.clock import Clock
from core.errors import InvalidInput
from core.settings import CameraSettings
from sensors.registry import Camera, Registry
from vision.camera import CameraWorker
from vision.episodes import Change, EpisodeWriter
from vision.judge import Episode, Left, Transition
from vision.options import camera_settings
from vision.states import StateBoard

logger = logging.getLogger(__name__)

_RESTART_S = 5.0

MakeWorker = Callable[[Camera, CameraSettings], CameraWorker]


class Fleet:
    """Keeps one `CameraWorker` running for every enabled camera; a fault of one stays with it."""

    def __init__(
        self,
        make: MakeWorker,
        *,
        defaults: CameraSettings,
        board: StateBoard,
        episodes: EpisodeWriter,
        clock: Clock,
    ) -> None:
        """`make` builds the worker of a camera with its settings."""
        self.workers: dict[int, CameraWorker] = {}
        self._make = make
        self._defaults = defaults
        self._board = board
        self._episodes = episodes
        self._clock = clock
        self._cameras: dict[int, Camera] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._left: dict[int, Left] = {}

    def open_episodes(self) -> list[tuple[int, Episode]]:
        """Every open episode with its camera's id."""
        return [(number, episode) for number, worker in self.workers.items() for episode in worker.decider.episodes]

    async def apply(self, registry: Registry, held: Container[int], left: Mapping[int, Left]) -> None:
        """Bring the cameras that this worker holds in line with the registry: start what is new, end what is gone or
        disabled, restart what has changed, and let go of what it holds no more.

        `left` is what earlier watches left of cameras that are held now for the first time.
        """
        self._left.update(left)
        mine = {number: camera for number, camera in registry.cameras.items() if number in held}
        wanted = {number: camera for number, camera in mine.items() if runs(camera, registry)}
        for number in [number for number, camera in self._cameras.items() if wanted.get(number) != camera]:
            # One that another worker has now goes on there, with its episodes.
            elsewhere = number in registry.cameras and number not in held
            await self._stop(number, for_good=number not in wanted and not elsewhere)
            if elsewhere:
                self._left.pop(number, None)
        for number, camera in mine.items():
            name = f"{registry.sites[camera.site_id].code}/{camera.code}"
            if number not in wanted:
                self._board.status(number, name).change("disabled", now=self._clock.now())
                if (remains := self._left.pop(number, None)) is not None:
                    self._end(camera, remains)
            elif number not in self._cameras:
                self._start(camera, name)
        self._board.keep(mine)

    async def close(self) -> None:
        """Stop every camera; open episodes stay open for the next run to go on with."""
        for number in list(self._cameras):
            await self._stop(number, for_good=False)

    def _start(self, camera: Camera, name: str) -> None:
        self._cameras[camera.id] = camera
        status = self._board.status(camera.id, name)
        try:
            options = camera_settings(self._defaults, camera.options)
        except InvalidInput as error:
            status.change("broken", now=self._clock.now(), reason="invalid_options", message=str(error))
            if (remains := self._left.pop(camera.id, None)) is not None:
                self._end(camera, remains)
            logger.warning("camera not started", extra={"camera": name, "error": str(error)})
            return
        status.change("starting", now=self._clock.now())
        worker = self._make(camera, options)
        if (remains := self._left.pop(camera.id, None)) is not None:
            worker.resume(remains)
        self.workers[camera.id] = worker
        self._tasks[camera.id] = asyncio.create_task(self._keep(camera, worker, name), name=f"camera {name}")

    async def _keep(self, camera: Camera, worker: CameraWorker, name: str) -> None:
        while True:
            try:
                await worker.run()
            except Exception:
                # Whatever it is, it is this camera's and must not reach the others; it is shown, and tried again.
                logger.exception("camera failed", extra={"camera": name})
            self._board.status(camera.id, name).change(
                "broken", now=self._clock.now(), reason="internal_error", message="see the log of the vision worker"
            )
            await self._clock.sleep(_RESTART_S)

    async def _stop(self, number: int, *, for_good: bool) -> None:
        del self._cameras[number]
        task, worker = self._tasks.pop(number, None), self.workers.pop(number, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if worker is None:
            return
        if for_good:
            worker.close()
        else:
            self._left[number] = worker.leave()

    def _end(self, camera: Camera, remains: Left) -> None:
        for episode in remains.episodes:
            episode.ended_at = episode.last_seen_at
            self._episodes.submit(Change(camera.id, camera.site_id, Transition("ended", episode)))


def runs(camera: Camera, registry: Registry) -> bool:
    """Whether the camera is to be watched at all."""
    return camera.enabled and registry.sites[camera.site_id].enabled
