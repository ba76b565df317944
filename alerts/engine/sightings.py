"""The vision rule: episodes of one kind on one camera become one alert at a time.

While an alert of the camera is open, further episodes join it (another person without a helmet, or the same one again)
instead of raising their own: the officer is told once, the regulator gets one violation with a start and an end. It is
over when every episode has ended and none has followed for `clear_after`.
"""

from __future__ import annotations

import msgspec
import numpy as np

from alerts.engine.calendar import ACTIVE, INACTIVE, calendar_of, scheduled
from alerts.engine.transitions import Phase, Sighting, Standing, Transition
from alerts.engine.violations import span
from alerts.model import camera_subject
from alerts.rules.model import VisionRule
from sensors.entries import EpisodeEntry
from sensors.registry import Camera, Registry


class Scene(msgspec.Struct, kw_only=True):
    """The open violation of one camera.

    `live`: episodes that go on; `seen`: when any of them was seen last; `code`: of the segment in which it began.
    """

    since: int
    seen: int
    first: float
    worst: float
    live: set[int]
    code: int = ACTIVE


class SightingEvaluator:
    """One vision rule over the cameras in its scope."""

    def __init__(self, rule: VisionRule, registry: Registry) -> None:
        self.rule = rule
        self._clear_after = span(rule.clear_after)
        codes = rule.scope.sites
        self.cameras: dict[int, Camera] = {
            camera.id: camera
            for camera in registry.cameras.values()
            if camera.enabled and (not codes or registry.sites[camera.site_id].code in codes)
        }
        self.scenes: dict[int, Scene] = {}
        sites = {camera.site_id for camera in self.cameras.values()} if scheduled(rule) else set()
        self._calendars = {site: calendar_of(rule, site, registry)[1] for site in sites}

    def feed(self, entry: EpisodeEntry) -> list[Transition]:
        """Take in the start or the end of an episode."""
        if entry.kind != self.rule.episode or entry.camera not in self.cameras:
            return []
        scene = self.scenes.get(entry.camera)
        if entry.phase == "started":
            return self._started(entry, scene)
        if scene is not None:
            scene.live.discard(entry.episode)
            scene.seen = max(scene.seen, entry.ended_at or entry.last_seen_at)
            scene.worst = max(scene.worst, entry.peak_score)
            if self._clear_after == 0 and not scene.live:
                return [self._over(entry.camera, scene)]
        return []

    def tick(self, now: int) -> list[Transition]:
        """End what has been quiet for long enough at wall time `now`."""
        quiet = [
            (camera, scene)
            for camera, scene in self.scenes.items()
            if not scene.live and now - scene.seen >= self._clear_after
        ]
        return [self._over(camera, scene) for camera, scene in quiet]

    def close(self, camera: int) -> None:
        """Forget a violation whose alert was cleared by hand; the next episode raises anew."""
        self.scenes.pop(camera, None)

    def stand(self, camera: int, standing: Standing) -> None:
        """Take over an alert that the database holds as open; its episodes are not known any more."""
        score = standing.worst or 0.0
        self.scenes[camera] = Scene(
            since=standing.started_at, seen=standing.started_at, first=standing.first or score, worst=score, live=set()
        )
        self.scenes[camera].code = standing.exempt

    def _started(self, entry: EpisodeEntry, scene: Scene | None) -> list[Transition]:
        told: list[Transition] = []
        code = self._code(entry)
        if code == INACTIVE:
            return []
        if scene is not None and scene.code != code:
            told, scene = [self._over(entry.camera, scene, reason="schedule")], None
        phase: Phase = "join"
        if scene is None:
            phase = "raise"
            scene = self.scenes[entry.camera] = Scene(
                since=entry.started_at,
                seen=entry.last_seen_at,
                first=entry.peak_score,
                worst=entry.peak_score,
                live=set(),
                code=code,
            )
        scene.live.add(entry.episode)
        scene.seen = max(scene.seen, entry.last_seen_at)
        scene.worst = max(scene.worst, entry.peak_score)
        sighting = Sighting(episode=entry.episode, frame_sha256=entry.frame_sha256, crop_sha256=entry.crop_sha256)
        return [*told, self._transition(phase, entry.camera, scene, last=entry.peak_score, sighting=sighting)]

    def _code(self, entry: EpisodeEntry) -> int:
        """Code of the segment in which an episode began."""
        calendar = self._calendars.get(self.cameras[entry.camera].site_id)
        return ACTIVE if calendar is None else int(calendar.find(np.array([entry.started_at])).code[0])

    def _over(self, camera: int, scene: Scene, *, reason: str = "") -> Transition:
        del self.scenes[camera]
        return self._transition("clear", camera, scene, ended_at=scene.seen, reason=reason)

    def _transition(
        self,
        phase: Phase,
        camera: int,
        scene: Scene,
        *,
        last: float | None = None,
        ended_at: int | None = None,
        sighting: Sighting | None = None,
        reason: str = "",
    ) -> Transition:
        return Transition(
            phase=phase,
            rule=self.rule,
            subject=camera_subject(camera),
            site=self.cameras[camera].site_id,
            camera=camera,
            started_at=scene.since,
            ended_at=ended_at,
            first=scene.first,
            last=last,
            worst=scene.worst,
            sighting=sighting,
            exempt=scene.code,
            reason=reason,
        )
