"""A dust and noise station at the boundary of a site."""

from __future__ import annotations

import math
from datetime import datetime
from random import Random

from sensors.simulator.processes import Wander, Weather, hour_of_day, rush_level, work_level
from sensors.simulator.schedule import Effect, Episode

_RAMP_S = 4.0  # a cloud of dust comes and goes within seconds, not within one reading
_CLEAN = 30.0  # pm10 that is in the air everywhere, and that no sprayer binds


class DustStation:
    """Channels of kind `dust`: traffic and work give the daily course, weather carries it, episodes break it."""

    def __init__(self, random: Random, weather: Weather) -> None:
        self._random = random
        self._weather = weather
        self._air = Wander(random, sigma=0.15, tau_s=1200)
        self._puffs = Wander(random, sigma=0.05, tau_s=15)
        self._fine = Wander(random, sigma=0.03, tau_s=300)
        self._coarse = Wander(random, sigma=0.05, tau_s=120)
        self._hum = Wander(random, sigma=1.1, tau_s=60)
        self._clatter = Wander(random, sigma=0.8, tau_s=2)
        self._gusts = Wander(random, sigma=0.22, tau_s=4)
        self._vane = Wander(random, sigma=12, tau_s=20)
        self._drift = Wander(random, sigma=0.15, tau_s=900)

    def read(self, moment: datetime, elapsed: float, episode: Episode | None) -> dict[str, float | str]:
        """Values at a moment; `elapsed` is the simulation's time in seconds, on which the episode stands."""
        seconds = moment.timestamp()
        hour = hour_of_day(moment, self._weather.zone)
        pm10 = (42 + 14 * rush_level(hour) + 18 * work_level(hour)) * math.exp(
            self._air.at(seconds) + self._puffs.at(seconds)
        )
        fine = 0.46 + self._fine.at(seconds)
        coarse = 1.7 + self._coarse.at(seconds)
        if episode is not None and episode.effect is Effect.SANDSTORM:
            share = min(1.0, (elapsed - episode.start + 1) / _RAMP_S, (episode.end - elapsed) / _RAMP_S)
            pm10 += (episode.level * math.exp(self._random.gauss(0, 0.02)) - pm10) * share
            # Blown sand is coarse: the fine fraction's share falls.
            fine, coarse = fine - 0.2 * share, coarse + 0.4 * share
        bound = self._weather.spray.share(seconds)
        pm10 -= max(0.0, pm10 - _CLEAN) * bound
        return {
            "pm10": round(pm10, 1),
            "pm2_5": round(pm10 * fine, 1),
            "tsp": round(pm10 * coarse, 1),
            "laeq": round(self._noise(seconds, hour, episode), 1),
            "temperature": round(self._weather.temperature(moment) + self._drift.at(seconds), 1),
            "humidity": round(min(99.5, self._weather.humidity(moment) + 8 * bound + self._random.gauss(0, 0.2)), 1),
            "pressure": round(self._weather.pressure(moment) + self._random.gauss(0, 0.05), 1),
            "wind_speed": round(self._wind(moment, seconds, episode), 1),
            "wind_direction": round(self._weather.wind_direction(moment) + self._vane.at(seconds)) % 360,
        }

    def _noise(self, seconds: float, hour: float, episode: Episode | None) -> float:
        level = 50 + 12 * work_level(hour) + 2 * rush_level(hour) + self._hum.at(seconds) + self._clatter.at(seconds)
        if self._random.random() < 0.03 * work_level(hour):
            level += self._random.uniform(2, 6)  # something falls, someone hammers
        if episode is not None and episode.effect is Effect.NOISE:
            level = episode.level + self._random.gauss(0, 0.8)
        return level

    def _wind(self, moment: datetime, seconds: float, episode: Episode | None) -> float:
        wind = self._weather.wind_speed(moment) * max(0.1, 1 + self._gusts.at(seconds))
        if episode is not None and episode.effect in (Effect.GUST, Effect.SANDSTORM):
            wind += max(episode.level if episode.effect is Effect.GUST else 7.0, 0.0)
        return wind
