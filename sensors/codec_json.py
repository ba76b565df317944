"""Telemetry as JSON: `{"ts": <ms>, "seq": <number>, "values": {...}, "flags": {...}}`, or an array for back-fill.

One object is one row. A channel with a wrong type, flag or symbol, or with NaN (which is no JSON, but is sent), is
rejected with a reason and left out; the channels beside it are taken, and the other objects of an array too. The bytes
can be set aside and replayed once the profile is mended: the row's empty channel is filled then.
Unknown keys of the object are skipped; unknown metrics are kept apart for the table of unknown metrics.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NamedTuple

import msgspec

from sensors.batch import NORMAL, OVER_RANGE, QUALITY_LETTERS
from sensors.profiles import Channel, Profile

_QUALITY = {letter: ord(letter) for letter in QUALITY_LETTERS}
_NAN = float("nan")
_LATEST_MS = 253_402_300_799_999  # the last millisecond of the year 9999, the last that a datetime can hold
_EXACT_INTEGER = 2.0**53  # whole numbers up to here survive as float64
# The largest number that a column of measurements takes; channels of the other types hold whole numbers.
_LARGEST = {"real": 3.4028234e38, "double": 1.7976931348623157e308}
_METRIC_LENGTH = 64
_UNKNOWN_METRICS = 64
_LARGEST_NUMBER = 2**53  # of `seq`: what every JSON library keeps whole
_MESSAGES = 10_000
# The word first and then what is before it: few bytes of a payload can begin one, while each of thousands of `[` could
# come before one, which takes four times as long.
_NOT_FINITE = re.compile(
    b"|".join(
        rb"%b\b(?:(?<=[\[:,\s]%b)|(?<=[\[:,\s]-%b))" % (word, word, word)
        for word in (b"NaN", b"nan", b"Infinity", b"Inf", b"inf")
    )
)

# Reasons of rejects; stable, they stand in the quarantine table.
MALFORMED = "malformed"  # not JSON, or not UTF-8
WRONG_TYPE = "wrong_type"  # JSON of another shape
NOT_FINITE = "not_finite"  # NaN, infinity, or a number too large for its column
BAD_TIME = "bad_time"  # ts is no moment between 1970 and 9999
BAD_FLAG = "bad_flag"  # a flag that is no HJ 212 letter
BAD_SYMBOL = "bad_symbol"  # text for a number, or no symbol of the enumeration
BAD_METRIC = "bad_metric"  # a metric name that cannot be stored, or too many unknown ones
BAD_SEQUENCE = "bad_sequence"  # seq is no whole number from 0 to 2^53
EMPTY = "empty"  # nothing in it
TOO_MANY = "too_many"  # more objects in one array than one message may carry


class Message(msgspec.Struct, frozen=True, gc=False):
    """One decoded object.

    `time` is microseconds since the epoch, None where the object has no ts. `values` and `quality` follow the order of
    the profile's channels: NaN and 0 where a channel is absent. bigint and enum values are whole numbers in a float.
    """

    time: int | None
    values: list[float]
    quality: bytearray
    unknown: dict[str, float]
    sequence: int | None = None
    """The device's running number, where it gave one."""


class Reject(NamedTuple):
    """Why one object, or the whole payload, was not taken."""

    reason: str
    detail: str


class Decoded(NamedTuple):
    """What a payload held. `back_fill` is True for an array."""

    messages: list[Message]
    rejects: list[Reject]
    back_fill: bool


class _Telemetry(msgspec.Struct, gc=False):
    values: dict[str, float | str | None]
    ts: int | None = None
    seq: int | None = None
    flags: dict[str, str] = {}


