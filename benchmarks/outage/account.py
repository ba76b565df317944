"""Compares what the devices know with what the database holds, tables and log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray

from benchmarks.outage.book import Kind, Sent, key
from core.log import Kind as EntryKind
from sensors.batch import decode

_ROWS = """
SELECT substr(d.code, 2)::int, (extract(epoch FROM r.time) * 1000)::bigint
FROM reading_dust r JOIN device d ON d.id = r.device_id
"""
_COUNTS = "SELECT stored, filled, duplicates, quarantined FROM ingest_count"


@dataclass(frozen=True, slots=True)
class Stored:
    """Keys of all rows, and of all rows that the log tells of, with repetitions."""

    rows: NDArray[np.int64]
    logged: NDArray[np.int64]
    counts: Mapping[str, int]


async def stored(url: str) -> Stored:
    """Read both."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        rows = np.array(await (await connection.execute(_ROWS)).fetchall(), dtype=np.int64).reshape(-1, 2)
        found = await (await connection.execute("SELECT id, substr(code, 2)::int FROM device")).fetchall()
        numbers = np.zeros(max(number for number, _ in found) + 1, dtype=np.int64)
        for number, code in found:
            numbers[number] = code
        logged: list[NDArray[np.int64]] = [np.empty(0, dtype=np.int64)]
        query = "SELECT payload FROM log_entry WHERE kind = %s"
        async for (payload,) in await connection.execute(query, [EntryKind.READINGS]):
            logged += [key(numbers[batch.device].astype(np.int32), batch.time // 1000) for batch in decode(payload)]
        counts = await (await connection.execute(_COUNTS)).fetchone()
    assert counts is not None
    return Stored(
        key(rows[:, 0].astype(np.int32), rows[:, 1]),
        np.concatenate(logged),
        dict(zip(("stored", "filled", "duplicates", "quarantined"), counts, strict=True)),
    )


def doubled(found: Stored) -> int:
    """Rows that are there, were counted or were logged more than once, or not logged at all."""
    rows, logged = np.unique(found.rows), np.unique(found.logged)
    return int(
        len(found.rows) - len(rows)
        + len(found.logged) - len(logged)
        + len(np.setxor1d(rows, logged))
        + abs(found.counts["stored"] - len(rows))
    )  # fmt: skip


def of_kind(sent: Sent, found: Stored, excused: Sequence[float] = (), excused_s: float = 0.0) -> dict[str, Any]:
    """Figures of one kind of device.

    `lost` was answered, and is not there; of these `excused` were answered within `excused_s` seconds before one of the
    given moments, and `excused_age_s` is the oldest of them.
    """
    here = np.isin(sent.keys, found.rows)
    lost = sent.answered & ~here
    ages = np.full(int(lost.sum()), np.inf)
    for moment in excused:
        age = moment - sent.acknowledged[lost]
        ages = np.where((age >= 0) & (age < ages), age, ages)
    forgiven = ages[ages <= excused_s]
    return {
        "sent": len(here),
        "acknowledged": int(sent.answered.sum()),
        "stored": int(here.sum()),
        "lost": int(lost.sum()),
        "lost_excused": len(forgiven),
        "lost_excused_age_s": round(float(forgiven.max()), 3) if len(forgiven) else 0.0,
        "not_acknowledged_not_stored": int((~sent.answered & ~here).sum()),
    }


def latency(sent: Sent, begin: float, end: float) -> dict[str, float] | None:
    """Milliseconds from a reading to its acknowledgement, of those made in [begin, end)."""
    within = (sent.sent >= begin) & (sent.sent < end) & sent.answered
    if not within.any():
        return None
    taken = (sent.acknowledged[within] - sent.sent[within]) * 1000
    p50, p99, most = np.percentile(taken, [50, 99, 100])
    return {"p50_ms": round(float(p50), 1), "p99_ms": round(float(p99), 1), "max_ms": round(float(most), 1)}


def unknown(sent: Sent, found: Stored) -> int:
    """Rows that nobody sent."""
    return len(np.setdiff1d(found.rows, sent.keys))


def every(sent: Sent) -> dict[str, Sent]:
    """The readings by name of their kind, of the kinds that there are."""
    return {kind.name.lower(): sent.of(kind) for kind in Kind if len(sent.of(kind).ts)}
