"""Old evidence goes: by age, and earlier where the disk needs room; never what an open matter refers to.

A file is set aside, its row says so, and only behind that commit it is removed. Whoever dies in between leaves a file
set aside: the next sweep removes it, or puts it back where the commit did not happen. Files are judged while their rows
are locked, so that whoever refers to one at that moment is either seen or waits.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any, Literal, LiteralString, TypeVar

import psycopg

from core.clock import Clock
from core.evidence import INCOMING, EvidenceStore
from core.settings import Settings
from core.sql import queries
from smartsite import metrics

logger = logging.getLogger(__name__)

Reason = Literal["age", "space"]
T = TypeVar("T")

_SQL = queries("smartsite")
_IN_USE = _SQL["evidence_in_use"]
_ASIDE = ".removed"
_BATCH = 200
_MOST_BATCHES = 20  # of a turn: other jobs wait meanwhile
_YOUNG = timedelta(hours=1)  # an episode that no rule has looked at yet may become an alert
_ORPHAN_S = 86_400.0


@dataclass(frozen=True, slots=True)
class EvidenceState:
    """What lies in the store. `short_bytes` is what its limits ask to be removed."""

    files: int
    bytes: int
    oldest: datetime | None
    pinned_files: int
    pinned_bytes: int
    free_bytes: int
    short_bytes: int


async def state(connection: psycopg.AsyncConnection[Any], settings: Settings) -> EvidenceState:
    """The figures as they are now."""
    row = await (await connection.execute(_with_use("evidence_figures"))).fetchone()
    assert row is not None
    files, size, oldest, pinned_files, pinned_bytes = row
    limits = settings.evidence
    free = await asyncio.to_thread(_free, settings.evidence_dir)
    short = max(0, size - round(limits.most_gb * 1e9), round(limits.least_free_gb * 1e9) - free)
    return EvidenceState(files, size, oldest, pinned_files, pinned_bytes, free, short)


class EvidenceSweep:
    """Sweeps one store. To be run by one process at a time."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._store = EvidenceStore(settings.evidence_dir)
        self._aside = settings.evidence_dir / _ASIDE
        self._searched_at: float | None = None

    async def run(self, connection: psycopg.AsyncConnection[Any]) -> dict[Reason, int]:
        """One turn; how many files were removed for what. Safe to run again after any end."""
        await self.recover(connection)
        withdrawn_before = self._clock.now() - timedelta(days=self._settings.documents.withdrawn_days)
        await connection.execute(
            _SQL["documents_release"], {"now": self._clock.now(), "withdrawn_before": withdrawn_before}
        )
        removed: dict[Reason, int] = {"age": 0, "space": 0}
        for _ in range(_MOST_BATCHES):
            count, _ = await self._batch(connection, "age", None)
            removed["age"] += count
            if count < _BATCH:
                break
        now = await state(connection, self._settings)
        short = now.short_bytes
        for _ in range(_MOST_BATCHES):
            if short <= 0:
                break
            count, freed = await self._batch(connection, "space", short)
            removed["space"] += count
            short -= freed
            if not count:
                break
        await self._search_orphans(connection)
        for reason, count in removed.items():
            metrics.EVIDENCE_REMOVED.labels(reason).inc(count)
        self._show(await state(connection, self._settings))
        if any(removed.values()):
            logger.info("evidence removed", extra={"age": removed["age"], "space": removed["space"]})
        if short > 0:
            logger.warning(
                "evidence needs more room than there is: what is left is young or in use", extra={"short_bytes": short}
            )
        return removed

    async def recover(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Finish what an earlier sweep began: its files set aside are removed where the row says so, else put back."""
        aside = await asyncio.to_thread(lambda: sorted(path.name for path in self._aside.glob("*")))
        for names in _slices(aside, _BATCH):
            cursor = await connection.execute(_SQL["evidence_there"], {"digests": names})
            there = {digest for (digest,) in await cursor.fetchall()}
            for name in names:
                await asyncio.to_thread(self._put_back if name in there else self._discard, name)

    async def _batch(
        self, connection: psycopg.AsyncConnection[Any], reason: Reason, enough: int | None
    ) -> tuple[int, int]:
        """Remove some of the oldest files, of `enough` bytes or one batch: how many, and their bytes."""
        now, limits = self._clock.now(), self._settings.evidence
        kept = timedelta(days=limits.keep_days)
        before = {"age": now - kept, "space": now - _YOUNG}[reason]
        statement = _with_use("evidence_old" if reason == "age" else "evidence_oldest")
        cases_before = now - max(kept, timedelta(days=limits.case_days))
        async with connection.transaction():
            cursor = await connection.execute(
                statement, {"before": before, "cases_before": cases_before, "limit": _BATCH}
            )
            candidates = dict(await cursor.fetchall())
            # Anew, now that they are locked: what was committed while we waited for the locks counts, too.
            wanted = "sha256 = ANY (%(digests)s)"
            cursor = await connection.execute(_IN_USE.replace("{wanted}", wanted), {"digests": list(candidates)})
            used = {digest for (digest,) in await cursor.fetchall()}
            chosen: list[str] = []
            freed = 0
            for digest, size in candidates.items():
                if digest not in used and (enough is None or freed < enough):
                    chosen.append(digest)
                    freed += size
            for digest in chosen:
                await asyncio.to_thread(self._set_aside, digest)
            await connection.execute(_SQL["evidence_removed"], {"now": now, "reason": reason, "digests": chosen})
        for digest in chosen:
            await asyncio.to_thread(self._discard, digest)
        return len(chosen), freed

    async def _search_orphans(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Once a day: files that no row knows, left by a writer that died before its commit."""
        now = self._clock.monotonic()
        if self._searched_at is not None and now - self._searched_at < _ORPHAN_S:
            return
        self._searched_at = now
        before = time.time() - _ORPHAN_S
        found = await asyncio.to_thread(lambda: list(_old_files(self._store.root, before)))
        for paths in _slices(found, 1000):
            digests = [path.name for path in paths]
            cursor = await connection.execute(_SQL["evidence_known"], {"digests": digests})
            known = {digest for (digest,) in await cursor.fetchall()}
            for path in paths:
                if path.name not in known:
                    path.unlink(missing_ok=True)

    def _set_aside(self, digest: str) -> None:
        self._aside.mkdir(parents=True, exist_ok=True)
        path = self._store.path(digest)
        if path.exists():
            path.replace(self._aside / digest)

    def _put_back(self, digest: str) -> None:
        path = self._store.path(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        (self._aside / digest).replace(path)

    def _discard(self, digest: str) -> None:
        (self._aside / digest).unlink(missing_ok=True)

    @staticmethod
    def _show(now: EvidenceState) -> None:
        metrics.EVIDENCE_FILES.set(now.files)
        metrics.EVIDENCE_BYTES.set(now.bytes)
        metrics.EVIDENCE_PINNED.set(now.pinned_bytes)
        metrics.EVIDENCE_FREE.set(now.free_bytes)
        metrics.EVIDENCE_SHORT.set(now.short_bytes)


def _slices(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _with_use(name: str) -> LiteralString:
    return _SQL[name].replace("{in_use}", _IN_USE.replace("{wanted}", "true"))


def _free(folder: Path) -> int:
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    return shutil.disk_usage(existing).free


def _old_files(root: Path, before: float) -> Iterator[Path]:
    """Files of the store, half-written ones too, that were last written before then (seconds since the epoch)."""
    for path in chain(root.glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]/*"), root.glob(f"{INCOMING}/*")):
        try:
            if path.stat().st_mtime < before:
                yield path
        except FileNotFoundError:
            continue
