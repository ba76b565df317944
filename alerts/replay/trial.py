"""What rules would have done on history, beside what those in force would have: a report in plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from alerts.model import SEVERITIES
from alerts.replay.history import History
from alerts.replay.run import Episode, replay
from alerts.rules.model import AnyRule
from core.clock import from_micros
from sensors.profiles import Profile
from sensors.registry import Registry

SHOWN = 500
"""Alerts that a report lists; it counts all."""


def report(
    drafted: Iterable[AnyRule], current: Iterable[AnyRule], history: History, profiles: Mapping[str, Profile]
) -> dict[str, Any]:
    """`drafted` and `current`: counts; `alerts`: the first ones of the drafted rules. Times in milliseconds."""
    drafted, current = tuple(drafted), tuple(current)
    registry = history.devices()
    found = replay(drafted, history, profiles)
    before = replay(current, history, profiles) if current else None
    return {
        "readings": sum(len(table.time) for table in history.tables),
        "drafted": _counted(found, history, registry),
        "current": None if before is None else _counted(before, history, registry),
        "alerts": [_told(episode, registry) for episode in found[:SHOWN]],
    }


def _counted(episodes: Sequence[Episode], history: History, registry: Registry) -> dict[str, Any]:
    """Alerts, and the hours that they stand; those that go on are counted to the end of the history."""
    counting = [episode for episode in episodes if not episode.exempt]
    last = max((int(table.time[-1]) for table in history.tables if len(table.time)), default=0)
    standing = sum((last if one.ended is None else one.ended) - one.started for one in counting)
    days = Counter(
        from_micros(one.started).astimezone(ZoneInfo(registry.sites[one.site].time_zone)).date().isoformat()
        for one in counting
    )
    return {
        "alerts": len(counting),
        "exempt": len(episodes) - len(counting),
        "devices": len({one.device for one in counting}),
        "hours": round(standing / 3.6e9, 3),
        "days": [{"day": day, "alerts": count} for day, count in sorted(days.items())],
    }


def _told(episode: Episode, registry: Registry) -> dict[str, Any]:
    device = registry.devices[episode.device]
    return {
        "rule": episode.rule.id,
        "site": device.site,
        "device": device.code,
        "severity": max((severity for _, severity in episode.severities), key=SEVERITIES.index),
        "started_at": episode.started // 1000,
        "ended_at": None if episode.ended is None else episode.ended // 1000,
        "worst": episode.worst,
        "limit": episode.limit,
        "exempt": bool(episode.exempt),
    }
