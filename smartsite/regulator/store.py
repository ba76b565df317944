"""What the regulator remembers, in one SQLite file: a killed or restarted sandbox still knows every key.

Calls are short and come one at a time from the event loop's thread.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from smartsite.regulator.schema import Behaviour, Violation

_SCHEMA = """
CREATE TABLE IF NOT EXISTS violation (           -- one row an acceptance
    id INTEGER PRIMARY KEY,
    client TEXT NOT NULL,
    key TEXT NOT NULL,
    receipt TEXT NOT NULL UNIQUE,
    arrived_ms INTEGER NOT NULL,
    result_ms INTEGER NOT NULL,                  -- when the result is there
    rejected_for TEXT NOT NULL,                  -- empty: the result is 'validated'
    repeats INTEGER NOT NULL DEFAULT 0,          -- how often the same key came again
    body TEXT NOT NULL                           -- canonical JSON, pictures left out
);
CREATE INDEX IF NOT EXISTS violation_key ON violation (client, key);
CREATE TABLE IF NOT EXISTS picture (sha256 TEXT PRIMARY KEY, media_type TEXT NOT NULL, content BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS answer (status INTEGER PRIMARY KEY, count INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS refusal (             -- the newest requests that were not taken
    id INTEGER PRIMARY KEY, arrived_ms INTEGER NOT NULL, client TEXT NOT NULL, key TEXT NOT NULL,
    status INTEGER NOT NULL, reason TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS message (             -- the officers' inbox
    id INTEGER PRIMARY KEY, arrived_ms INTEGER NOT NULL, alert INTEGER, phase TEXT NOT NULL,
    title TEXT NOT NULL, message TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS behaviour (only_one INTEGER PRIMARY KEY CHECK (only_one = 1), value TEXT NOT NULL);
"""
_REFUSALS_KEPT = 200


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a valid violation."""

    receipt: str
    kind: Literal["new", "repeated", "key_reused"]


class Store:
    """The regulator's memory in `folder`/regulator.sqlite."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(folder / "regulator.sqlite", isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        # Write-ahead log without a sync per commit: a kill of the process loses nothing, a power cut may.
        self._db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;" + _SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def take(
        self,
        violation: Violation,
        *,
        client: str,
        key: str,
        receipt: str,
        arrived_ms: int,
        result_ms: int,
        rejected_for: str,
        keyed: bool,
    ) -> Taken:
        """Store a violation, unless `keyed` and its key is known: then the first receipt counts."""
        body = _canonical(violation)
        with self._transaction():
            if keyed:
                known = self._db.execute(
                    "SELECT id, receipt, body FROM violation WHERE client = ? AND key = ? ORDER BY id LIMIT 1",
                    (client, key),
                ).fetchone()
                if known is not None:
                    if known["body"] != body:
                        return Taken(known["receipt"], "key_reused")
                    self._db.execute("UPDATE violation SET repeats = repeats + 1 WHERE id = ?", (known["id"],))
                    return Taken(known["receipt"], "repeated")
            self._db.execute(
                "INSERT INTO violation (client, key, receipt, arrived_ms, result_ms, rejected_for, body)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (client, key, receipt, arrived_ms, result_ms, rejected_for, body),
            )
            self._db.executemany(
                "INSERT OR IGNORE INTO picture VALUES (?, ?, ?)",
                [(part.sha256, part.media_type, part.content) for part in violation.evidence],
            )
        return Taken(receipt, "new")

    def result(self, receipt: str, *, client: str, now_ms: int) -> tuple[str, str] | None:
        """(status, reason) behind one of the client's receipts; None: no such receipt."""
        row = self._db.execute(
            "SELECT result_ms, rejected_for FROM violation WHERE receipt = ? AND client = ?", (receipt, client)
        ).fetchone()
        return None if row is None else _status(row, now_ms)

    def count_answer(self, status: int) -> None:
        """Count one answer to a posted violation; 0 stands for a reply that was dropped."""
        self._db.execute(
            "INSERT INTO answer VALUES (?, 1) ON CONFLICT (status) DO UPDATE SET count = count + 1", (status,)
        )

    def note_refusal(self, *, arrived_ms: int, client: str, key: str, status: int, reason: str) -> None:
        """Keep why a request was not taken; only the newest are kept."""
        with self._transaction():
            cursor = self._db.execute(
                "INSERT INTO refusal (arrived_ms, client, key, status, reason) VALUES (?, ?, ?, ?, ?)",
                (arrived_ms, client[:100], key[:100], status, reason[:500]),
            )
            self._db.execute("DELETE FROM refusal WHERE id <= ?", ((cursor.lastrowid or 0) - _REFUSALS_KEPT,))

    def received(self, *, after: int, limit: int, now_ms: int) -> list[dict[str, Any]]:
        """Accepted violations, one item a key, in order of their first arrival; `id` of the last is the next `after`.

        `accepted` above 1 means that the same key was stored more than once: it was doubled.
        """
        rows = self._db.execute(
            "SELECT min(id) AS id, client, key, count(*) AS accepted, sum(repeats) AS repeats,"
            " arrived_ms, receipt, result_ms, rejected_for, body"  # SQLite takes them from the row of min(id)
            " FROM violation GROUP BY client, key HAVING min(id) > ? ORDER BY min(id) LIMIT ?",
            (after, limit),
        ).fetchall()
        return [_item(row, now_ms) for row in rows]

    def listed(
        self, *, client: str, since: int, until: int, after: int, limit: int, now_ms: int
    ) -> list[dict[str, Any]]:
        """What first arrived from a client in [since, until) milliseconds, one item a key."""
        rows = self._db.execute(
            "SELECT min(id) AS id, client, key, count(*) AS accepted, sum(repeats) AS repeats,"
            " arrived_ms, receipt, result_ms, rejected_for, body"  # SQLite takes them from the row of min(id)
            " FROM violation WHERE client = ? GROUP BY key"
            " HAVING min(id) > ? AND arrived_ms >= ? AND arrived_ms < ? ORDER BY min(id) LIMIT ?",
            (client, after, since, until, limit),
        ).fetchall()
        return [{**item, "times": item["accepted"]} for item in (_item(row, now_ms) for row in rows)]

    def newest(self, *, limit: int, now_ms: int) -> list[dict[str, Any]]:
        """The same for the newest acceptances, newest first, one item an acceptance."""
        rows = self._db.execute(
            "SELECT id, client, key, 1 AS accepted, repeats, arrived_ms, receipt, result_ms, rejected_for, body"
            " FROM violation ORDER BY id DESC LIMIT ?",
            (limit,),
        ).fetchall()
        return [_item(row, now_ms) for row in rows]

    def totals(self) -> dict[str, Any]:
        """Counts over everything: acceptances, keys, keys stored more than once, repeats, answers by status."""
        accepted, keys, repeats = self._db.execute(
            "SELECT count(*), count(DISTINCT client || ' ' || key), coalesce(sum(repeats), 0) FROM violation"
        ).fetchone()
        doubled = self._db.execute(
            "SELECT count(*) FROM (SELECT 1 FROM violation GROUP BY client, key HAVING count(*) > 1)"
        ).fetchone()[0]
        answers = {
            "dropped" if row["status"] == 0 else str(row["status"]): row["count"]
            for row in self._db.execute("SELECT status, count FROM answer ORDER BY status")
        }
        return {"accepted": accepted, "keys": keys, "repeated": repeats, "doubled": doubled, "answers": answers}

    def refusals(self) -> list[dict[str, Any]]:
        """The newest requests that were not taken, newest first."""
        rows = self._db.execute("SELECT arrived_ms, client, key, status, reason FROM refusal ORDER BY id DESC LIMIT 50")
        return [dict(row) for row in rows]

    def picture(self, sha256: str) -> tuple[str, bytes] | None:
        """(media type, content) of a picture that came as evidence."""
        row = self._db.execute("SELECT media_type, content FROM picture WHERE sha256 = ?", (sha256,)).fetchone()
        return None if row is None else (row["media_type"], row["content"])

    def put_message(self, *, arrived_ms: int, alert: int | None, phase: str, title: str, message: str) -> None:
        """Keep one message to an officer."""
        self._db.execute(
            "INSERT INTO message (arrived_ms, alert, phase, title, message) VALUES (?, ?, ?, ?, ?)",
            (arrived_ms, alert, phase, title, message),
        )

    def messages(self, *, after: int, limit: int) -> list[dict[str, Any]]:
        """Messages to officers in order of arrival."""
        rows = self._db.execute("SELECT * FROM message WHERE id > ? ORDER BY id LIMIT ?", (after, limit))
        return [dict(row) for row in rows]

    def newest_messages(self) -> list[dict[str, Any]]:
        """The newest messages, newest first."""
        return [dict(row) for row in self._db.execute("SELECT * FROM message ORDER BY id DESC LIMIT 30")]

    @property
    def behaviour(self) -> Behaviour:
        """How the sandbox is told to behave."""
        row = self._db.execute("SELECT value FROM behaviour").fetchone()
        return Behaviour() if row is None else Behaviour.model_validate_json(row["value"])

    @behaviour.setter
    def behaviour(self, value: Behaviour) -> None:
        self._db.execute("INSERT OR REPLACE INTO behaviour VALUES (1, ?)", (value.model_dump_json(),))


def _canonical(violation: Violation) -> str:
    # A picture is told by its digest: the same violation is the same text whatever the order of its fields.
    return json.dumps(
        violation.model_dump(mode="json", exclude={"evidence": {"__all__": {"data"}}}),
        ensure_ascii=False,
        sort_keys=True,
    )


def _status(row: sqlite3.Row, now_ms: int) -> tuple[str, str]:
    if now_ms < row["result_ms"]:
        return "pending", ""
    return ("rejected", row["rejected_for"]) if row["rejected_for"] else ("validated", "")


def _item(row: sqlite3.Row, now_ms: int) -> dict[str, Any]:
    status, reason = _status(row, now_ms)
    return {
        "id": row["id"],
        "client": row["client"],
        "key": row["key"],
        "receipt": row["receipt"],
        "arrived_ms": row["arrived_ms"],
        "accepted": row["accepted"],
        "repeats": row["repeats"],
        "status": status,
        "reason": reason,
        "violation": json.loads(row["body"]),
    }