class _Refused(Exception):
    """Carries a reject out of the depth of one object."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reject = Reject(reason, detail)


_object = msgspec.json.Decoder(_Telemetry)
_array = msgspec.json.Decoder(list[msgspec.Raw])


class TelemetryDecoder:
    """Decodes telemetry of devices of one kind; make one per profile and keep it."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._width = len(profile.channels)
        self._channels = {
            channel.name: (place, *_range(channel), _LARGEST.get(channel.type), _symbols(channel))
            for place, channel in enumerate(profile.channels)
        }
        self._no_values = [_NAN] * self._width

    def decode(self, payload: bytes) -> Decoded:
        """Decode one MQTT payload; bad input is a reject, never an exception."""
        if payload.lstrip(b" \t\r\n")[:1] == b"[":
            return self._back_fill(payload)
        try:
            return Decoded([self._message(_object.decode(payload))], [], back_fill=False)
        except _FAULTS as error:
            messages, rejects = self._salvage(_parse(payload, error), _reject(payload, error))
            return Decoded(messages, rejects, back_fill=False)

    def _back_fill(self, payload: bytes) -> Decoded:
        parts: list[Any]
        try:
            parts = _array.decode(payload)
        except _FAULTS as error:
            tree = _parse(payload, error)
            if not isinstance(tree, list):
                return Decoded([], [_reject(payload, error)], back_fill=False)
            parts = tree
        if len(parts) > _MESSAGES:
            return Decoded([], [Reject(TOO_MANY, f"{len(parts)} objects, at most {_MESSAGES}")], back_fill=True)
        messages: list[Message] = []
        rejects: list[Reject] = []
        for place, part in enumerate(parts):
            raw = isinstance(part, msgspec.Raw)
            try:
                messages.append(self._message(_object.decode(part) if raw else msgspec.convert(part, _Telemetry)))
            except _FAULTS as error:
                reject = _reject(bytes(part) if raw else b"", error)
                saved, faults = self._salvage(_parse(bytes(part), error) if raw else part, reject)
                messages += saved
                rejects += [Reject(fault.reason, f"object {place}: {fault.detail}") for fault in faults]
        if not parts:
            rejects.append(Reject(EMPTY, "an array without objects"))
        return Decoded(messages, rejects, back_fill=True)

    def _salvage(self, tree: Any, fault: Reject) -> tuple[list[Message], list[Reject]]:
        """An object that was refused as a whole: its good channels, and a reject for each of the bad ones.

        Each channel is tried alone, with all the checks there are; `fault` is given back where nothing is good.
        """
        values = tree.get("values") if isinstance(tree, dict) else None
        if not isinstance(values, dict):
            return [], [fault]
        flags = tree.get("flags") or {}
        good: dict[str, Any] = {}
        rejects: list[Reject] = []
        for name, value in values.items():
            flag = {name: flags[name]} if isinstance(flags, dict) and name in flags else {}
            alone = {"ts": tree.get("ts"), "values": {name: value}, "flags": flag}
            try:
                self._message(msgspec.convert(alone, _Telemetry))
            except _FAULTS as error:
                reject = _reject(b"", error)
                if reject.reason == EMPTY:
                    continue
                named = name in reject.detail
                rejects.append(
                    reject if named else Reject(reject.reason, f"{name[:_METRIC_LENGTH]!r}: {reject.detail}")
                )
            else:
                good[name] = value
        if not good:
            return [], [fault]
        sequence = tree.get("seq")
        if sequence is not None and (type(sequence) is not int or not 0 <= sequence <= _LARGEST_NUMBER):
            rejects.append(Reject(BAD_SEQUENCE, f"seq: a whole number from 0 to {_LARGEST_NUMBER}"))
            sequence = None
        kept = {name: flags[name] for name in good if name in flags} if isinstance(flags, dict) else {}
        try:
            # Converted, not constructed: it makes floats of whole numbers, as decoding does.
            whole = {"ts": tree.get("ts"), "seq": sequence, "values": good, "flags": kept}
            together = msgspec.convert(whole, _Telemetry)
            return [self._message(together)], rejects or [fault]
        except _FAULTS as error:
            return [], [_reject(b"", error)]

    def _message(self, telemetry: _Telemetry) -> Message:
        ts = telemetry.ts
        if ts is not None and not 0 <= ts <= _LATEST_MS:
            raise _Refused(BAD_TIME, "ts is not milliseconds since 1970, UTC")
        values = self._no_values.copy()
        quality = bytearray(self._width)
        unknown: dict[str, float] = {}
        channels = self._channels
        for name, value in telemetry.values.items():
            if value is None:
                continue
            entry = channels.get(name)
            if entry is None:
                _keep_unknown(unknown, name, value)
                continue
            place, low, high, largest, symbols = entry
            if isinstance(value, str):
                number = symbols.get(value, _NAN)
                if number != number:
                    raise _Refused(BAD_SYMBOL, f"{name}: {value[:40]!r}")
            else:
                number = value
                if largest is None:
                    _check_whole(name, number, symbols)
                elif not -largest <= number <= largest:  # NaN too
                    raise _Refused(NOT_FINITE, f"{name}: {number}")
            values[place] = number
            quality[place] = NORMAL if low <= number <= high else OVER_RANGE
        if telemetry.flags:
            self._apply_flags(telemetry.flags, quality)
        if not unknown and not any(quality):
            raise _Refused(EMPTY, "no values")
        sequence = telemetry.seq
        if sequence is not None and not 0 <= sequence <= _LARGEST_NUMBER:
            raise _Refused(BAD_SEQUENCE, f"seq: a whole number from 0 to {_LARGEST_NUMBER}")
        return Message(None if ts is None else ts * 1000, values, quality, unknown, sequence)

    def _apply_flags(self, flags: dict[str, str], quality: bytearray) -> None:
        """A flag other than N overrides what the range says; it stands alone where the device sent no value."""
        for name, letter in flags.items():
            code = _QUALITY.get(letter)
            if code is None:
                raise _Refused(BAD_FLAG, f"{name[:_METRIC_LENGTH]!r}: {letter[:10]!r}, use one of {QUALITY_LETTERS}")
            entry = self._channels.get(name)
            if entry is not None and code != NORMAL:
                quality[entry[0]] = code


