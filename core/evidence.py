"""Evidence: files in a content-addressed store, their SHA-256 in the rows that speak of them."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import psycopg

from core.errors import NotFound
from core.sql import queries

_SQL = queries("core")
_SHA256 = re.compile(r"^[0-9a-f]{64}$")
INCOMING = ".incoming"
"""Folder of the store in which files lie whose digest is not known yet."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A stored file: SHA-256 in hex, media type, size in bytes."""

    sha256: str
    media_type: str
    bytes: int


class Incoming:
    """A file on its way into the store, written part by part with its digest: never whole in memory.

    Until `keep` it has no name of its own, and `discard` takes it away. One whose process died is left in the store's
    folder `.incoming`, from which the sweep removes it. Its methods block: call them in a thread.
    """

    def __init__(self, store: EvidenceStore) -> None:
        folder = store.root / INCOMING
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder)
        self._store = store
        self._file = os.fdopen(handle, "w+b")
        self._digest = hashlib.sha256()
        self.path = Path(name)
        self.bytes = 0

    def write(self, data: bytes) -> None:
        """Add a part. OSError where that is not possible; ENOSPC also where it would eat into the reserve."""
        self._store.must_have_room(len(data))
        self._file.write(data)
        self._digest.update(data)
        self.bytes += len(data)

    def end(self) -> str:
        """All parts have come: on the disk (fsync) from here on; the SHA-256 in hex."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return self._digest.hexdigest()

    def keep(self) -> None:
        """Give the file its place in the store, behind `record` in the same transaction. The same again is dropped."""
        path = self._store.path(self._digest.hexdigest())
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            self.path.replace(path)
            _sync(path.parent)
        self.discard()

    def discard(self) -> None:
        """Take away what has not been kept; what has been is not touched."""
        self._file.close()
        self.path.unlink(missing_ok=True)


class EvidenceStore:
    """A folder in which each file lies under its SHA-256: `ab/cd/abcd...`. Same content, same file."""

    def __init__(self, root: Path, *, reserve_bytes: int = 0) -> None:
        """`reserve_bytes` of the disk are left free: a database may live on it, too."""
        self.root = root
        self._reserve_bytes = reserve_bytes

    def path(self, sha256: str) -> Path:
        """Where the file lies or would lie."""
        if not _SHA256.match(sha256):
            raise NotFound("that is no SHA-256 of a piece of evidence")
        return self.root / sha256[:2] / sha256[2:4] / sha256

    def put(self, data: bytes, media_type: str) -> Evidence:
        """Store durably (fsync of file and folder before it shows under its name) and idempotently.

        OSError where that is not possible; ENOSPC also where it would eat into the reserve.
        """
        evidence = describe(data, media_type)
        path = self.path(evidence.sha256)
        if path.exists():
            return evidence
        path.parent.mkdir(parents=True, exist_ok=True)
        self.must_have_room(len(data))
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".incoming-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        _sync(path.parent)
        return evidence

    def must_have_room(self, size: int) -> None:
        """Raise OSError (ENOSPC) where so many bytes more would eat into the reserve."""
        if self._reserve_bytes and shutil.disk_usage(self.root).free - size < self._reserve_bytes:
            raise OSError(errno.ENOSPC, f"less than {self._reserve_bytes} bytes would be left free", str(self.root))

    def open(self, sha256: str) -> Path:
        """The path of a file that is there; raise NotFound where it is not."""
        path = self.path(sha256)
        if not path.is_file():
            raise NotFound("that piece of evidence is not in the store")
        return path


def _sync(folder: Path) -> None:
    """What was renamed into the folder is there after a loss of power, too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def describe(data: bytes, media_type: str) -> Evidence:
    """What `put` says of a file, without storing it."""
    return Evidence(hashlib.sha256(data).hexdigest(), media_type, len(data))


async def record(connection: psycopg.AsyncConnection, evidence: Evidence) -> None:
    """Write the row of a file in the caller's transaction; from then to its end nobody removes the file.

    Old files are removed meanwhile: `put` once more behind this, in the same transaction, makes sure of it.
    """
    await connection.execute(_SQL["evidence_record"], asdict(evidence))


async def record_lost(connection: psycopg.AsyncConnection, evidence: Evidence) -> None:
    """Write the row of a file that could not be stored; where it is stored all the same, nothing changes."""
    await connection.execute(_SQL["evidence_record_lost"], asdict(evidence))
