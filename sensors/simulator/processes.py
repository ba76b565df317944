"""The statistics that simulated devices are made of: correlated noise, the working day, a site's weather.

Weather is a pure function of time, so that all devices of a site share it whatever order they are asked in; what a
single instrument adds is an AR(1) process of its own that moves as its clock does.
"""

from __future__ import annotations

import math
from datetime import datetime
from random import Random
from zoneinfo import ZoneInfo

from sensors.simulator.spray import Spray

_DAY_S = 86_400.0


def generator(*names: object) -> Random:
    """A random generator of its own for each list of names, the same in every run."""
    return Random("/".join(str(name) for name in names))


class Wander:
    """First-order autoregressive noise: standard deviation `sigma`, correlation 1/e after `tau_s` seconds."""

    def __init__(self, random: Random, *, sigma: float, tau_s: float) -> None:
        self._random = random
        self._sigma = sigma
        self._tau_s = tau_s
        self._value = random.gauss(0, sigma)
        self._at: float | None = None

    def at(self, seconds: float) -> float:
        """The value at a time that does not run backwards, in seconds on any scale."""
        if self._at is not None:
            keep = math.exp(-max(seconds - self._at, 0.0) / self._tau_s)
            self._value = keep * self._value + self._sigma * math.sqrt(1 - keep * keep) * self._random.gauss(0, 1)
        self._at = seconds
        return self._value


class Swell:
    """A slow, smooth curve of unit variance: a few sine waves with drawn periods and phases."""

    def __init__(self, random: Random, *, shortest_s: float, longest_s: float, waves: int = 5) -> None:
        spread = math.log(longest_s / shortest_s)
        self._waves = [
            (2 * math.pi / (shortest_s * math.exp(spread * random.random())), random.uniform(0, 2 * math.pi))
            for _ in range(waves)
        ]
        self._scale = math.sqrt(2 / waves)

    def at(self, seconds: float) -> float:
        """The value at any time."""
        return self._scale * sum(math.sin(omega * seconds + phase) for omega, phase in self._waves)


def hour_of_day(moment: datetime, zone: ZoneInfo) -> float:
    """Local hour with its fraction, 0..24."""
    local = moment.astimezone(zone)
    return local.hour + local.minute / 60 + local.second / 3600


def work_level(hour: float) -> float:
    """How busy a building site is, 0..1: from six to ten in the evening, with a pause at noon."""
    day = 0.5 * (math.tanh((hour - 6.5) / 0.6) - math.tanh((hour - 21.3) / 0.6))
    return day * (1 - 0.5 * math.exp(-(((hour - 12.2) / 0.5) ** 2)))


def rush_level(hour: float) -> float:
    """How much traffic the surroundings have, 0..1: peaks at eight and at six in the evening."""
    return math.exp(-(((hour - 8) / 1.5) ** 2)) + math.exp(-(((hour - 18) / 1.8) ** 2))


class Weather:
    """Temperature, humidity, pressure, wind and water (`spray`) of one site; a lowland in the subtropical monsoon."""

    def __init__(self, seed: int, site: str, zone: ZoneInfo, spray: Spray) -> None:
        random = generator(seed, "weather", site)
        self.zone = zone
        self.spray = spray
        self._warmth = Swell(random, shortest_s=3 * 3600, longest_s=4 * _DAY_S)
        self._moisture = Swell(random, shortest_s=3600, longest_s=2 * _DAY_S)
        self._mass = Swell(random, shortest_s=_DAY_S, longest_s=6 * _DAY_S)
        self._breeze = Swell(random, shortest_s=300, longest_s=6 * 3600)
        self._veer = Swell(random, shortest_s=900, longest_s=_DAY_S)
        self._prevailing = random.uniform(0, 360)

    def _season(self, moment: datetime) -> float:
        """1 in the height of summer, -1 in midwinter."""
        return math.cos(2 * math.pi * (moment.timetuple().tm_yday - 205) / 365.25)

    def temperature(self, moment: datetime) -> float:
        """Air temperature in °C."""
        day = math.cos(2 * math.pi * (hour_of_day(moment, self.zone) - 15) / 24)
        return 17 + 11 * self._season(moment) + 3.5 * day + 1.8 * self._warmth.at(moment.timestamp())

    def humidity(self, moment: datetime) -> float:
        """Relative humidity in %RH: dry in the afternoon, moist before sunrise."""
        day = math.cos(2 * math.pi * (hour_of_day(moment, self.zone) - 15) / 24)
        return min(99.0, max(18.0, 70 - 14 * day + 7 * self._moisture.at(moment.timestamp())))

    def pressure(self, moment: datetime) -> float:
        """Air pressure in hPa, with its tide of half a day."""
        tide = math.cos(2 * math.pi * (hour_of_day(moment, self.zone) - 10) / 12)
        return 1014 - 9 * self._season(moment) + 1.1 * tide + 3.5 * self._mass.at(moment.timestamp())

    def wind_speed(self, moment: datetime) -> float:
        """Mean wind near the ground in m/s, without gusts."""
        day = math.cos(2 * math.pi * (hour_of_day(moment, self.zone) - 14) / 24)
        return max(0.2, 2.1 + 0.7 * day + 0.7 * self._breeze.at(moment.timestamp()))

    def wind_direction(self, moment: datetime) -> float:
        """Direction the wind comes from, in degrees."""
        return (self._prevailing + 35 * self._veer.at(moment.timestamp())) % 360
