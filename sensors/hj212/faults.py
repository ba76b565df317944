"""Why a frame, or a part of it, is not taken. The reasons are stable: they stand in the quarantine table."""

from __future__ import annotations

from sensors.codec_json import BAD_FLAG, BAD_TIME, EMPTY, MALFORMED, TOO_MANY, Reject

__all__ = ["BAD_CIPHER", "BAD_CRC", "BAD_FLAG", "BAD_LENGTH", "BAD_OPTIONS", "BAD_ST", "BAD_TIME", "BAD_VALUE"]
__all__ += ["EMPTY", "MALFORMED", "OVERLONG", "TOO_MANY", "UNSUPPORTED", "Refused"]

BAD_CRC = "bad_crc"  # the checksum is not that of the data
BAD_LENGTH = "bad_length"  # LEN is not the data's length, and the device's policy is strict
BAD_ST = "bad_st"  # a system type that the device's policy does not name
BAD_VALUE = "bad_value"  # a factor's value is no number that can be stored
BAD_CIPHER = "bad_cipher"  # an encrypted section without a key, or one that the key does not open
BAD_OPTIONS = "bad_options"  # the device's HJ 212 options in the registry cannot be read
OVERLONG = "overlong"  # more bytes without an end than a frame may have
UNSUPPORTED = "unsupported"  # a command that this platform does nothing with


class Refused(Exception):
    """A frame is not taken; `reject` says why."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reject = Reject(reason, detail)
