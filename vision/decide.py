"""What the boxes of a camera's pictures mean: hats, forbidden zones and posts, each judged by itself.

The person is its head: a box of either class is somebody. Pure logic over times that are passed in (microseconds since
the epoch); no picture, no database.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from core.settings import CameraSettings
from vision.detections import Detections
from vision.judge import Episode, Judge, Left, Sighting, Transition
from vision.posts import PostWatch
from vision.wire import Condition
from vision.zones import Zones, feet


class Decider:
    """Judges one camera."""

    def __init__(self, options: CameraSettings, *, zone: str, classes: tuple[str, ...]) -> None:
        """`classes` of the detector: `head` is bare, `helmet` is not; others are not looked at. `zone` is the camera's
        own, for what no zone of its picture names."""
        self._options = options
        self._bare = classes.index("head")
        self._covered = classes.index("helmet")
        self._zones = Zones(options.zones, camera_zone=zone)
        self._hats = Judge("no_helmet", options)
        self._intruders = Judge("intrusion", options)
        self._orphans: list[Episode] = []
        self._posts = [PostWatch(post, number) for number, post in enumerate(self._zones.posts, 1)]

    @property
    def episodes(self) -> tuple[Episode, ...]:
        """The open ones."""
        return tuple(episode for part in self._parts for episode in part.episodes)

    @property
    def _parts(self) -> list[Judge | PostWatch]:
        return [self._hats, self._intruders, *self._posts]

    def resume(self, left: Left) -> None:
        """Take over from an earlier watch; what no zone is there for any more ends with the first `tick`."""
        for part in self._parts:
            part.resume(left)
        taken = {id(episode) for episode in self.episodes}
        self._orphans = [episode for episode in left.episodes if id(episode) not in taken]

    def leave(self) -> Left:
        """Hand over to a later watch; nothing ends."""
        seen = self._hats.leave().zone_seen_at | self._intruders.leave().zone_seen_at
        return Left((*self.episodes, *self._orphans), seen)

    def attentive(self, now: int) -> bool:
        """Whether somebody is about to be judged, so that more pictures a second are worth their cost."""
        return any(part.attentive(now) for part in self._parts)

    def observe(
        self,
        now: int,
        detections: Detections,
        tracks: npt.NDArray[np.int32],
        *,
        alive: frozenset[int],
        looked: bool,
        size: tuple[int, int],
        conditions: frozenset[Condition] = frozenset(),
    ) -> list[Transition]:
        """Take in the boxes of one picture of `size` (width, height) with their track numbers [n], and the numbers that
        are `alive`.

        `looked` False: the picture has not changed, so the boxes are those of the last look. `conditions`: light and
        weather in which a vote takes more.
        """
        hats, intruders, people = [], [], []
        least, least_px = self._least(conditions)
        for index, number in enumerate(tracks.tolist()):
            kind, score = int(detections.class_id[index]), float(detections.score[index])
            if kind not in (self._bare, self._covered):
                continue
            corners = detections.xyxy[index]
            x1, y1, x2, y2 = (float(value) for value in corners)
            point = feet(corners, *size)
            people.append(point)
            counts = score >= least and y2 - y1 >= least_px
            if (zone := self._zones.for_hats(*point)) is not None:
                bare = kind == self._bare
                hats.append(Sighting(number, score, (x1, y1, x2, y2), bare, counts, zone))
            if self._zones.has_forbidden:
                where = self._zones.forbidden(*point)
                intruders.append(Sighting(number, score, (x1, y1, x2, y2), where is not None, counts, where or ""))
        changes = self._hats.observe(now, hats, alive=alive, looked=looked)
        changes += self._intruders.observe(now, intruders, alive=alive, looked=looked)
        for post in self._posts:
            changes += post.observe(now, people, looked=looked, size=size)
        return changes

    def _least(self, conditions: frozenset[Condition]) -> tuple[float, float]:
        """Score and height (pixels) of a box that counts."""
        options, night = self._options, "night" in conditions
        score = options.night_score if night else options.score
        # Grain makes helmets look like heads; haze and rain hide heads, but do not make any up.
        return max(score, options.noise_score) if "noisy" in conditions else score, (
            options.night_head_px if night else options.head_px
        )

    def tick(self, now: int) -> list[Transition]:
        """End what has been quiet for long enough; to be called also while no picture comes."""
        ended, self._orphans = self._orphans, []
        for episode in ended:
            episode.ended_at = episode.last_seen_at
        changes = [Transition("ended", episode) for episode in ended]
        return changes + self._hats.tick(now) + self._intruders.tick(now)

    def close(self) -> list[Transition]:
        """End everything: the camera is no longer watched."""
        return [change for part in self._parts for change in part.close()]
