"""Episodes on their way into the database: evidence, row and log entry in one transaction, once, in order.

While the database or the evidence folder is away, changes wait in memory, bounded.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass

import psycopg

from core.clock import Clock
from core.database import Reconnecting, is_outage
from core.evidence import Evidence, EvidenceStore
from core.settings import DatabaseSettings
from vision import episode_rows, metrics
from vision.decide import Transition
from vision.episode_rows import Subject

logger = logging.getLogger(__name__)

_MOST_WAITING = 500  # with two JPEGs each some 200 MB at most
_STORE_RETRY_S = 5.0
_JPEG = "image/jpeg"


@dataclass(frozen=True, slots=True)
class Pictures:
    """The evidence of an episode's start, as JPEG, and the model that found it."""

    frame: bytes
    crop: bytes
    model: str


@dataclass(frozen=True, slots=True)
class Change:
    """A transition of a camera's episode; `pictures` with a start and only there."""

    camera_id: int
    site_id: int
    transition: Transition
    pictures: Pictures | None = None


class EpisodeWriter:
    """Writes changes in the order in which they were submitted."""

    def __init__(self, database: DatabaseSettings, store: EvidenceStore, *, writer: str, clock: Clock) -> None:
        """`writer` is this worker's name in the log."""
        self._store = store
        self._writer = writer
        self._clock = clock
        self._keeper = Reconnecting(database, application=f"{writer} episodes", clock=clock)
        self._waiting: deque[Change] = deque()
        self._work = asyncio.Event()

    def submit(self, change: Change) -> None:
        """Take a change; it is lost, loudly, only where hundreds wait already."""
        if len(self._waiting) >= _MOST_WAITING:
            metrics.EPISODES_LOST.inc()
            logger.error("too many episodes wait for the database, one is lost", extra={"camera": change.camera_id})
            return
        self._waiting.append(change)
        metrics.EPISODES_WAITING.set(len(self._waiting))
        self._work.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            await self._drain()

    async def close(self, *, within_s: float) -> None:
        """Write what waits if that is possible in time, then let go of the connection. `run` must have ended."""
        try:
            async with asyncio.timeout(within_s):
                await self._drain()
        except TimeoutError:
            metrics.EPISODES_LOST.inc(len(self._waiting))
            logger.exception("episodes could not be written before the end", extra={"episodes": len(self._waiting)})
        await self._keeper.close()

    async def _drain(self) -> None:
        """Write all that waits, however long the database is away."""
        while self._waiting:
            await self._write(self._waiting[0])
            self._waiting.popleft()
            metrics.EPISODES_WAITING.set(len(self._waiting))

    async def _write(self, change: Change) -> None:
        transition = change.transition
        subject = Subject(change.camera_id, change.site_id, self._writer)
        files = await self._stored(change.pictures) if change.pictures is not None else None
        while True:
            try:
                async with self._keeper.connection() as connection, connection.transaction():
                    if change.pictures is not None and files is not None:
                        await episode_rows.start(
                            connection,
                            subject,
                            transition.episode,
                            frame=files[0],
                            crop=files[1],
                            model=change.pictures.model,
                        )
                    else:
                        await episode_rows.end(connection, subject, transition.episode)
            except psycopg.Error as error:
                if not is_outage(error):
                    # Poison, e.g. of a camera that was deleted meanwhile: it must not stop those behind it.
                    metrics.EPISODES_LOST.inc()
                    logger.exception("an episode cannot be written", extra={"camera": change.camera_id})
                    return
            else:
                metrics.EPISODES.labels(transition.phase).inc()
                return

    async def _stored(self, pictures: Pictures) -> tuple[Evidence, Evidence]:
        """Put the pictures into the store, again and again while its disk is full or away."""
        while True:
            try:
                frame = await asyncio.to_thread(self._store.put, pictures.frame, _JPEG)
                return frame, await asyncio.to_thread(self._store.put, pictures.crop, _JPEG)
            except OSError:
                logger.exception("evidence cannot be stored, trying again", extra={"folder": str(self._store.root)})
                await self._clock.sleep(_STORE_RETRY_S)
