"""Episodes on their way into the database: evidence, row and log entry in one transaction, once, in order.

While the database is away, changes wait in memory, bounded. A full or missing disk costs pictures, never an episode.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg

from core import evidence
from core.clock import Clock
from core.database import Reconnecting, is_outage
from core.evidence import Evidence, EvidenceStore
from core.settings import DatabaseSettings
from vision import episode_rows, metrics
from vision.episode_rows import Subject
from vision.judge import Episode, Transition

logger = logging.getLogger(__name__)

_MOST_WAITING = 500  # with four JPEGs each some 400 MB at most
_MOST_CLIP_BYTES = 64_000_000
_STORE_RETRY_S = 2.0
_STORE_PATIENCE_S = 20.0  # a disk that is full for longer is full
JPEG, MP4 = "image/jpeg", "video/mp4"


@dataclass(frozen=True, slots=True)
class Pictures:
    """The evidence of an episode's start, as JPEG, and the model that found it.

    `frame_shown` and `crop_shown` are what ordinary readers see. `heads` are all heads on the frame, as the row keeps
    them: label, score, box.
    """

    frame: bytes
    crop: bytes
    frame_shown: bytes
    crop_shown: bytes
    model: str
    heads: list[dict[str, Any]] = field(default_factory=list)

    def files(self) -> dict[str, bytes]:
        """The pictures by their role."""
        roles = ("frame", "crop", "frame_shown", "crop_shown")
        return {role: getattr(self, role) for role in roles}


@dataclass(frozen=True, slots=True)
class Change:
    """A transition of a camera's episode; `pictures` with a start and only there."""

    camera_id: int
    site_id: int
    transition: Transition
    pictures: Pictures | None = None


@dataclass(frozen=True, slots=True)
class Footage:
    """The clip of an episode that was told before, with the times of its first and last picture (microseconds)."""

    camera_id: int
    site_id: int
    episode: Episode
    mp4: bytes
    first: int
    last: int


class EpisodeWriter:
    """Writes what is submitted in the order in which it came."""

    def __init__(self, database: DatabaseSettings, store: EvidenceStore, *, writer: str, clock: Clock) -> None:
        """`writer` is this worker's name in the log."""
        self._store = store
        self._writer = writer
        self._clock = clock
        self._keeper = Reconnecting(database, application=f"{writer} episodes", clock=clock)
        self._waiting: deque[Change | Footage] = deque()
        self._work = asyncio.Event()
        self._quiet = asyncio.Event()
        self._disk_fails = False

    def submit(self, item: Change | Footage) -> None:
        """Take a change or a clip; it is lost, loudly, only where hundreds wait already (clips: 64 MB)."""
        if isinstance(item, Footage):
            waiting = sum(len(other.mp4) for other in self._waiting if isinstance(other, Footage))
            if waiting + len(item.mp4) > _MOST_CLIP_BYTES:
                metrics.EVIDENCE_LOST.labels("clip").inc()
                logger.error("too many clips wait for the database, one is lost", extra={"camera": item.camera_id})
                return
        elif len(self._waiting) >= _MOST_WAITING:
            metrics.EPISODES_LOST.inc()
            logger.error("too many episodes wait for the database, one is lost", extra={"camera": item.camera_id})
            return
        self._waiting.append(item)
        metrics.EPISODES_WAITING.set(len(self._waiting))
        self._work.set()

    async def settled(self) -> None:
        """Wait until nothing waits any more."""
        while self._waiting:
            self._quiet.clear()
            await self._quiet.wait()

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
        self._quiet.set()

    async def _write(self, item: Change | Footage) -> None:
        files, kind = _files(item)
        stored = await self._stored(files, kind)
        while True:
            try:
                async with self._keeper.connection() as connection, connection.transaction():
                    await self._commit(connection, item, stored, files, kind)
            except psycopg.Error as error:
                if not is_outage(error):
                    # Poison, e.g. of a camera that was deleted meanwhile: it must not stop those behind it.
                    metrics.EPISODES_LOST.inc()
                    logger.exception("an episode cannot be written", extra={"camera": item.camera_id})
                    return
            except OSError:
                # The file was swept away before its row was locked, and now the disk refuses it.
                stored = await self._stored(files, kind)
            else:
                if isinstance(item, Change):
                    metrics.EPISODES.labels(item.transition.phase).inc()
                return

    async def _commit(
        self,
        connection: psycopg.AsyncConnection,
        item: Change | Footage,
        stored: Mapping[str, Evidence | None],
        files: Mapping[str, bytes],
        kind: str,
    ) -> None:
        """Everything of one item inside a transaction."""
        described: dict[str, Evidence] = {}
        for role, data in files.items():
            file = described[role] = stored[role] or evidence.describe(data, kind)
            if stored[role] is None:
                await evidence.record_lost(connection, file)
            else:
                await evidence.record(connection, file)
                await asyncio.to_thread(self._store.put, data, kind)
        subject = Subject(item.camera_id, item.site_id, self._writer)
        if isinstance(item, Footage):
            clip = described["clip"]
            await episode_rows.clip(connection, subject, item.episode, file=clip, first=item.first, last=item.last)
        elif item.pictures is not None:
            await episode_rows.start(
                connection,
                subject,
                item.transition.episode,
                files=described,
                heads=item.pictures.heads,
                model=item.pictures.model,
            )
        else:
            await episode_rows.end(connection, subject, item.transition.episode)

    async def _stored(self, files: Mapping[str, bytes], kind: str) -> dict[str, Evidence | None]:
        """Put the files into the store; None for each that a disk refuses for longer than one can wait."""
        stored: dict[str, Evidence | None] = {}
        began = self._clock.monotonic()
        for role, data in files.items():
            while role not in stored:
                try:
                    stored[role] = await asyncio.to_thread(self._store.put, data, kind)
                    self._disk_fails = False
                except OSError:
                    if not self._disk_fails:
                        logger.exception("evidence cannot be stored", extra={"folder": str(self._store.root)})
                    # Those behind one that waited in vain do not wait as well.
                    if self._disk_fails or self._clock.monotonic() - began >= _STORE_PATIENCE_S:
                        self._disk_fails = True
                        stored[role] = None
                        metrics.EVIDENCE_LOST.labels(role).inc()
                    else:
                        await self._clock.sleep(_STORE_RETRY_S)
        return stored


def _files(item: Change | Footage) -> tuple[dict[str, bytes], str]:
    """The files of an item by role, and their media type."""
    if isinstance(item, Footage):
        return {"clip": item.mp4}, MP4
    return (item.pictures.files() if item.pictures is not None else {}), JPEG
