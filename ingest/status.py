"""What devices say beside telemetry: whether they are on line, alarms of their own, replies to commands."""

from __future__ import annotations

import msgspec

from sensors.codec_json import BAD_TIME, MALFORMED, WRONG_TYPE, Reject
from sensors.commands import Reply, decode_reply
from sensors.entries import DeviceEntry
from sensors.registry import Device

_LATEST_MS = 253_402_300_799_999  # the last millisecond of the year 9999
_WORDS = {b"online": True, b"offline": False}
_DETAIL = 1000


class _Status(msgspec.Struct):
    online: bool


class _Event(msgspec.Struct):
    code: str
    ts: int | None = None
    text: str = ""


_status = msgspec.json.Decoder(_Status)
_event = msgspec.json.Decoder(_Event)


def online(payload: bytes) -> bool | Reject:
    """What a status message says: `{"online": true}`, or the bare words that many firmwares use as their last will."""
    word = _WORDS.get(payload.strip().lower())
    if word is not None:
        return word
    try:
        return _status.decode(payload).online
    except msgspec.MsgspecError as error:
        return _reject(error)
    except (UnicodeDecodeError, RecursionError) as error:
        return Reject(MALFORMED, str(error))


def alarm_entry(device: Device, payload: bytes, arrived: int) -> DeviceEntry | Reject:
    """The log entry of a device's own alarm: `{"code": "...", "ts": <ms>, "text": "..."}`, ts and text optional."""
    try:
        event = _event.decode(payload)
    except msgspec.MsgspecError as error:
        return _reject(error)
    except (UnicodeDecodeError, RecursionError) as error:
        return Reject(MALFORMED, str(error))
    if event.ts is not None and not 0 <= event.ts <= _LATEST_MS:
        return Reject(BAD_TIME, "ts is not milliseconds since 1970, UTC")
    time = arrived if event.ts is None else (event.ts + device.clock_offset_ms) * 1000
    detail = f"{event.code}: {event.text}" if event.text else event.code
    return DeviceEntry(device=device.id, site=device.site_id, time=time, event="alarm", detail=detail[:_DETAIL])


def reply_of(payload: bytes) -> Reply | Reject:
    """The reply to a command: `{"id": 7, "ok": true, "detail": "..."}`, detail optional."""
    try:
        return decode_reply(payload)
    except msgspec.MsgspecError as error:
        return _reject(error)
    except (UnicodeDecodeError, RecursionError) as error:
        return Reject(MALFORMED, str(error))


def _reject(error: msgspec.MsgspecError) -> Reject:
    return Reject(WRONG_TYPE if isinstance(error, msgspec.ValidationError) else MALFORMED, str(error))
