"""Plays history through an engine and gathers what it says into episodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from alerts.engine import Engine, Transition
from alerts.engine.calendar import scheduled
from alerts.engine.offline import silence_of
from alerts.life import measure
from alerts.model import Severity
from alerts.replay.history import History
from alerts.rules.model import AnyRule, OfflineRule
from sensors.profiles import Profile

# A piece without anything beyond a level is judged at once, another one reading by reading: short ones keep those few,
# shorter ones cost by their number. Hours of an offline rule begin and end at minutes, which no piece may pass unseen.
_LONG, _SHORT = timedelta(minutes=10), timedelta(minutes=1)


@dataclass(slots=True, kw_only=True)
class Episode:
    """An alert that would have been raised. Times in microseconds; `ended` is None where it goes on at the end.

    `severities`: (time, severity), the raise first. `reason`: what ended it, where that is not relief.
    """

    rule: AnyRule
    device: int
    site: int
    started: int
    ended: int | None = None
    first: float | None = None
    worst: float | None = None
    limit: float | None = None
    exempt: int = 0
    reason: str = ""
    severities: list[tuple[int, Severity]] = field(default_factory=list)


def replay(rules: Iterable[AnyRule], history: History, profiles: Mapping[str, Profile]) -> list[Episode]:
    """The alerts of enabled rules over the history, in the order of their beginnings."""
    rules = tuple(rules)
    engine = Engine(rules, history.devices(), profiles)
    offline = [rule for rule in rules if isinstance(rule, OfflineRule)]
    longest = _SHORT if any(scheduled(rule) for rule in offline) else _LONG
    # Absence is judged at the moment at which it has lasted long enough, as in service within a fraction of a second.
    devices = history.devices().devices.values() if offline else ()
    moments = [
        moment
        for device in devices
        for rule in offline
        if rule.scope.device_kind in (None, device.kind)
        for moment in history.silences(device.id, silence_of(rule, device.interval_s))
    ]
    standing: dict[tuple[str, str], Episode] = {}
    found: list[Episode] = []
    since: int | None = None
    for now, batches in history.chunks(longest, moments):
        since = now - longest // timedelta(microseconds=1) if since is None else since
        told = engine.feed(*batches)
        told += engine.tick(now, listening_since=since)
        for item in told:
            _note(item, now, standing, found)
    # Of what goes on at the end no transition has told how bad it became.
    for going_on in engine.progress():
        if (episode := standing.get((going_on.rule, going_on.subject))) is not None:
            episode.worst = going_on.worst
    return sorted(found, key=lambda episode: (episode.started, episode.rule.id, episode.device))


def _note(told: Transition, now: int, standing: dict[tuple[str, str], Episode], found: list[Episode]) -> None:
    key = (told.rule.id, told.subject)
    if told.phase == "raise":
        assert told.device is not None
        episode = standing[key] = Episode(
            rule=told.rule,
            device=told.device,
            site=told.site,
            started=told.started_at,
            first=told.first,
            limit=measure(told.rule)[0] if told.limit is None else told.limit,
            exempt=told.exempt,
        )
        episode.severities.append((told.started_at, told.severity or told.rule.severity))
        found.append(episode)
    else:
        episode = standing[key]
    episode.worst = told.worst if told.worst is not None else episode.worst
    if told.phase == "severity" and told.severity is not None:
        episode.severities.append((now, told.severity))
    elif told.phase == "clear":
        episode.ended, episode.reason = told.ended_at, told.reason
        del standing[key]