def _range(channel: Channel) -> tuple[float, float]:
    low = -float("inf") if channel.minimum is None else channel.minimum
    high = float("inf") if channel.maximum is None else channel.maximum
    return low, high


def _symbols(channel: Channel) -> dict[str, float]:
    return {symbol.name: float(place) for place, symbol in enumerate(channel.symbols)}


def _check_whole(name: str, number: float, symbols: dict[str, float]) -> None:
    """bigint: a whole number that a float64 holds exactly; enum: the number of one of its symbols."""
    if not math.isfinite(number):
        raise _Refused(NOT_FINITE, f"{name}: {number}")
    if not number.is_integer() or not -_EXACT_INTEGER <= number <= _EXACT_INTEGER:
        raise _Refused(WRONG_TYPE, f"{name}: {number} is not a whole number")
    if symbols and not 0 <= number < len(symbols):
        raise _Refused(BAD_SYMBOL, f"{name}: {number:.0f}, there are symbols 0 to {len(symbols) - 1}")


def _keep_unknown(unknown: dict[str, float], name: str, value: float | str) -> None:
    if isinstance(value, str):
        raise _Refused(
            BAD_SYMBOL, f"{name[:_METRIC_LENGTH]!r}: {value[:40]!r} is text, and no profile knows the metric"
        )
    if not name or len(name) > _METRIC_LENGTH or not name.isprintable():
        raise _Refused(BAD_METRIC, f"{name[:_METRIC_LENGTH]!r}: 1 to {_METRIC_LENGTH} printable characters")
    if not math.isfinite(value):
        raise _Refused(NOT_FINITE, f"{name!r}: {value}")
    if len(unknown) == _UNKNOWN_METRICS:
        raise _Refused(BAD_METRIC, f"more than {_UNKNOWN_METRICS} unknown metrics")
    unknown[name] = value


_FAULTS = (_Refused, msgspec.DecodeError, ValueError, RecursionError)


def _parse(payload: bytes, error: Exception) -> Any:
    """A payload that was refused for `error` as a tree, read by a parser that takes NaN and infinity.

    None where it is no JSON even so; what is nested too deep for the first parser is so for this one.
    """
    if isinstance(error, RecursionError):
        return None
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return None


def _reject(payload: bytes, error: Exception) -> Reject:
    """The reason behind a fault; NaN and infinity are told apart from other malformed JSON."""
    if isinstance(error, _Refused):
        return error.reject
    if isinstance(error, msgspec.ValidationError):
        reason = NOT_FINITE if "out of range" in str(error) else WRONG_TYPE
        return Reject(reason, str(error))
    if _NOT_FINITE.search(payload[:65_536]):
        return Reject(NOT_FINITE, "NaN and infinity are not JSON")
    return Reject(MALFORMED, str(error))
