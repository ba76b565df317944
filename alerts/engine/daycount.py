"""The day-count rule: windows beyond a level, counted over a day of the site.

The end of the day ends the violation. Windows of times in which the site is exempt are not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from alerts.engine.calendar import ACTIVE, Calendar
from alerts.engine.fleet import NEVER, Fleet, Mask, Times
from alerts.engine.transitions import Transition
from alerts.engine.windows import Verdicts, WindowEvaluator
from alerts.rules.model import DayCountRule
from sensors.registry import Registry


class DayCountEvaluator(WindowEvaluator):
    """Day-count rules of one shape over a fleet. `beyond`: windows beyond the level on `day`, [rows, slots]."""

    _sort = "day_count:"

    def __init__(self, rules: Sequence[DayCountRule], fleet: Fleet, registry: Registry) -> None:
        super().__init__(rules, fleet, registry)
        self.beyond: npt.NDArray[np.int64] = np.zeros((len(rules), len(fleet)), dtype=np.int64)
        self.day: Times = np.full((len(rules), len(fleet)), NEVER, dtype=np.int64)
        zones = [registry.sites[device.site_id].time_zone for device in fleet.devices]
        self._zone = np.array([sorted(set(zones)).index(zone) for zone in zones], dtype=np.intp)
        self._days = [Calendar((), ZoneInfo(zone), daily=True) for zone in sorted(set(zones))]

    def _decide(self, found: Verdicts) -> list[Transition]:
        exempt = self.agenda.find(found.rule, found.slot, found.began).code != ACTIVE
        found = found.only(~exempt)
        day = np.empty_like(found.began)
        for number, calendar in enumerate(self._days):
            here = self._zone[found.slot] == number
            day[here] = calendar.find(found.began[here]).start
        at = (found.rule, found.slot)
        begun = np.where(self.day[at] == day, self.beyond[at], 0)
        beyond: Mask = self._sign[found.rule, 0] * found.values > self._level[found.rule, 0]
        counted = begun + beyond
        self.day[at], self.beyond[at] = day, counted
        # A window within the level raises nothing, however many were beyond it before.
        values = np.where(beyond, counted, 0).astype(np.float64)
        return super()._decide(found._replace(values=values, facts={"exceedances": counted.astype(np.float64)}))

    def arrays(self, place: int) -> dict[str, npt.NDArray[Any]]:
        """The part of one rule in the snapshot."""
        return {**super().arrays(place), "beyond": self.beyond[place], "day": self.day[place]}
