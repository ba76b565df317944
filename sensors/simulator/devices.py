"""Simulated devices: what a registry file says of them, and the readings they take."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Protocol
from zoneinfo import ZoneInfo

import msgspec

from core.clock import micros
from core.errors import ConfigurationError
from sensors.provision.files import read_files
from sensors.provision.report import Report
from sensors.simulator.machines import Hoist, TowerCrane
from sensors.simulator.processes import Weather, generator
from sensors.simulator.protection import ElectricBox, Excavation, Pole, UnloadingPlatform, watch
from sensors.simulator.schedule import Effect, Episode
from sensors.simulator.spray import Spray
from sensors.simulator.sprayer import Sprayer
from sensors.simulator.stations import DustStation

logger = logging.getLogger(__name__)

# Now and then an instrument loses one reading, or one of its probes does not answer (flag B, no value).
_LOST_SHARE, _NO_ANSWER_SHARE = 0.001, 0.0005


class Model(Protocol):
    """What takes the readings of one kind."""

    def read(self, moment: datetime, elapsed: float, episode: Episode | None) -> dict[str, float | str]:
        """Values by channel at a moment, in canonical units; enum channels by symbol."""
        ...


MODELS: Mapping[str, Callable[[Random, Weather], Model]] = {
    "dust": DustStation,
    "tower_crane": TowerCrane,
    "hoist": Hoist,
    "sprayer": Sprayer,
    "edge_guard": watch(points="open_segments", well="closed", wrong="open", tilt=True),
    "opening": watch(points="open_covers", well="closed", wrong="open"),
    "smoke": watch(points="alarms", well="normal", wrong="alarm", air=True),
    "water_leak": watch(points="alarms", well="normal", wrong="alarm"),
    "gas": watch(points="alarms", well="normal", wrong="alarm", concentration=True),
    "unloading_platform": UnloadingPlatform,
    "electric_box": ElectricBox,
    "pole_tilt": Pole,
    "excavation": Excavation,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedDevice:
    """A device as its own firmware knows it; it speaks as `site/code` with its secret."""

    site: str
    code: str
    kind: str
    secret: str = field(repr=False)
    interval_s: float
    time_zone: str

    @property
    def name(self) -> str:
        """`site/code`, the MQTT user name."""
        return f"{self.site}/{self.code}"


class Reading(msgspec.Struct, frozen=True):
    """One telemetry message: `ts` in milliseconds since the epoch, values and flags by channel."""

    ts: int
    values: dict[str, float | str | None]
    flags: dict[str, str] = {}


class Instrument:
    """Takes the readings of one device: a model's values, with the schedule's faults and a few of its own.

    The same device, seed and times give the same readings, as long as nothing is sprayed; times must not run backwards.
    `spray` is the water of the device's site.
    """

    def __init__(self, device: SimulatedDevice, *, seed: int, spray: Spray | None = None) -> None:
        self._random = generator(seed, device.name)
        weather = Weather(seed, device.site, ZoneInfo(device.time_zone), spray or Spray())
        self.model = MODELS[device.kind](self._random, weather)
        self._stuck: float | str | None = None

    def read(self, moment: datetime, elapsed: float, episode: Episode | None) -> Reading | None:
        """The reading at a moment, `elapsed` seconds into the simulation; None where none is taken."""
        values: dict[str, float | str | None] = dict(self.model.read(moment, elapsed, episode))
        flags: dict[str, str] = {}
        lost, unanswered = self._random.random() < _LOST_SHARE, self._random.random() < _NO_ANSWER_SHARE
        if unanswered:
            channel = self._random.choice(sorted(values))
            values[channel], flags[channel] = None, "B"
        if episode is not None and episode.effect is Effect.FAULT:
            if self._stuck is None:
                self._stuck = values[episode.channel]
            values[episode.channel], flags[episode.channel] = self._stuck, "D"
        else:
            self._stuck = None
        if lost or (episode is not None and episode.effect in (Effect.GAP, Effect.SILENCE)):
            return None
        return Reading(micros(moment) // 1000, values, flags)


def read_devices(registry: Path) -> tuple[SimulatedDevice, ...]:
    """The enabled devices of a registry file; those of kinds without a model are named in the log and left out.

    Raises:
        ConfigurationError: the file has errors, or a device has no secret.
    """
    report = Report()
    rows = read_files([registry], report)
    zones = {sourced.row.code: sourced.row.time_zone for sourced in rows.sites}
    devices = []
    for sourced in rows.devices:
        row = sourced.row
        if not row.enabled:
            continue
        if row.kind not in MODELS:
            logger.warning("no model simulates this kind", extra={"device": row.code, "kind": row.kind})
        elif row.site not in zones:
            report.errors.append(sourced.error("site", "not_simulated", key=row.site))
        elif row.secret is None:
            report.errors.append(sourced.error("secret", "secret_needed"))
        else:
            devices.append(
                SimulatedDevice(
                    site=row.site,
                    code=row.code,
                    kind=row.kind,
                    secret=row.secret,
                    interval_s=row.interval_s,
                    time_zone=zones[row.site],
                )
            )
    if report.errors:
        raise ConfigurationError("; ".join(map(str, report.errors)), hint=f"correct {registry}")
    return tuple(devices)
