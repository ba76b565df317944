"""Safety protection: guards and covers, detectors, unloading platforms, distribution boxes, formwork poles."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from random import Random

from sensors.simulator.processes import Wander, Weather, hour_of_day, work_level
from sensors.simulator.schedule import Effect, Episode

Values = dict[str, float | str]

_EMPTY_AFTER_S = 400 * 86_400.0


class Watch:
    """What says by itself that something is wrong: `state` and `points` of a kind, with a battery.

    Args:
        points: the channel that counts what is wrong; 0 while all is well.
        well, wrong: symbols of `state`.
        air, tilt, concentration: whether the kind has these channels.
    """

    def __init__(
        self,
        random: Random,
        weather: Weather,
        *,
        points: str,
        well: str,
        wrong: str,
        air: bool = False,
        tilt: bool = False,
        concentration: bool = False,
    ) -> None:
        self._random = random
        self._weather = weather
        self._points, self._well, self._wrong = points, well, wrong
        self._air, self._concentration = air, concentration
        self._tilt = Wander(random, sigma=0.05, tau_s=60) if tilt else None
        self._traces = Wander(random, sigma=0.3, tau_s=300)
        self._charge = random.uniform(60, 100)

    def read(self, moment: datetime, elapsed: float, episode: Episode | None) -> Values:
        """Values at a moment; an alarm's level is the number of points, at least one."""
        wrong = episode is not None and episode.effect is Effect.ALARM
        points = max(1, round(episode.level)) if wrong and episode is not None else 0
        values: Values = {"state": self._wrong if wrong else self._well, self._points: points}
        if self._air:
            values["temperature"] = round(self._weather.temperature(moment) + (35.0 if wrong else 0.0), 1)
        if self._concentration:
            traces = abs(self._traces.at(moment.timestamp()))
            values["concentration"] = round(30.0 + traces if wrong else traces, 1)
        if self._tilt is not None:
            values["tilt"] = round((25.0 if wrong else 0.0) + self._tilt.at(moment.timestamp()), 2)
        values["battery"] = round(max(0.0, self._charge * (1 - elapsed / _EMPTY_AFTER_S)))
        return values


def watch(*, points: str, well: str, wrong: str, **channels: bool) -> Callable[[Random, Weather], Watch]:
    """A maker of watches of a kind."""
    return lambda random, weather: Watch(random, weather, points=points, well=well, wrong=wrong, **channels)


class UnloadingPlatform:
    """Channels of kind `unloading_platform`: 1.5 t rated; loaded and cleared every few minutes while people work."""

    _RATED, _TURN_S = 1.5, 240.0

    def __init__(self, random: Random, weather: Weather) -> None:
        self._random = random
        self._weather = weather
        self._phase = random.uniform(0, self._TURN_S)
        self._lean = (Wander(random, sigma=0.1, tau_s=30), Wander(random, sigma=0.1, tau_s=30))
        self._charge = random.uniform(60, 100)

    def read(self, moment: datetime, elapsed: float, episode: Episode | None) -> Values:
        """Values at a moment; an overload goes to its level in % of the rated load."""
        share = ((elapsed + self._phase) % self._TURN_S) / self._TURN_S
        busy = work_level(hour_of_day(moment, self._weather.zone)) > 0.25
        ratio = 80 * min(1.0, share / 0.6) if busy and share < 0.8 else 0.0
        if episode is not None and episode.effect is Effect.OVERLOAD:
            ratio = episode.level
        ratio = max(0.0, ratio + self._random.gauss(0, 0.3))
        seconds = moment.timestamp()
        return {
            "load": round(self._RATED * ratio / 100, 3),
            "load_ratio": round(ratio, 1),
            "tilt_x": round(self._lean[0].at(seconds) + ratio / 200, 2),
            "tilt_y": round(self._lean[1].at(seconds), 2),
            "battery": round(max(0.0, self._charge * (1 - elapsed / _EMPTY_AFTER_S))),
        }


