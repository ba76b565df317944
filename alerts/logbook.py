"""What the engine takes out of the log, and what it cannot: poison is passed over, gaps are told."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from alerts import metrics, record
from core import log
from sensors import batch as readings
from sensors import entries as events
from sensors.batch import BadBatch, ReadingBatch
from sensors.entries import AlertEntry, BadEntry, EpisodeEntry

logger = logging.getLogger(__name__)

Item = ReadingBatch | EpisodeEntry


def decode(entries: Sequence[log.Entry]) -> tuple[list[Item], list[int]]:
    """What the engine evaluates, in order, and the alerts that someone else has cleared."""
    items: list[Item] = []
    cleared: list[int] = []
    for entry in entries:
        try:
            if entry.kind is log.Kind.READINGS:
                items += readings.decode(entry.payload)
            elif entry.kind is log.Kind.EPISODE:
                episode = events.decode(entry.payload)
                if isinstance(episode, EpisodeEntry):
                    items.append(episode)
            elif entry.kind is log.Kind.ALERT and entry.writer != record.ENGINE_WRITER:
                alert = events.decode(entry.payload)
                if isinstance(alert, AlertEntry) and alert.event == "cleared":
                    cleared.append(alert.alert)
        except (BadBatch, BadEntry) as error:
            metrics.POISON.inc()
            place = {"writer": entry.writer, "shard": entry.shard, "sequence": entry.sequence}
            logger.error("log entry passed over", extra={**place, "error": str(error)})  # noqa: TRY400
    return items, cleared


def warn_of_gaps(position: dict[tuple[str, int], int], entries: Sequence[log.Entry]) -> None:
    """The log drops unread entries over its cap: these readings are in their tables, and no rule has judged them."""
    for entry in entries:
        last = position.get((entry.writer, entry.shard))
        if last is not None and entry.sequence > last + 1:
            missing = entry.sequence - last - 1
            metrics.GAPS.inc(missing)
            place = {"writer": entry.writer, "shard": entry.shard, "entries": missing}
            logger.error("entries of the log were dropped before any rule had judged them", extra=place)
        position[entry.writer, entry.shard] = entry.sequence
