"""Encoded pictures and the RTP packets that carry them: H.264 (RFC 6184) and H.265 (RFC 7798)."""

from __future__ import annotations

import base64
import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

CLOCK_HZ = 90_000  # of video over RTP
PAYLOAD_TYPE = 96

Codec = Literal["h264", "hevc"]

_MTU = 1400
_START_CODE = b"\x00\x00\x01"
_SOURCE = 0x5175
# Kinds of NAL units that begin a picture by which decoding can start, and of the parameter sets.
_KEYS: dict[Codec, range] = {"h264": range(5, 6), "hevc": range(16, 22)}
_SETS: dict[Codec, tuple[int, ...]] = {"h264": (7, 8), "hevc": (32, 33, 34)}


@dataclass(frozen=True, slots=True)
class Framed:
    """One picture as bytes for an RTSP connection (RFC 2326, 10.12): packets, each behind its four bytes of framing.

    `offsets` are where the packets' RTP headers begin: sequence number and time stamp are still to be written.
    """

    data: bytes
    offsets: tuple[int, ...]

    def at(self, sequence: int, stamp: int) -> bytearray:
        """The bytes, ready to be sent; `sequence` is the first packet's."""
        ready = bytearray(self.data)
        for number, offset in enumerate(self.offsets):
            struct.pack_into(">HI", ready, offset + 2, (sequence + number) & 0xFFFF, stamp & 0xFFFFFFFF)
        return ready


@dataclass(frozen=True, slots=True)
class Clip:
    """Encoded pictures, to be shown again and again: each a list of NAL units without start codes."""

    fps: float
    pictures: tuple[tuple[bytes, ...], ...]
    codec: Codec = "h264"
    _framed: dict[int, Framed] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_annex_b(cls, fps: float, pictures: list[bytes], codec: Codec = "h264") -> Clip:
        """From pictures in Annex B form, as encoders give them."""
        return cls(fps, tuple(tuple(_units(picture)) for picture in pictures), codec)

    @property
    def duration_s(self) -> float:
        """Seconds of one showing."""
        return len(self.pictures) / self.fps

    def turned(self, seconds: float) -> Clip:
        """The same round begun elsewhere: at the first key frame at or behind `seconds`."""
        start = self.key_after(round(seconds * self.fps) % len(self.pictures))
        return Clip(self.fps, self.pictures[start:] + self.pictures[:start], self.codec)

    def key_after(self, index: int) -> int:
        """Index of the key frame at or behind a picture; the first one where none is left."""
        return next((number for number in range(index, len(self.pictures)) if self._is_key(number)), 0)

    def key_before(self, index: int) -> int:
        """Index of the key frame at or before a picture."""
        return next(number for number in range(index, -1, -1) if self._is_key(number))

    def framed(self, index: int) -> Framed:
        """The packets of one picture; made once, as serving must cost little."""
        if index not in self._framed:
            self._framed[index] = _frame(self.pictures[index], self.codec)
        return self._framed[index]

    def description(self) -> str:
        """The stream in SDP's words."""
        sets = [base64.b64encode(unit).decode() for unit in self._parameter_sets()]
        if self.codec == "h264":
            name = "H264"
            profile = self._parameter_sets()[0][1:4].hex()
            form = f"packetization-mode=1;profile-level-id={profile};sprop-parameter-sets={','.join(sets)}"
        else:
            name = "H265"
            names = ("sprop-vps", "sprop-sps", "sprop-pps")
            form = ";".join(f"{name}={value}" for name, value in zip(names, sets, strict=True))
        lines = [
            "v=0",
            "o=- 0 0 IN IP4 127.0.0.1",
            "s=camera",
            "t=0 0",
            "a=control:*",
            f"m=video 0 RTP/AVP {PAYLOAD_TYPE}",
            f"a=rtpmap:{PAYLOAD_TYPE} {name}/{CLOCK_HZ}",
            f"a=fmtp:{PAYLOAD_TYPE} {form}",
            f"a=framerate:{self.fps:g}",
            "a=control:track",
        ]
        return "\r\n".join(lines) + "\r\n"

    def _parameter_sets(self) -> list[bytes]:
        """The first of each kind."""
        units = {self._kind(unit): unit for unit in reversed(list(itertools.chain.from_iterable(self.pictures)))}
        return [units[kind] for kind in _SETS[self.codec]]

    def _is_key(self, index: int) -> bool:
        return any(self._kind(unit) in _KEYS[self.codec] for unit in self.pictures[index])

    def _kind(self, unit: bytes) -> int:
        return unit[0] & 31 if self.codec == "h264" else unit[0] >> 1 & 63


def framed_noise(like: Framed, noise: bytes) -> Framed:
    """Packets of the same sizes with `noise`, as long as their data, in place of what they carry."""
    ready = bytearray(noise)
    for offset in like.offsets:
        ready[offset - 4 : offset + 12] = like.data[offset - 4 : offset + 12]
    return Framed(bytes(ready), like.offsets)


def _frame(units: tuple[bytes, ...], codec: Codec) -> Framed:
    payloads = [payload for unit in units for payload in _fragments(unit, codec)]
    data, offsets = bytearray(), []
    for number, payload in enumerate(payloads, 1):
        marker = 0x80 if number == len(payloads) else 0
        data += struct.pack(">cBH", b"$", 0, 12 + len(payload))
        offsets.append(len(data))
        data += struct.pack(">BBHII", 0x80, marker | PAYLOAD_TYPE, 0, 0, _SOURCE) + payload
    return Framed(bytes(data), tuple(offsets))


def _units(picture: bytes) -> Iterator[bytes]:
    """NAL units of a picture in Annex B form."""
    for part in picture.split(_START_CODE):
        # A start code of four bytes leaves its first zero at the end of the unit before.
        unit = part.rstrip(b"\x00")
        if unit:
            yield unit


def _fragments(unit: bytes, codec: Codec) -> Iterator[bytes]:
    """RTP payloads of a NAL unit: itself, or fragments (FU-A of RFC 6184, 5.8; FU of RFC 7798, 4.4.3)."""
    if len(unit) <= _MTU:
        yield unit
        return
    if codec == "h264":
        header, kind, body = bytes(((unit[0] & 0xE0) | 28,)), unit[0] & 0x1F, unit[1:]
    else:
        header, kind, body = bytes(((unit[0] & 0x81) | 49 << 1, unit[1])), unit[0] >> 1 & 63, unit[2:]
    size = _MTU - len(header) - 1
    for start in range(0, len(body), size):
        first, last = start == 0, start + size >= len(body)
        yield header + bytes(((first << 7) | (last << 6) | kind,)) + body[start : start + size]
