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


@dataclass(frozen=True, slots=True)
class Evidence:
    """A stored file: SHA-256 in hex, media type, size in bytes."""

    sha256: str
    media_type: str
    bytes: int


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
        if self._reserve_bytes and shutil.disk_usage(path.parent).free - len(data) < self._reserve_bytes:
            raise OSError(errno.ENOSPC, f"less than {self._reserve_bytes} bytes would be left free", str(self.root))
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
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return evidence

    def open(self, sha256: str) -> Path:
        """The path of a file that is there; raise NotFound where it is not."""
        path = self.path(sha256)
        if not path.is_file():
            raise NotFound("that piece of evidence is not in the store")
        return path


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
