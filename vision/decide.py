"""From boxes to few, right episodes: a vote per person, one episode a visit, a quiet end, a cool-down per zone.

Pure logic over times that are passed in (microseconds since the epoch); no picture, no database.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from core.settings import CameraSettings
from vision.detections import Detections

KIND = "no_helmet"

Phase = Literal["started", "ended"]

_SECOND = 1_000_000
_PATIENCE = 3  # vote windows for which a person is watched closely without a result


@dataclass(frozen=True, slots=True)
class Vote:
    """One look at one person: when, how sure, and whether the head was bare."""

    time: int
    score: float
    bare: bool


@dataclass(slots=True)
class Episode:
    """A person without hard hat, from the first bare-headed look of the deciding vote to the last sighting.

    `track` and `started_at` name it within its camera. `box` is x1, y1, x2, y2 in pixels of the evidence frame.
    """

    track: int
    zone: str
    started_at: int
    last_seen_at: int
    peak_score: float
    box: tuple[float, float, float, float]
    votes: tuple[Vote, ...] = ()
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
    """What an earlier watch of a camera left: its open episodes, and when it last saw one, by zone."""

    episodes: tuple[Episode, ...]
    zone_seen_at: dict[str, int]


@dataclass(slots=True)
class _Person:
    votes: deque[Vote]
    looks: int = 0


class Decider:
    """Judges one camera."""

    def __init__(self, options: CameraSettings, *, zone: str, classes: tuple[str, ...]) -> None:
        """`classes` of the detector: `head` is bare, `helmet` is not; others are not looked at."""
        self._options = options
        self._zone = zone
        self._bare = classes.index("head")
        self._covered = classes.index("helmet")
        self._people: dict[int, _Person] = {}
        self._open: list[Episode] = []
        self._zone_seen_at: int | None = None

    @property
    def episodes(self) -> tuple[Episode, ...]:
        """The open ones."""
        return tuple(self._open)

    def resume(self, left: Left) -> None:
        """Take over from an earlier watch."""
        self._open.extend(left.episodes)
        self._zone_seen_at = left.zone_seen_at.get(self._zone)

    def leave(self) -> Left:
        """Hand over to a later watch; nothing ends."""
        seen = {} if self._zone_seen_at is None else {self._zone: self._zone_seen_at}
        for episode in self._open:
            episode.tracks.clear()  # numbers mean nothing to another tracker
        return Left(tuple(self._open), seen)

    def attentive(self, now: int) -> bool:
        """Whether somebody is about to be judged, so that more pictures a second are worth their cost."""
        return not self._cools_down(now) and any(
            any(vote.bare for vote in person.votes)
            and person.looks < _PATIENCE * self._options.vote_window
            and not self._is_in_episode(number)
            for number, person in self._people.items()
        )

    def observe(
        self,
        now: int,
        detections: Detections,
        tracks: npt.NDArray[np.int32],
        *,
        alive: frozenset[int],
        looked: bool,
    ) -> list[Transition]:
        """Take in the boxes of one picture with their track numbers [n] and the numbers that are `alive`.

        `looked` False: the picture has not changed, so the boxes are those of the last look; people are still there,
        but the same picture is no second opinion and makes no vote.
        """
        self._people = {number: person for number, person in self._people.items() if number in alive}
        changes = []
        for index, number in enumerate(tracks.tolist()):
            box = detections[np.array([index])]
            if looked:
                self._vote(now, number, box)
            if int(box.class_id[0]) == self._bare:
                self._sight(now, number, float(box.score[0]))
                if looked and (episode := self._judge(now, number, box, alive)):
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

    def _vote(self, now: int, number: int, box: Detections) -> None:
        kind, score = int(box.class_id[0]), float(box.score[0])
        if kind not in (self._bare, self._covered) or score < self._options.score:
            return
        if float(box.height[0]) < self._options.head_px:
            return  # too small to tell: unknown is no vote
        person = self._people.setdefault(number, _Person(deque(maxlen=self._options.vote_window)))
        person.votes.append(Vote(now, score, kind == self._bare))
        person.looks += 1

    def _sight(self, now: int, number: int, score: float) -> None:
        """A bare head is seen: the episode of its person goes on."""
        for episode in self._open:
            if number in episode.tracks:
                episode.last_seen_at = now
                episode.peak_score = max(episode.peak_score, score)
                self._zone_seen_at = now

    def _judge(self, now: int, number: int, box: Detections, alive: frozenset[int]) -> Episode | None:
        """Start an episode where the vote is won and nothing stands against it."""
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
        if self._cools_down(now):
            return None
        x1, y1, x2, y2 = (float(value) for value in box.xyxy[0])
        episode = Episode(
            track=number,
            zone=self._zone,
            started_at=bare[0].time,
            last_seen_at=now,
            peak_score=max(vote.score for vote in bare),
            box=(x1, y1, x2, y2),
            votes=tuple(person.votes),
            tracks={number},
        )
        self._open.append(episode)
        self._zone_seen_at = now
        return episode

    def _is_in_episode(self, number: int) -> bool:
        return any(number in episode.tracks for episode in self._open)

    def _cools_down(self, now: int) -> bool:
        if self._zone_seen_at is None:
            return False
        return now - self._zone_seen_at < self._options.cool_down_s * _SECOND
