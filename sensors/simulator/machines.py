"""A tower crane and a construction hoist at work: lift after lift, trip after trip, resting at night."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from random import Random

from sensors.simulator.processes import Wander, Weather, hour_of_day, work_level
from sensors.simulator.schedule import Effect, Episode

_RESTING = 0.25  # below this level of work a machine finishes its job and rests


@dataclass(frozen=True, slots=True)
class _Pose:
    """Where a crane's hook is (slewing in degrees, radius and height in m), and the load on it in t."""

    slewing: float
    radius: float
    height: float
    load: float

    def towards(self, other: _Pose, share: float) -> _Pose:
        """The pose on the way to another, the shorter way round."""
        turn = (other.slewing - self.slewing + 180) % 360 - 180
        return _Pose(
            (self.slewing + share * turn) % 360,
            self.radius + share * (other.radius - self.radius),
            self.height + share * (other.height - self.height),
            other.load,
        )


class TowerCrane:
    """Channels of kind `tower_crane`: 160 t·m rated moment, 8 t at most, a jib of 60 m."""

    _RATED_MOMENT, _RATED_LOAD = 160.0, 8.0

    def __init__(self, random: Random, weather: Weather) -> None:
        self._random = random
        self._weather = weather
        self._gusts = Wander(random, sigma=0.2, tau_s=3)
        self._sway = (Wander(random, sigma=0.02, tau_s=6), Wander(random, sigma=0.02, tau_s=6))
        self._lean = (random.gauss(0, 0.05), random.gauss(0, 0.05))
        self._pose = _Pose(random.uniform(0, 360), random.uniform(15, 50), 40.0, 0.0)
        self._legs: deque[tuple[float, _Pose, bool]] = deque()
        self._leg_start = 0.0

    def read(self, moment: datetime, elapsed: float, episode: Episode | None) -> dict[str, float | str]:
        """Values at a moment; the crane moves on simulation time, `elapsed` seconds."""
        seconds = moment.timestamp()
        pose, working = self._advance(elapsed, work_level(hour_of_day(moment, self._weather.zone)))
        load = pose.load
        if load:
            load = max(0.0, load + self._random.gauss(0, 0.02))
        if episode is not None and episode.effect is Effect.OVERLOAD:
            ratio, working = (episode.level + self._random.gauss(0, 0.4)) / 100, True
            load = ratio * self._RATED_MOMENT / pose.radius
        wind = self._weather.wind_speed(moment) * 1.6 * max(0.1, 1 + self._gusts.at(seconds))
        if episode is not None and episode.effect is Effect.GUST:
            wind = episode.level + self._random.gauss(0, 0.4)
        along = math.radians(pose.slewing)
        bend = 0.25 * load * pose.radius / self._RATED_MOMENT
        return {
            "load": round(load, 2),
            "load_ratio": round(100 * load / self._rated(pose.radius), 1),
            "moment_ratio": round(100 * load * pose.radius / self._RATED_MOMENT, 1),
            "height": round(pose.height, 1),
            "radius": round(pose.radius, 1),
            "slewing": round(pose.slewing, 1) % 360,
            "tilt_x": round(self._lean[0] + bend * math.cos(along) + self._sway[0].at(seconds), 2),
            "tilt_y": round(self._lean[1] + bend * math.sin(along) + self._sway[1].at(seconds), 2),
            "wind_speed": round(wind, 1),
            "status": "working" if working else "idle",
        }

    def _rated(self, radius: float) -> float:
        """Most that may hang at a radius: near the tower 8 t, further out what the rated moment allows."""
        return min(self._RATED_LOAD, self._RATED_MOMENT / radius)

    def _advance(self, elapsed: float, work: float) -> tuple[_Pose, bool]:
        while True:
            if not self._legs:
                self._legs.extend(self._job(work))
            duration, target, working = self._legs[0]
            if elapsed < self._leg_start + duration:
                return self._pose.towards(target, (elapsed - self._leg_start) / duration), working
            self._pose = target
            self._leg_start += duration
            self._legs.popleft()

    def _job(self, work: float) -> list[tuple[float, _Pose, bool]]:
        """The legs of the next lift, or a rest: seconds, pose at the end, whether the crane works."""
        random, here = self._random, self._pose
        rest = _Pose(here.slewing, here.radius, here.height, 0.0)
        if work < _RESTING:
            return [(60.0, rest, False)]
        pick = _Pose(random.uniform(0, 360), random.uniform(16, 55), 2.0, 0.0)
        put = _Pose(random.uniform(0, 360), random.uniform(16, 55), random.uniform(10, 45), 0.0)
        top = max(pick.height, put.height) + 8
        # What is lifted is a share of what the longer of both reaches allows, so no lift is over the limit.
        load = random.betavariate(4, 4) * 0.9 * self._rated(max(pick.radius, put.radius))
        return [
            (random.uniform(15, 35), _Pose(pick.slewing, pick.radius, top, 0.0), True),
            (random.uniform(10, 20), pick, True),
            (random.uniform(15, 30), _Pose(pick.slewing, pick.radius, 2.5, load), True),
            (random.uniform(15, 30), _Pose(pick.slewing, pick.radius, top, load), True),
            (random.uniform(20, 45), _Pose(put.slewing, put.radius, top, load), True),
            (random.uniform(10, 25), _Pose(put.slewing, put.radius, put.height, load), True),
            (random.uniform(15, 40), _Pose(put.slewing, put.radius, put.height, 0.0), True),
            (random.uniform(5, 60), _Pose(put.slewing, put.radius, put.height + 5, 0.0), False),
        ]


