"""Data packets as readings of a kind's channels and as statistics: canonical names, units and UTC.

Real-time data (2011) are readings. Minute, hour and day data (2051, 2061, 2031) are what the device computed by its own
rules over readings that we have or have not: they are kept beside the readings, never mixed with them. Only a station
that sends no usable real-time data has its minute or hour means taken as readings (`Policy.live`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from core.clock import micros
from sensors.batch import NORMAL, OVER_RANGE, QUALITY_LETTERS
from sensors.codec_json import BAD_METRIC, Decoded, Message, Reject
from sensors.hj212.factors import FACTORS, Factor, scale_of
from sensors.hj212.faults import BAD_FLAG, BAD_TIME, BAD_VALUE, EMPTY, TOO_MANY, UNSUPPORTED, Refused
from sensors.hj212.packet import Packet, attributes
from sensors.hj212.policy import Policy
from sensors.profiles import Profile

REAL_TIME = "2011"
PERIODS: Mapping[str, str] = {"2051": "minute", "2061": "hour", "2031": "day"}
"""Command of statistics -> the period that they are of; DataTime is its start."""

_NAN = float("nan")
_LARGEST = 3.4028234e38  # what a `real` column holds
_DIGITS = re.compile(r"[0-9]{14}([0-9]{3})?")
_NUMBER = re.compile(r"[+-]?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][+-]?[0-9]{1,3})?")
_CODE = re.compile(r"[A-Za-z0-9_]{1,40}")
_METRICS = 200
_LETTERS = frozenset(QUALITY_LETTERS)
# Where the value stands, the first of these that is there; vendors write Data for Rtd and the reverse.
_LIVE_SUFFIXES = {REAL_TIME: ("rtd", "data", "avg"), "2051": ("avg", "data"), "2061": ("avg", "data")}
_MEANS = (("", ("avg", "data")), ("_day", ("daydata",)), ("_night", ("nightdata",)))
_VALUES = frozenset({"rtd", "avg", "min", "max", "cou", "data", "daydata", "nightdata"})
# A decimal factor such as 0.001 leaves digits behind that no instrument measured.
_DECIMALS = 9


class Statistic(NamedTuple):
    """What a device computed over one period; canonical units, NaN = not sent. `total` is -Cou (for gases a mass).

    `time` is the start of the period, microseconds UTC; `quality` a letter of HJ 212.
    """

    period: str
    metric: str
    time: int
    mean: float
    minimum: float
    maximum: float
    total: float
    quality: str


class Taken(NamedTuple):
    """What one packet held: readings (with rejects for the parts that were not taken) and statistics."""

    time: int
    readings: Decoded
    statistics: list[Statistic]


class PacketDecoder:
    """Decodes data packets of one device; made once a device and policy."""

    def __init__(self, profile: Profile, policy: Policy) -> None:
        self._policy = policy
        self._zone = policy.zone
        self._width = len(profile.channels)
        self._channels = {
            channel.name: (
                place,
                -_LARGEST if channel.minimum is None else channel.minimum,
                _LARGEST if channel.maximum is None else channel.maximum,
            )
            for place, channel in enumerate(profile.channels)
            if channel.type in ("real", "double")
        }

    def decode(self, packet: Packet, time: int | None = None) -> Taken:
        """Decode a packet of 2011, 2051, 2061 or 2031; `time` stands in where a later part of one has no DataTime.

        Raises:
            Refused: nothing of it can be taken.
        """
        found = attributes(packet.content)
        text = found.pop("DataTime", {}).get("")
        if text is not None or time is None:
            time = self._time(text)
        back_fill = found.pop("RF", {}).get("") == "1"
        rejects: list[Reject] = []
        if len(found) > _METRICS:
            raise Refused(TOO_MANY, f"{len(found)} factors in one packet, at most {_METRICS}")
        sane = {code: values for code, values in found.items() if self._is_sane(code, values, rejects)}
        messages: list[Message] = []
        if packet.cn == self._policy.live:
            message = self._reading(sane, _LIVE_SUFFIXES[packet.cn], time, rejects)
            if message is not None:
                messages.append(message)
        elif packet.cn not in PERIODS:
            raise Refused(UNSUPPORTED, f"CN={packet.cn}, but the device's readings are those of {self._policy.live}")
        statistics: list[Statistic] = []
        if packet.cn in PERIODS:
            statistics = self._statistics(sane, PERIODS[packet.cn], time, rejects)
        if not messages and not statistics and not rejects:
            rejects.append(Reject(EMPTY, "no values"))
        return Taken(time, Decoded(messages, list(dict.fromkeys(rejects)), back_fill), statistics)

    def _time(self, text: str | None) -> int:
        if text is None:
            raise Refused(BAD_TIME, "no DataTime")
        if not _DIGITS.fullmatch(text):
            raise Refused(BAD_TIME, f"DataTime={text[:40]!r} is not YYYYMMDDhhmmss")
        try:
            moment = datetime.strptime(text[:14], "%Y%m%d%H%M%S").replace(tzinfo=self._zone)
        except ValueError:
            raise Refused(BAD_TIME, f"DataTime={text} is in no calendar") from None
        if not 1970 < moment.year < 9999:
            raise Refused(BAD_TIME, f"DataTime={text}")
        return micros(moment)

    def _is_sane(self, code: str, values: Mapping[str, str], rejects: list[Reject]) -> bool:
        """Whether a factor can be looked at: a code that can be stored, a flag that exists, a suffix that is known."""
        if not _CODE.fullmatch(code):
            rejects.append(Reject(BAD_METRIC, f"{code[:40]!r} is no factor code"))
            return False
        flag = values.get("flag", "")
        if flag and flag.upper() not in _LETTERS:
            rejects.append(Reject(BAD_FLAG, f"{code}-Flag={flag[:10]!r}, use one of {QUALITY_LETTERS}"))
            return False
        if self._factor(code) is not None and not flag and not _VALUES & values.keys():
            rejects.append(Reject(BAD_VALUE, f"{code}: no value among {', '.join(values)[:100]!r}"))
            return False
        return True

    def _factor(self, code: str) -> Factor | None:
        own = self._policy.factors.get(code)
        standard = FACTORS.get(code)
        if own is not None:
            return Factor(own, "" if standard is None else standard.unit)
        return standard

    def _scale(self, code: str, factor: Factor | None) -> float:
        unit = self._policy.units.get(code) or (factor.unit if factor is not None else "")
        return scale_of(unit) if unit else 1.0

    def _number(self, code: str, suffix: str, text: str, scale: float, rejects: list[Reject]) -> float:
        """A value in its canonical unit, NaN where it is empty or was rejected."""
        if not text:
            return _NAN
        if _NUMBER.fullmatch(text):
            value = round(float(text) * scale, _DECIMALS) if scale != 1.0 else float(text)
            if -_LARGEST <= value <= _LARGEST:
                return value
        rejects.append(Reject(BAD_VALUE, f"{code}-{suffix}={text[:40]!r}"))
        return _NAN

    def _reading(
        self, found: Mapping[str, Mapping[str, str]], suffixes: tuple[str, ...], time: int, rejects: list[Reject]
    ) -> Message | None:
        values = [_NAN] * self._width
        quality = bytearray(self._width)
        unknown: dict[str, float] = {}
        for code, sent in self._ranked(found):
            factor = self._factor(code)
            suffix = next((name for name in suffixes if name in sent), "")
            value = self._number(code, suffix, sent.get(suffix, ""), self._scale(code, factor), rejects)
            letter = sent.get("flag", "").upper() or "N"
            entry = self._channels.get(factor.channel) if factor is not None else None
            if entry is not None and not quality[entry[0]]:
                place, low, high = entry
                if letter != "N":
                    values[place], quality[place] = value, ord(letter)
                elif value == value:
                    values[place], quality[place] = value, NORMAL if low <= value <= high else OVER_RANGE
            elif value == value:
                # A second code of a channel that has its value keeps its own name.
                unknown[code if factor is None or entry is not None else factor.channel] = value
        if not unknown and not any(quality):
            return None
        return Message(time, values, quality, unknown)

    def _statistics(
        self, found: Mapping[str, Mapping[str, str]], period: str, time: int, rejects: list[Reject]
    ) -> list[Statistic]:
        made: dict[str, Statistic] = {}
        for code, sent in self._ranked(found):
            factor = self._factor(code)
            scale = self._scale(code, factor)
            numbers = {
                suffix: self._number(code, suffix, text, scale, rejects)
                for suffix, text in sent.items()
                if suffix in _VALUES
            }
            name = code if factor is None or factor.channel in made else factor.channel
            letter = sent.get("flag", "").upper() or "N"
            low, high, total = (numbers.get(suffix, _NAN) for suffix in ("min", "max", "cou"))
            for ending, suffixes in _MEANS:
                mean = next((numbers[suffix] for suffix in suffixes if suffix in numbers), _NAN)
                if any(value == value for value in (mean, low, high, total)):
                    made[name + ending] = Statistic(period, name + ending, time, mean, low, high, total, letter)
                low = high = total = _NAN  # those are of the whole period
        return list(made.values())

    def _ranked(self, found: Mapping[str, Mapping[str, str]]) -> list[tuple[str, Mapping[str, str]]]:
        """The factors in the order in which they may take their channel."""
        return sorted(found.items(), key=lambda item: 0 if (factor := self._factor(item[0])) is None else factor.rank)
