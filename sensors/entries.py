"""The low-rate entries of the log: devices coming and going, vision episodes, changes of alerts.

Each is msgpack with its own tag, so a payload says what it is; fields added later have defaults, unknown ones are
skipped. Times are int microseconds since the epoch, UTC.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from core.errors import SmartsiteError


class BadEntry(SmartsiteError):
    """A payload of the log is not an entry that this version can read."""

    code = "bad_entry"


class DeviceEntry(msgspec.Struct, frozen=True, kw_only=True, tag="device"):
    """A device connected, disconnected or raised an alarm of its own (log kind DEVICE)."""

    device: int
    site: int
    time: int
    event: Literal["connected", "disconnected", "alarm"]
    detail: str = ""


class EpisodeEntry(msgspec.Struct, frozen=True, kw_only=True, tag="episode"):
    """A vision episode started or ended (log kind EPISODE). `box` is x1, y1, x2, y2 in pixels of the frame."""

    episode: int
    camera: int
    site: int
    kind: str
    phase: Literal["started", "ended"]
    started_at: int
    last_seen_at: int
    ended_at: int | None
    peak_score: float
    zone: str
    frame_sha256: str
    crop_sha256: str
    box: tuple[float, float, float, float]
    model: str


AlertEvent = Literal["raised", "cleared", "acknowledged", "reviewed", "updated"]


class AlertEntry(msgspec.Struct, frozen=True, kw_only=True, tag="alert"):
    """An alert changed (log kind ALERT); the reader reads the row again."""

    alert: int
    site: int
    event: AlertEvent
    at: int


AnyEntry = DeviceEntry | EpisodeEntry | AlertEntry

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(AnyEntry)


def encode(entry: AnyEntry) -> bytes:
    """Bytes of a log entry."""
    return _encoder.encode(entry)


def decode(payload: bytes) -> AnyEntry:
    """The entry in a payload of log kind DEVICE, EPISODE or ALERT.

    Raises:
        BadEntry: not msgpack, an unknown tag or a field of the wrong type.
    """
    try:
        entry: AnyEntry = _decoder.decode(payload)
    except msgspec.MsgspecError as error:
        raise BadEntry(f"log entry cannot be read: {error}") from error
    return entry
