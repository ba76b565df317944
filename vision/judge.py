"""One kind of episode: a vote per person, one episode a visit, a quiet end, a cool-down per zone.

Pure logic over times that are passed in (microseconds since the epoch); no picture, no database.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from core.settings import CameraSettings
from vision.history import History, Vote

Kind = Literal["no_helmet", "intrusion", "post_unmanned"]
Phase = Literal["started", "ended"]

_SECOND = 1_000_000
_PATIENCE = 3  # vote windows for which a person is watched closely without a result


@dataclass(slots=True)
class Episode:
    """For example a person without hard hat, from the first bare-headed look of the deciding vote to the last sighting.

    `kind`, `track` and `started_at` name it within its camera. `box` is x1, y1, x2, y2 in pixels of the evidence frame.
    """

    track: int
    zone: str
    started_at: int
    last_seen_at: int
    peak_score: float
    box: tuple[float, float, float, float]
    votes: tuple[Vote, ...] = ()
    history: History = field(default_factory=History)
    kind: Kind = "no_helmet"
    ended_at: int | None = None
    tracks: set[int] = field(default_factory=set)
    """Numbers under which the person was followed: a track that is lost may be found again under another."""
    quiet_from: int = 0
    """No end before quiet_s after this; a restarted worker needs time to see again."""


@dataclass(frozen=True, slots=True)
class Transition:
    """An episode started or ended."""

    phase: Phase
    episode: Episode


@dataclass(frozen=True, slots=True)
class Left:
    """What an earlier watch of a camera left: its open episodes, and when it last saw one, by kind and zone."""

    episodes: tuple[Episode, ...]
    zone_seen_at: dict[tuple[Kind, str], int]


@dataclass(frozen=True, slots=True)
class Sighting:
    """One person on one picture.

    against: it speaks for an episode. counts: it is sure and large enough for a vote.
    """

    track: int
    score: float
    box: tuple[float, float, float, float]
    against: bool
    counts: bool
    zone: str


@dataclass(slots=True)
class _Person:
    votes: deque[Vote]
    zone: str
    looks: int = 0


class Judge:
    """Judges one kind of episode on one camera."""

    def __init__(self, kind: Kind, options: CameraSettings) -> None:
        self.kind = kind
        self._options = options
        self._people: dict[int, _Person] = {}
        self._open: list[Episode] = []
        self._zone_seen_at: dict[str, int] = {}

    @property
    def episodes(self) -> tuple[Episode, ...]:
        """The open ones."""
        return tuple(self._open)

    def resume(self, left: Left) -> None:
        """Take over from an earlier watch what is of this kind."""
        self._open.extend(episode for episode in left.episodes if episode.kind == self.kind)
        self._zone_seen_at = {zone: at for (kind, zone), at in left.zone_seen_at.items() if kind == self.kind}

    def leave(self) -> Left:
        """Hand over to a later watch; nothing ends."""
        for episode in self._open:
            episode.tracks.clear()  # numbers mean nothing to another tracker
        return Left(tuple(self._open), {(self.kind, zone): at for zone, at in self._zone_seen_at.items()})

    def attentive(self, now: int) -> bool:
        """Whether somebody is about to be judged, so that more pictures a second are worth their cost."""
        return any(
            any(vote.bare for vote in person.votes)
            and person.looks < _PATIENCE * self._options.vote_window
            and not self._is_in_episode(number)
            and not self._cools_down(person.zone, now)
            for number, person in self._people.items()
        )

    def observe(
        self, now: int, sightings: Iterable[Sighting], *, alive: frozenset[int], looked: bool
    ) -> list[Transition]:
        """Take in who is on one picture, and the numbers of the tracks that are `alive`.

        `looked` False: the picture has not changed, so this is of the last look; people are still there, but the same
        picture is no second opinion and makes no vote.
        """
        self._people = {number: person for number, person in self._people.items() if number in alive}
        changes = []
        for sighting in sightings:
            if looked and sighting.counts:
                self._vote(now, sighting)
            if looked:
                self._remember(now, sighting)
            if sighting.against:
                self._sight(now, sighting.track, sighting.score)
                if looked and (episode := self._judge(now, sighting, alive)):
                    changes.append(Transition("started", episode))
        return changes + self.tick(now)

    def tick(self, now: int) -> list[Transition]:
        """End what has been quiet for long enough; to be called also while no picture comes."""
        quiet = round(self._options.quiet_s * _SECOND)
        over = [episode for episode in self._open if now - max(episode.last_seen_at, episode.quiet_from) >= quiet]
        for episode in over:
            episode.ended_at = episode.last_seen_at
            self._open.remove(episode)
        return [Transition("ended", episode) for episode in over]

    def close(self) -> list[Transition]:
        """End everything: the camera is no longer watched."""
        over, self._open = self._open, []
        for episode in over:
            episode.ended_at = episode.last_seen_at
        return [Transition("ended", episode) for episode in over]

    def _vote(self, now: int, sighting: Sighting) -> None:
        person = self._people.get(sighting.track)
        if person is None:
            person = _Person(deque(maxlen=self._options.vote_window), sighting.zone)
            self._people[sighting.track] = person
        person.votes.append(Vote(now, sighting.score, sighting.against))
        person.zone = sighting.zone
        person.looks += 1

    def _sight(self, now: int, number: int, score: float) -> None:
        """What is against the rule is seen again: the episode of its person goes on."""
        for episode in self._open:
            if number in episode.tracks:
                episode.last_seen_at = now
                episode.peak_score = max(episode.peak_score, score)
                self._zone_seen_at[episode.zone] = now

    def _remember(self, now: int, sighting: Sighting) -> None:
        """Add the look to the history of its person's episode, whatever it says."""
        for episode in self._open:
            if sighting.track in episode.tracks:
                episode.history.add(Vote(now, sighting.score, sighting.against))

    def _judge(self, now: int, sighting: Sighting, alive: frozenset[int]) -> Episode | None:
        """Start an episode where the vote is won and nothing stands against it."""
        number = sighting.track
        person = self._people.get(number)
        if person is None or self._is_in_episode(number):
            return None
        bare = [vote for vote in person.votes if vote.bare]
        newest = person.votes[-1]
        if len(bare) < self._options.vote_positive or not newest.bare or newest.time != now:
            return None  # the picture of now becomes the evidence, so it must have counted itself
        for episode in self._open:
            if not episode.tracks & alive:  # its person was lost from sight: this is the one, found again
                episode.tracks.add(number)
                self._sight(now, number, newest.score)
                return None
        if self._cools_down(sighting.zone, now):
            return None
        episode = Episode(
            track=number,
            zone=sighting.zone,
            started_at=bare[0].time,
            last_seen_at=now,
            peak_score=max(vote.score for vote in bare),
            box=sighting.box,
            votes=tuple(person.votes),
            history=History(person.votes),
            kind=self.kind,
            tracks={number},
        )
        self._open.append(episode)
        self._zone_seen_at[sighting.zone] = now
        return episode

    def _is_in_episode(self, number: int) -> bool:
        return any(number in episode.tracks for episode in self._open)

    def _cools_down(self, zone: str, now: int) -> bool:
        seen_at = self._zone_seen_at.get(zone)
        return seen_at is not None and now - seen_at < self._options.cool_down_s * _SECOND
