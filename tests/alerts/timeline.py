"""Timed scripts: push readings at a second, expect transitions between two seconds; nothing else may happen.

line = Timeline(rules, registry)
line.push(at=1, device=7, pm10=160)
line.want(1, "raise", "pm10", device=7)
line.run(until=10)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from alerts.engine import Engine, Transition
from alerts.rules.model import AnyRule
from sensors.batch import ReadingBatch
from sensors.entries import EpisodeEntry
from sensors.registry import Registry
from tests.alerts.world import ORIGIN, PROFILES, at, batch


@dataclass(frozen=True)
class Wanted:
    first: float
    last: float
    phase: str
    rule: str
    subject: str
    facts: dict[str, Any]

    def fits(self, moment: float, told: Transition) -> bool:
        return (
            self.first <= moment <= self.last
            and (told.phase, told.rule.id, told.subject) == (self.phase, self.rule, self.subject)
            and all(_fact(told, name) == value for name, value in self.facts.items())
        )


@dataclass
class Timeline:
    """Feeds one engine in order of arrival and ticks it every half second."""

    rules: Iterable[AnyRule]
    registry: Registry
    listening_since: float = -1e6
    told: list[tuple[float, Transition]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.engine = Engine(self.rules, self.registry, PROFILES)
        self._feeds: list[tuple[float, ReadingBatch | EpisodeEntry]] = []
        self._wanted: list[Wanted] = []

    def push(
        self,
        *,
        at: float,
        device: int = 1,
        time: float | None = None,
        kind: str = "dust",
        letter: str = "N",
        **values: float,
    ) -> None:
        """A reading that arrives at `at`, of the event time `time` (the same where it is not given)."""
        row = (device, at if time is None else time, values)
        self._feeds.append((at, batch([row], arrived=at, kind=kind, quality=dict.fromkeys(values, letter))))

    def push_every(self, step: float, first: float, last: float, *, device: int = 1, **values: float) -> None:
        """Readings from `first` up to and without `last`."""
        moment = first
        while moment < last:
            self.push(at=moment, device=device, **values)
            moment += step

    def see(self, *, at: float, entry: EpisodeEntry) -> None:
        """An episode's entry that arrives at `at`."""
        self._feeds.append((at, entry))

    def want(
        self,
        moment: float,
        phase: str,
        rule: str,
        *,
        until: float | None = None,
        device: int = 1,
        camera: int | None = None,
        **facts: Any,
    ) -> None:
        """Expect a transition in [moment, until]; `started_at` and `ended_at` among the facts are seconds."""
        subject = f"device:{device}" if camera is None else f"camera:{camera}"
        self._wanted.append(Wanted(moment, moment if until is None else until, phase, rule, subject, facts))

    def run(self, *, until: float) -> None:
        """Play the script; every expectation must be met, and nothing unexpected told."""
        moments = sorted({half / 2 for half in range(int(until * 2) + 1)} | {moment for moment, _ in self._feeds})
        feeds = sorted(self._feeds, key=lambda feed: feed[0])
        for moment in moments:
            while feeds and feeds[0][0] <= moment:
                _, item = feeds.pop(0)
                told = self.engine.feed(item) if isinstance(item, ReadingBatch) else self.engine.feed_episode(item)
                self.told += [(moment, transition) for transition in told]
            ticked = self.engine.tick(at(moment), listening_since=at(self.listening_since))
            self.told += [(moment, transition) for transition in ticked]
        self._compare()

    def _compare(self) -> None:
        left = list(self.told)
        for wanted in self._wanted:
            match = next((item for item in left if wanted.fits(*item)), None)
            assert match is not None, f"missing {wanted}\ntold:\n" + "\n".join(map(_show, self.told))
            left.remove(match)
        assert not left, "not wanted:\n" + "\n".join(map(_show, left))


def _fact(told: Transition, name: str) -> Any:
    value = getattr(told, name)
    return (value - ORIGIN) / 1e6 if name in {"started_at", "ended_at"} and value is not None else value


def _show(item: tuple[float, Transition]) -> str:
    moment, told = item
    facts = {name: _fact(told, name) for name in ("started_at", "ended_at", "first", "last", "worst", "quality")}
    return f"  {moment:g} s: {told.phase} {told.rule.id} {told.subject} {facts}"
