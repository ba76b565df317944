"""Rows of the quarantine: what could not be taken, as it came, capped; its counts are exact."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

import psycopg

from core.sql import queries
from ingest.message import Message
from ingest.prepare import SetAside

SQL = queries(__package__)

PAYLOAD_BYTES = 4096
"""Bytes of a payload that are kept."""
_TEXT = 500


async def write(
    connection: psycopg.AsyncConnection, messages: Sequence[Message], aside: Sequence[SetAside], *, keep: int
) -> None:
    """Store what is set aside in the caller's transaction; the newest `keep` rows of each device stay."""
    counts: Counter[tuple[int, str]] = Counter()
    last: dict[tuple[int, str], int] = {}
    newest: dict[int, deque[SetAside]] = {}
    for item in aside:
        message = messages[item.place]
        device = message.origin.device
        number = 0 if device is None else device.id
        counts[number, item.reject.reason] += 1
        last[number, item.reject.reason] = message.arrived
        newest.setdefault(number, deque(maxlen=keep)).append(item)
    rows = [item for items in newest.values() for item in items]
    await connection.execute(SQL["quarantine_insert"], _columns(messages, rows))
    keys = list(counts)
    await connection.execute(
        SQL["quarantine_count"],
        {
            "device": [number for number, _ in keys],
            "reason": [reason for _, reason in keys],
            "count": [counts[key] for key in keys],
            "last": [last[key] for key in keys],
        },
    )
    if devices := [number for number in newest if number]:
        await connection.execute(SQL["quarantine_trim"], {"devices": devices, "keep": keep})
    if 0 in newest:
        await connection.execute(SQL["quarantine_trim_strangers"], {"keep": keep})


def _columns(messages: Sequence[Message], rows: Sequence[SetAside]) -> dict[str, list[object]]:
    sources = [messages[row.place] for row in rows]
    return {
        "arrived": [message.arrived for message in sources],
        "source": [message.origin.source for message in sources],
        "device": [None if message.origin.device is None else message.origin.device.id for message in sources],
        "client": [_text(message.origin.client) for message in sources],
        "topic": [_text(message.origin.topic) for message in sources],
        "reason": [row.reject.reason for row in rows],
        "detail": [_text(row.reject.detail) for row in rows],
        "payload": [message.payload[:PAYLOAD_BYTES] for message in sources],
        "bytes": [len(message.payload) for message in sources],
    }


def _text(text: str) -> str:
    """What a text column takes: no NUL, no lone surrogate, no novel."""
    return text[:_TEXT].replace("\0", "\ufffd").encode(errors="replace").decode()
