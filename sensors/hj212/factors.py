"""Factor codes of HJ 212 / HJ 524 that construction sites use: the channel each stands for, and its units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quantity:
    """Units in which a quantity is sent, with the factor that makes each the canonical one."""

    canonical: str
    scales: Mapping[str, float]


# By the unit that a station sends where nothing else is said of it.
UNITS: Mapping[str, Quantity] = {
    "ug/m3": Quantity("µg/m³", {"ug/m3": 1.0, "mg/m3": 1e3, "ng/m3": 1e-3}),
    "dB": Quantity("dB(A)", {"dB": 1.0}),
    "C": Quantity("°C", {"C": 1.0}),
    "%": Quantity("%RH", {"%": 1.0}),
    "kPa": Quantity("hPa", {"kPa": 10.0, "hPa": 1.0, "Pa": 1e-2}),
    "m/s": Quantity("m/s", {"m/s": 1.0}),
    "degrees": Quantity("degrees", {"degrees": 1.0}),
}


@dataclass(frozen=True, slots=True)
class Factor:
    """What a code stands for: a channel, or a metric of that name where the kind has no such channel.

    `rank` decides where a station sends several codes of one channel: the lowest one is the channel's.
    """

    channel: str
    unit: str
    rank: int = 0


# The standard's table prints ng/m³ for particles; stations send µg/m³ under it, some mg/m³ (an option of the device).
FACTORS: Mapping[str, Factor] = {
    "a34001": Factor("tsp", "ug/m3"),
    "a34002": Factor("pm10", "ug/m3"),
    "a34004": Factor("pm2_5", "ug/m3"),
    "a34005": Factor("pm1", "ug/m3"),
    # An equivalent level is what limits are written in; the momentary level stands in for it where it comes alone.
    "Leq": Factor("laeq", "dB"),
    "LA": Factor("laeq", "dB", rank=1),
    "a50001": Factor("laeq", "dB", rank=2),
    "L5": Factor("l5", "dB"),
    "L10": Factor("l10", "dB"),
    "L50": Factor("l50", "dB"),
    "L90": Factor("l90", "dB"),
    "L95": Factor("l95", "dB"),
    "Ld": Factor("ld", "dB"),
    "Ln": Factor("ln", "dB"),
    "Ldn": Factor("ldn", "dB"),
    "LMx": Factor("lmax", "dB"),
    "LMn": Factor("lmin", "dB"),
    "a01001": Factor("temperature", "C"),
    "a01002": Factor("humidity", "%"),
    "a01006": Factor("pressure", "kPa"),
    "a01007": Factor("wind_speed", "m/s"),
    "a01008": Factor("wind_direction", "degrees"),
}


def scale_of(unit: str) -> float:
    """The factor that makes a unit's values canonical."""
    return next(quantity.scales[unit] for quantity in UNITS.values() if unit in quantity.scales)
