"""Which secrets were found right before: after a restart nobody is asked to wait for argon2 again.

A record is (identifier of the stored hash, tag of the password), both keyed with that hash, whose 128-bit salt is not
in this file. Neither the file nor the hashes alone help to guess quickly; who has stolen *both* can try passwords as
fast as HMAC-SHA-256 goes. The file is a cache: it may be deleted at any time, and belongs into no backup.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
from collections.abc import Collection
from pathlib import Path

logger = logging.getLogger(__name__)

_ID, _TAG, _CHECK = 16, 16, 8
_RECORD = _ID + _TAG + _CHECK


class Verified:
    """Tags of right passwords, in memory and, where `path` is given, in a file that only its owner may read.

    A file that cannot be read or written costs time at the next start, never a connection: it is said in the log.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._tags: dict[bytes, bytes] = {}
        self._file: int | None = None

    def open(self, hashes: Collection[str]) -> None:
        """Read what is known of these stored hashes; what the file knows of others is dropped."""
        if self._path is None:
            return
        current = {_identifier(hashed) for hashed in hashes}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            known = _records(self._path.read_bytes()) if self._path.exists() else {}
            self._tags = {one: tag for one, tag in known.items() if one in current}
            fresh = self._path.with_suffix(".new")
            fresh.unlink(missing_ok=True)
            self._file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            os.write(self._file, b"".join(_record(one, tag) for one, tag in self._tags.items()))
            fresh.replace(self._path)
        except OSError as error:
            self._give_up(error)

    def knows(self, hashed: str, password: bytes) -> bool | None:
        """Whether the password is right; None where that was never found out."""
        tag = self._tags.get(_identifier(hashed))
        return None if tag is None else hmac.compare_digest(tag, _tag(hashed, password))

    def add(self, hashed: str, password: bytes) -> None:
        """The password was found right."""
        one, tag = _identifier(hashed), _tag(hashed, password)
        self._tags[one] = tag
        if self._file is not None:
            try:
                # Without fsync: what a power cut takes is found out again.
                os.write(self._file, _record(one, tag))
            except OSError as error:
                self._give_up(error)

    def keep(self, hashes: Collection[str]) -> None:
        """Forget, in memory, what belongs to none of these stored hashes."""
        current = {_identifier(hashed) for hashed in hashes}
        self._tags = {one: tag for one, tag in self._tags.items() if one in current}

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _give_up(self, error: OSError) -> None:
        logger.warning(
            "verified secrets cannot be kept; after a restart devices wait for argon2 again",
            extra={"path": str(self._path), "error": str(error)},
        )
        self.close()


def _identifier(hashed: str) -> bytes:
    return hashlib.sha256(b"id" + hashed.encode()).digest()[:_ID]


def _tag(hashed: str, password: bytes) -> bytes:
    return hmac.digest(hashed.encode(), password, "sha256")[:_TAG]


def _check(one: bytes, tag: bytes) -> bytes:
    return hashlib.sha256(one + tag).digest()[:_CHECK]


def _record(one: bytes, tag: bytes) -> bytes:
    return one + tag + _check(one, tag)


def _records(data: bytes) -> dict[bytes, bytes]:
    """Whole records by identifier; a torn or flipped one would keep its device out, so it is left out."""
    found = {}
    for at in range(0, len(data) - _RECORD + 1, _RECORD):
        one, tag, check = data[at : at + _ID], data[at + _ID : at + _ID + _TAG], data[at + _ID + _TAG : at + _RECORD]
        if hmac.compare_digest(check, _check(one, tag)):
            found[one] = tag
    return found
