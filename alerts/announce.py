"""Tells the log that alerts changed; whoever reads it looks at their rows again."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import psycopg

from core import log
from core.clock import micros
from sensors import entries
from sensors.entries import AlertEntry, AlertEvent


async def announce(
    connection: psycopg.AsyncConnection[Any],
    writer: str,
    alerts: Iterable[tuple[int, int]],
    event: AlertEvent,
    *,
    at: datetime,
) -> None:
    """Append an entry for each (alert id, site id) in the caller's transaction."""
    await log.append(
        connection,
        writer,
        [
            log.NewEntry(
                log.shard_of(site),
                log.Kind.ALERT,
                entries.encode(AlertEntry(alert=alert, site=site, event=event, at=micros(at))),
            )
            for alert, site in alerts
        ],
    )