@dataclass(frozen=True, slots=True)
class _Stage:
    """A part of a hoist's trip: from one height to another (m), load in t, people on board, the door's symbol."""

    seconds: float
    start: float
    end: float
    load: float
    persons: int
    door: str


class Hoist:
    """Channels of kind `hoist`: one cage, 2 t rated load, 0.6 m/s, floors of 3 m up to the 24th."""

    _RATED_LOAD, _SPEED, _FLOOR_M, _FLOORS = 2.0, 0.6, 3.0, 24

    def __init__(self, random: Random, weather: Weather) -> None:
        self._random = random
        self._weather = weather
        self._gusts = Wander(random, sigma=0.2, tau_s=3)
        self._tilt = Wander(random, sigma=0.04, tau_s=30)
        self._stages: deque[_Stage] = deque()
        self._stage_start = 0.0
        self._height = 0.0

    def read(self, moment: datetime, elapsed: float, episode: Episode | None) -> dict[str, float | str]:
        """Values at a moment; the cage moves on simulation time, `elapsed` seconds."""
        stage = self._advance(elapsed, work_level(hour_of_day(moment, self._weather.zone)))
        share = (elapsed - self._stage_start) / stage.seconds
        height = stage.start + share * (stage.end - stage.start)
        load = stage.load
        if episode is not None and episode.effect is Effect.OVERLOAD:
            load = self._RATED_LOAD * (episode.level + self._random.gauss(0, 0.4)) / 100
        wind = self._weather.wind_speed(moment) * 1.3 * max(0.1, 1 + self._gusts.at(moment.timestamp()))
        return {
            "load": round(load, 2),
            "load_ratio": round(100 * load / self._RATED_LOAD, 1),
            "persons": stage.persons,
            "floor": 1 + round(height / self._FLOOR_M),
            "speed": round((stage.end - stage.start) / stage.seconds, 2),
            "height": round(height, 1),
            "wind_speed": round(wind, 1),
            "tilt": round(self._tilt.at(moment.timestamp()), 2),
            "door": stage.door,
        }

    def _advance(self, elapsed: float, work: float) -> _Stage:
        while True:
            if not self._stages:
                self._stages.extend(self._trip(work))
            stage = self._stages[0]
            if elapsed < self._stage_start + stage.seconds:
                return stage
            self._height = stage.end
            self._stage_start += stage.seconds
            self._stages.popleft()

    def _trip(self, work: float) -> list[_Stage]:
        """Boarding and the way to another floor, or a rest."""
        here, random = self._height, self._random
        if work < _RESTING:
            return [_Stage(60.0, here, here, 0.0, 0, "closed")]
        target = random.choice([floor for floor in range(self._FLOORS) if floor * self._FLOOR_M != here])
        there = target * self._FLOOR_M
        persons = min(9, int(random.expovariate(0.35)))
        load = 0.075 * persons + random.uniform(0, 0.9)
        return [
            _Stage(random.uniform(10, 30), here, here, load, persons, "open"),
            _Stage(abs(there - here) / self._SPEED, here, there, load, persons, "closed"),
        ]
