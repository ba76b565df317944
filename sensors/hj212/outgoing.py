"""Canonical values as factors of HJ 212: the way back of `decode`, for up-links to platforms that take HJ 212."""

from __future__ import annotations

from collections.abc import Mapping

from sensors.hj212.factors import FACTORS, UNITS

# Channel or metric -> its code; of several codes for one channel that which comes first when they come in.
CODES: Mapping[str, str] = {factor.channel: code for code, factor in FACTORS.items() if factor.rank == 0}
_DECIMALS = 6


def factors_of(
    values: Mapping[str, float | None],
    flags: Mapping[str, str],
    *,
    suffix: str = "Rtd",
    codes: Mapping[str, str] = CODES,
) -> dict[str, dict[str, float | str]]:
    """Channels with their quality letters as factors, in the order of `values`, for `compose.data`.

    Channels that have no code are left out: HJ 212 has no name for them. A value that is None goes as its flag alone.
    `suffix` is `Rtd` for real-time data, `Avg` for statistics, where noise is `Data` instead. `codes` may name other
    codes, such as `LA` for `laeq` where a platform wants that; units are those of the standard's code.

    Raises:
        KeyError: `codes` names a code that is not in FACTORS.
    """
    factors: dict[str, dict[str, float | str]] = {}
    for channel, value in values.items():
        code = codes.get(channel)
        if code is None:
            continue
        unit = FACTORS[code].unit
        item: dict[str, float | str] = {}
        if value is not None:
            name = "Data" if suffix == "Avg" and unit == "dB" else suffix
            item[name] = round(value / UNITS[unit].scales[unit], _DECIMALS)
        item["Flag"] = flags.get(channel, "N")
        factors[code] = item
    return factors
