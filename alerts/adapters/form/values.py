"""How regulators write times and units."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from core.clock import micros

_TOKENS = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}
_PATTERN = re.compile("yyyy|MM|dd|HH|mm|ss|SSS")
_NAMED = ("iso", "epoch-s", "epoch-ms")

# (canonical unit, unit that is sent) -> factor.
_FACTORS: Mapping[tuple[str, str], float] = {
    ("µg/m³", "mg/m³"): 1e-3,
    ("µg/m³", "ng/m³"): 1e3,
    ("hPa", "kPa"): 0.1,
    ("hPa", "Pa"): 100.0,
    ("m/s", "km/h"): 3.6,
    ("t", "kg"): 1000.0,
    ("m", "cm"): 100.0,
    ("m", "mm"): 1000.0,
    ("mm", "cm"): 0.1,
    ("mm", "m"): 1e-3,
    ("s", "min"): 1 / 60,
    ("%", "1"): 0.01,
    ("%RH", "1"): 0.01,
}
UNITS = frozenset({unit for pair in _FACTORS for unit in pair} | {"dB(A)", "°C", "degrees"})
_DIGITS = 9


def check_time(form: str) -> None:
    """Raise ValueError where a time format is none of ours.

    `iso` has the offset of the zone, `epoch-s` and `epoch-ms` are numbers since 1970 UTC; anything else is a pattern
    of yyyy, MM, dd, HH, mm, ss and SSS, such as yyyyMMddHHmmss.
    """
    if form in _NAMED:
        return
    if not _PATTERN.search(form) or re.search("[A-SU-Za-z]", _PATTERN.sub("", form)):
        raise ValueError(f"{form!r} is no time format: {', '.join(_NAMED)}, or a pattern such as yyyyMMddHHmmss")


def written(moment: datetime, form: str, zone: ZoneInfo) -> str | int:
    """A moment in a format that `check_time` took, in this zone."""
    if form == "epoch-ms":
        return micros(moment) // 1000
    if form == "epoch-s":
        return micros(moment) // 1_000_000
    local = moment.astimezone(zone)
    if form == "iso":
        return local.isoformat(timespec="seconds")
    return _PATTERN.sub(
        lambda match: f"{local.microsecond // 1000:03d}" if match[0] == "SSS" else local.strftime(_TOKENS[match[0]]),
        form,
    )


def converted(value: float, unit: str, wanted: str) -> float:
    """A value in another unit of the same quantity; raise ValueError where it has no such unit."""
    if unit == wanted:
        return value
    factor = _FACTORS.get((unit, wanted))
    if factor is None:
        raise ValueError(f"a value in {unit or 'no unit'} cannot be told in {wanted}")
    # A decimal factor leaves digits behind that nothing measured.
    return round(value * factor, _DIGITS)
