"""Signed heads of the audit log: what a chain in the database alone cannot prove, that its end was not cut off or the
whole of it written anew. Once a day the head goes into a file, which belongs on another machine.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from psycopg import AsyncConnection

from core.clock import Clock
from core.signing import SigningKey, verify
from core.sql import queries

SQL = queries("api")


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the chain stood at a moment: so many rows, the last of them with this hash. Times are ISO 8601, UTC."""

    at: str
    rows: int
    hash: str
    public_key: str
    signature: str = ""

    def signed(self) -> bytes:
        """What the signature covers."""
        facts: dict[str, Any] = {name: getattr(self, name) for name in ("at", "rows", "hash", "public_key")}
        return json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Fault:
    """A head that the chain does not bear out, or a file that is no head of ours."""

    file: Path
    reason: str


async def write(connection: AsyncConnection, folder: Path, key: SigningKey, clock: Clock) -> Path | None:
    """Write the day's head, unless it is there; the file that was written.

    Raises:
        OSError: the folder cannot be written.
    """
    now = clock.now()
    path = folder / f"head-{now:%Y-%m-%d}.json"
    if path.exists():
        return None
    last = await (await connection.execute(SQL["audit_head"])).fetchone()
    if last is None:
        return None
    head = Head(at=now.isoformat(timespec="seconds"), rows=last[0], hash=last[1], public_key=key.public)
    head = msgspec.structs.replace(head, signature=key.sign(head.signed()))
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=folder, prefix=".head-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(head)) + b"\n")
            os.fchmod(file.fileno(), 0o644)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
    return path


def read(folder: Path, keys: Iterable[str]) -> tuple[list[tuple[Path, Head]], list[Fault]]:
    """Heads of a folder that one of the public keys (hex) signed, oldest first, and files that are none."""
    heads, faults, known = [], [], set(keys)
    for path in sorted(folder.glob("head-*.json")):
        try:
            head = msgspec.json.decode(path.read_bytes(), type=Head)
        except (OSError, msgspec.MsgspecError) as error:
            faults.append(Fault(path, f"cannot be read: {error}"))
            continue
        if head.public_key not in known:
            faults.append(Fault(path, "is signed with a key that is not the platform's"))
        elif not verify(head.public_key, head.signed(), head.signature):
            faults.append(Fault(path, "was changed since it was signed"))
        else:
            heads.append((path, head))
    return heads, faults


async def compare(connection: AsyncConnection, heads: Iterable[tuple[Path, Head]]) -> list[Fault]:
    """Heads that the chain of now does not bear out. Whether it holds together is told by `audit.verify`."""
    faults = []
    for path, head in heads:
        row = await (await connection.execute(SQL["audit_hash"], {"id": head.rows})).fetchone()
        if row is None:
            faults.append(Fault(path, f"tells of row {head.rows}, which is gone: the end of the log was cut off"))
        elif row[0] != head.hash:
            faults.append(Fault(path, f"tells another hash of row {head.rows}: rows up to it were written anew"))
    return faults
