"""The newest seconds of a stream as it came, encoded, from which clips are cut without encoding anything again."""

from __future__ import annotations

import io
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.error

from vision.timeline import Timeline

_CODECS = {"h264": "avc1", "hevc": "hvc1"}  # with the tags under which browsers know them
_SECOND = 1_000_000
USUAL_BASE = Fraction(1, 90_000)  # ticks of video over RTP, in seconds


@dataclass(frozen=True, slots=True)
class Cutting:
    """A clip as MP4, and the time of its first and last picture, microseconds since the epoch."""

    mp4: bytes
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Kept:
    """An encoded packet: when it arrived, microseconds since the epoch, and its times by the stream's own clock."""

    time: int
    data: bytes
    pts: int
    dts: int
    is_key: bool


class PacketRing:
    """Keeps whole groups of pictures, each from a key frame on, so that what is cut can be played from its start.

    Bounded by time and by bytes: a group that alone is larger than `most_bytes` is not kept. Streams that are neither
    H.264 nor H.265 are not kept at all.
    """

    def __init__(self, *, keep_s: float, most_bytes: int) -> None:
        """At least the last `keep_s` seconds are kept while they fit into `most_bytes`; 0 bytes turns it off."""
        self._keep = round(keep_s * _SECOND)
        self._most_bytes = most_bytes
        self._packets: deque[Kept] = deque()
        self._keys: deque[int] = deque()  # times of the key frames among them
        self._stream: Any = None
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._packets)

    @property
    def first(self) -> int | None:
        """Time of the oldest packet; None while there is none."""
        return self._packets[0].time if self._packets else None

    def begin(self, stream: av.VideoStream) -> None:
        """Take packets of this stream from now on. It must stay open for as long as clips are cut from it."""
        self.clear()
        self._stream = stream if self._most_bytes and stream.codec_context.name in _CODECS else None

    def end(self) -> None:
        """The stream is about to close."""
        self.clear()
        self._stream = None

    def clear(self) -> None:
        """Forget everything."""
        self._packets.clear()
        self._keys.clear()
        self.bytes = 0

    def add(self, packet: av.Packet[Any], time: int, *, needed_from: int | None = None) -> None:
        """Keep a packet that arrived at `time` (microseconds since the epoch).

        What is younger than `needed_from` stays beyond `keep_s`, though not beyond the bytes.
        """
        if self._stream is None or packet.size == 0:
            return
        before = self._packets[-1].dts if self._packets else 0
        # The first packet of a connection may come without any: it is the key frame that all others need.
        dts = next(stamp for stamp in (packet.dts, packet.pts, before) if stamp is not None)
        pts = packet.pts if packet.pts is not None else dts
        if packet.is_keyframe:
            self._keys.append(time)
        elif not self._packets:
            return  # nothing can be shown before a key frame
        self._packets.append(Kept(time, bytes(packet), pts, dts, packet.is_keyframe))
        self.bytes += packet.size
        oldest = time - self._keep
        if needed_from is not None:
            oldest = min(oldest, needed_from)
        # The second group must reach back far enough before the first may go.
        while len(self._keys) > 1 and (self._keys[1] <= oldest or self.bytes > self._most_bytes):
            self._drop_group()
        if self.bytes > self._most_bytes:
            self.clear()

    @property
    def newest_group(self) -> list[Kept]:
        """Everything from the newest key frame on; empty while there is none."""
        group: list[Kept] = []
        for packet in reversed(self._packets):
            group.append(packet)
            if packet.is_key:
                break
        return group[::-1]

    def _drop_group(self) -> None:
        self._keys.popleft()
        self.bytes -= len(self._packets.popleft().data)
        while self._packets and not self._packets[0].is_key:
            self.bytes -= len(self._packets.popleft().data)

    def cut(self, since: int, until: int) -> Cutting | None:
        """What arrived from the last key frame before `since` to `until`; None where there is nothing of it."""
        starts = [time for time in self._keys if time <= since]
        begin = starts[-1] if starts else (self._keys[0] if self._keys else 0)
        chosen = [packet for packet in self._packets if begin <= packet.time <= until]
        # Packets of one burst may carry the same time: the first must be the key frame.
        while chosen and not chosen[0].is_key:
            chosen.pop(0)
        if not chosen or self._stream is None:
            return None
        return Cutting(_mp4(self._stream, chosen), chosen[0].time, chosen[-1].time)


def _mp4(stream: av.VideoStream, packets: list[Kept]) -> bytes:
    """The packets in an MP4 whose time begins at 0; a jump of the stream's clock becomes one ordinary step."""
    base = stream.time_base or USUAL_BASE
    timeline = Timeline(base)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        track = container.add_stream_from_template(stream, opaque=True)
        track.codec_context.codec_tag = _CODECS[stream.codec_context.name]
        for kept in packets:
            packet: av.Packet[Any] = av.Packet(kept.data)
            packet.stream, packet.time_base = track, base
            packet.dts, packet.pts = timeline.place(kept.dts, kept.pts)
            packet.is_keyframe = kept.is_key
            container.mux(packet)
    return buffer.getvalue()
