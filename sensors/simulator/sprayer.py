"""A fog cannon that does as it is told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any

from sensors.simulator.processes import Wander, Weather
from sensors.simulator.schedule import Episode

_PUMP_S = 1.5
_MAINS_KPA, _PUMP_KPA, _FLOW = 310.0, 2400.0, 62.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the device says to a command."""

    ok: bool
    detail: str


class Sprayer:
    """Channels of kind `sprayer`, and its commands `spray_on` (argument `minutes`: stops by itself) and `spray_off`."""

    def __init__(self, random: Random, weather: Weather) -> None:
        self._spray = weather.spray
        self._ripple = Wander(random, sigma=0.02, tau_s=3)
        self._on = False
        self._stops_at = math.inf
        self._pump = 0.0
        self._at: float | None = None

    def read(self, moment: datetime, elapsed: float, episode: Episode | None) -> dict[str, float | str]:  # noqa: ARG002
        """Values at a moment; no episode of the schedule touches a sprayer."""
        seconds = moment.timestamp()
        self._advance(seconds)
        ripple = math.exp(self._ripple.at(seconds))
        return {
            "state": "on" if self._on else "off",
            "mode": "remote",
            "water_pressure": round((_MAINS_KPA + (_PUMP_KPA - _MAINS_KPA) * self._pump) * ripple),
            "flow": round(_FLOW * self._pump * ripple, 1),
        }

    def carry_out(self, name: str, arguments: Mapping[str, Any], moment: datetime) -> Outcome:
        """Switch, and say what was done."""
        seconds = moment.timestamp()
        self._advance(seconds)
        minutes = arguments.get("minutes")
        if name == "spray_on":
            if minutes is not None and (isinstance(minutes, bool) or not isinstance(minutes, int | float)):
                return Outcome(ok=False, detail="minutes is no number")
            self._stops_at = math.inf if minutes is None else seconds + 60 * minutes
            self._switch(on=True, seconds=seconds)
            return Outcome(ok=True, detail="pump on" if minutes is None else f"pump on for {minutes:g} min")
        if name == "spray_off":
            self._switch(on=False, seconds=seconds)
            return Outcome(ok=True, detail="pump off")
        return Outcome(ok=False, detail=f"unknown command {name}")

    def _advance(self, seconds: float) -> None:
        if self._on and seconds >= self._stops_at:
            self._switch(on=False, seconds=self._stops_at)
        if self._at is not None and seconds > self._at:
            aim = 1.0 if self._on else 0.0
            self._pump = aim + (self._pump - aim) * math.exp(-(seconds - self._at) / _PUMP_S)
        self._at = seconds

    def _switch(self, *, on: bool, seconds: float) -> None:
        self._on = on
        if not on:
            self._stops_at = math.inf
        self._spray.turn(self, on=on, seconds=seconds)
