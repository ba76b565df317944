"""Readings and periods as packets of HJ 212-2017; the 2025 edition differs in the bits of Flag and the cipher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone

from alerts.uplink.rows import Period, Readings
from core.settings import UplinkSettings
from sensors.hj212 import compose
from sensors.hj212.factors import FACTORS
from sensors.hj212.outgoing import CODES, factors_of
from sensors.hj212.packet import ACK_WANTED, VERSION_2017, VERSION_2025, Packet
from sensors.hj212.policy import Policy

REAL_TIME, MINUTE_DATA, HOUR_DATA = "2011", "2051", "2061"
_Factors = dict[str, dict[str, float | str]]


def codes_of(uplink: UplinkSettings) -> dict[str, str]:
    """Factor codes by channel; raise ValueError where an option names a code that HJ 212 does not have."""
    unknown = sorted(set(uplink.codes.values()) - FACTORS.keys())
    if unknown:
        raise ValueError(f"codes: {', '.join(unknown)} is no factor code; known are {', '.join(sorted(FACTORS))}")
    return {**CODES, **uplink.codes}


def zone_of(uplink: UplinkSettings) -> timezone:
    """The zone of QN and DataTime."""
    return Policy(time_zone=uplink.time_zone).zone


def of_readings(
    uplink: UplinkSettings, mn: str, readings: Readings, codes: Mapping[str, str], *, now: datetime
) -> Sequence[Packet]:
    """2011; nothing where no channel has a code."""
    factors = factors_of(readings.values, readings.flags, codes=codes)
    return _packets(uplink, mn, REAL_TIME, readings.time, factors, now)


def of_period(
    uplink: UplinkSettings, mn: str, command: str, period: Period, codes: Mapping[str, str], *, now: datetime
) -> Sequence[Packet]:
    """2051 or 2061: least, mean and greatest value, for noise Leq and the greatest level; DataTime is the start."""
    factors: _Factors = {}
    for code, item in factors_of(period.means, period.flags, suffix="Avg", codes=codes).items():
        factors[code] = item
    for suffix, values in (("Min", period.lows), ("Max", period.highs)):
        for code, item in factors_of(values, period.flags, suffix=suffix, codes=codes).items():
            if "Avg" in factors.get(code, {}):
                factors[code][suffix] = item[suffix]
    ordered: _Factors = {
        code: {name: item[name] for name in ("Min", "Avg", "Max", "Data", "Flag") if name in item}
        for code, item in factors.items()
    }
    if "laeq" in period.highs:
        ordered |= factors_of({"lmax": period.highs["laeq"]}, {"lmax": period.flags["laeq"]}, suffix="Avg", codes=codes)
    return _packets(uplink, mn, command, period.time, ordered, now)


def _packets(
    uplink: UplinkSettings, mn: str, command: str, time: datetime, factors: _Factors, now: datetime
) -> Sequence[Packet]:
    if not factors:
        return []
    zone = zone_of(uplink)
    version = VERSION_2025 if uplink.version == "2025" else VERSION_2017
    header = Packet(
        cn=command,
        mn=mn,
        qn=compose.qn(now, zone),
        st=uplink.st,
        pw=uplink.password.get_secret_value(),
        flag=version << 2 | ACK_WANTED,
    )
    return compose.data(header, time, zone, factors)


def floor(moment: datetime, width: timedelta) -> datetime:
    """The start of the period of `width` (UTC) in which a moment lies."""
    origin = datetime(2000, 1, 1, tzinfo=moment.tzinfo)
    return moment - (moment - origin) % width