class ElectricBox:
    """Channels of kind `electric_box`: cables grow warm with the working day, a few mA leak through damp."""

    _CABLES = ("cable_temperature_1", "cable_temperature_2", "cable_temperature_3", "cable_temperature_n")

    def __init__(self, random: Random, weather: Weather) -> None:
        self._weather = weather
        self._leak = Wander(random, sigma=0.8, tau_s=120)
        self._load = {name: Wander(random, sigma=1.5, tau_s=600) for name in self._CABLES}

    def read(self, moment: datetime, elapsed: float, episode: Episode | None) -> Values:
        """Values at a moment; an alarm is a leakage current of its level in mA."""
        del elapsed
        seconds, work = moment.timestamp(), work_level(hour_of_day(moment, self._weather.zone))
        air = self._weather.temperature(moment)
        leak = 3 + self._weather.humidity(moment) / 40 + self._leak.at(seconds)
        if episode is not None and episode.effect is Effect.ALARM:
            leak = episode.level
        warmth = {name: air + 4 + (18 if name[-1] != "n" else 8) * work for name in self._CABLES}
        return {
            "leakage_current": round(max(0.0, leak), 1),
            **{name: round(warmth[name] + load.at(seconds), 1) for name, load in self._load.items()},
            "box_temperature": round(air + 3 + 6 * work, 1),
            "door": "closed",
        }


class Pole:
    """Channels of kind `pole_tilt`: a formwork pole that carries fresh concrete and gives a little with warmth."""

    def __init__(self, random: Random, weather: Weather) -> None:
        self._weather = weather
        self._lean = (Wander(random, sigma=0.03, tau_s=900), Wander(random, sigma=0.03, tau_s=900))
        self._sink = Wander(random, sigma=0.3, tau_s=1800)
        self._shift = Wander(random, sigma=0.3, tau_s=1800)
        self._force = random.uniform(8, 16)
        self._charge = random.uniform(60, 100)

    def read(self, moment: datetime, elapsed: float, episode: Episode | None) -> Values:
        """Values at a moment; an alarm is a settlement of its level in mm."""
        seconds = moment.timestamp()
        sunk = 1.5 + self._sink.at(seconds)
        if episode is not None and episode.effect is Effect.ALARM:
            sunk = episode.level
        return {
            "tilt_x": round(self._lean[0].at(seconds), 3),
            "tilt_y": round(self._lean[1].at(seconds), 3),
            "settlement": round(sunk, 1),
            "displacement": round(1 + self._shift.at(seconds), 1),
            "axial_force": round(self._force + 0.05 * self._weather.temperature(moment), 2),
            "battery": round(max(0.0, self._charge * (1 - elapsed / _EMPTY_AFTER_S))),
        }


class Excavation:
    """Channels of kind `excavation`: a pit in use, whose walls give some millimetres and whose struts carry half."""

    _GIVING = (
        "wall_top_horizontal",
        "wall_top_vertical",
        "deep_horizontal",
        "ground_settlement",
        "building_settlement",
        "column_vertical",
    )

    def __init__(self, random: Random, weather: Weather) -> None:
        self._weather = weather
        self._given = {name: Wander(random, sigma=0.2, tau_s=3600) for name in self._GIVING}
        self._water = Wander(random, sigma=15, tau_s=7200)
        self._charge = random.uniform(60, 100)

    def read(self, moment: datetime, elapsed: float, episode: Episode | None) -> Values:
        """Values at a moment; an alarm is a horizontal displacement of the wall's top of its level in mm."""
        seconds = moment.timestamp()
        moved = {name: round(4 + wander.at(seconds), 2) for name, wander in self._given.items()}
        if episode is not None and episode.effect is Effect.ALARM:
            moved["wall_top_horizontal"] = episode.level
        return {
            **moved,
            "groundwater_change": round(200 + self._water.at(seconds)),
            # Struts of steel grow with warmth.
            "strut_force_ratio": round(38 + 0.3 * self._weather.temperature(moment), 1),
            "anchor_force_ratio": 96.0,
            "battery": round(max(0.0, self._charge * (1 - elapsed / _EMPTY_AFTER_S))),
        }
