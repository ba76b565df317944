"""The encoded video as fragmented MP4 while somebody watches: put into other boxes, never encoded again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Protocol

import av
import av.error

from vision import wire
from vision.ring import USUAL_BASE, Kept, PacketRing
from vision.timeline import Timeline

# Short enough to be seen at once, long enough that a message's own cost does not matter.
_FRAGMENT_S = 0.2
_FLAGS = "empty_moov+default_base_moof+frag_keyframe+skip_trailer"
_START = b"\x00\x00\x01"
_SPS, _PPS, _SLICES = 7, 8, range(1, 6)  # kinds of NAL units (ITU-T H.264, table 7-1)
_LONGEST_HEAD = 4096  # bytes of a key frame in which parameter sets are looked for


class SegmentOutlet(Protocol):
    """Where segments go."""

    def segment(self, segment: wire.Segment, mp4: bytes) -> None:
        """Hand over one."""
        ...


class Fragments:
    """Makes segments of one camera's stream. `want` may be called from any thread, all else from the reading one."""

    def __init__(self, ring: PacketRing, outlet: SegmentOutlet) -> None:
        """`ring` must have taken a packet before `take` does: what it holds lets a viewer begin at once."""
        self._ring = ring
        self._outlet = outlet
        self._wanted = False
        self._stream: Any = None
        self._muxer: _Muxer | None = None
        self._refused = False

    def want(self, on: bool) -> None:
        """Begin with the newest key frame, or end."""
        self._wanted = on

    @contextlib.contextmanager
    def of(self, stream: av.VideoStream) -> Iterator[None]:
        """Take packets of this stream; it must stay open within the block."""
        self._stream = stream
        try:
            yield
        finally:
            self._muxer, self._refused, self._stream = None, False, None

    def take(self, packet: av.Packet[Any], time: int) -> None:
        """The next packet of the stream, arrived at `time` (microseconds since the epoch)."""
        if not self._wanted:
            self._muxer, self._refused = None, False
            return
        if self._stream.codec_context.name != "h264":
            if not self._refused:
                self._refused = True
                self._outlet.segment(wire.Segment(kind="none", codec=self._stream.codec_context.name), b"")
            return
        if packet.size == 0:
            return
        if self._muxer is None:
            begin = self._ring.newest_group or ([_kept(packet, time)] if packet.is_keyframe else [])
        else:
            begin = [_kept(packet, time)]
        for kept in begin:
            self._add(kept)

    def _add(self, kept: Kept) -> None:
        sets = _parameter_sets(kept.data) if kept.is_key else b""
        try:
            if self._muxer is None or (sets and sets != self._muxer.sets):
                # A camera whose encoder was set anew begins a new MP4.
                self._muxer = _Muxer(self._stream, sets)
                self._outlet.segment(self._muxer.beginning, self._muxer.init)
            for segment, data in self._muxer.add(kept):
                self._outlet.segment(segment, data)
        except (av.error.FFmpegError, ValueError):
            self._muxer = None  # what fits into no MP4 is left out; the next key frame is tried again


class _Sink:
    """A file that FFmpeg writes to and that is emptied after each packet."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        self._written += data
        return len(data)

    def drain(self) -> bytes:
        data = bytes(self._written)
        self._written.clear()
        return data


class _Muxer:
    """One MP4 from its beginning on."""

    def __init__(self, stream: av.VideoStream, sets: bytes) -> None:
        """`sets` are the parameter sets in force; empty: those that the stream was described with."""
        self.sets = sets
        self._base: Fraction = stream.time_base or USUAL_BASE
        self._timeline = Timeline(self._base)
        self._sink = _Sink()
        options = {"movflags": _FLAGS, "frag_duration": str(round(_FRAGMENT_S * 1e6)), "flush_packets": "1"}
        self._container = av.open(self._sink, "w", format="mp4", options=options)
        self._track = self._container.add_stream_from_template(stream, opaque=True)
        context = self._track.codec_context
        context.codec_tag = "avc1"
        if sets:
            context.extradata = sets
        self._container.start_encoding()
        self.init = self._sink.drain()
        self.beginning = wire.Segment(
            kind="init", codec=_codec(context.extradata or b""), width=context.width, height=context.height
        )
        self._first: tuple[Kept, int] | None = None

    def add(self, kept: Kept) -> Iterator[tuple[wire.Segment, bytes]]:
        """Put a packet in; gives the fragment that it completes, if it does."""
        packet: av.Packet[Any] = av.Packet(kept.data)
        packet.stream, packet.time_base = self._track, self._base
        packet.dts, packet.pts = self._timeline.place(kept.dts, kept.pts)
        packet.is_keyframe = kept.is_key
        shown = packet.pts
        self._container.mux(packet)
        # FFmpeg completes a fragment when the first packet of the next one comes.
        data = self._sink.drain()
        if data and self._first is not None:
            first, at = self._first
            self._first = None
            yield (
                wire.Segment(kind="fragment", key=first.is_key, time=first.time, at=round(float(at * self._base), 4)),
                data,
            )
        if self._first is None:
            self._first = kept, shown


def _kept(packet: av.Packet[Any], time: int) -> Kept:
    dts = next((stamp for stamp in (packet.dts, packet.pts) if stamp is not None), 0)
    pts = packet.pts if packet.pts is not None else dts
    return Kept(time, bytes(packet), pts, dts, packet.is_keyframe)


def _parameter_sets(data: bytes) -> bytes:
    """SPS and PPS of a key frame in Annex B form; empty where it carries none, or lengths in place of start codes."""
    if not data.startswith((_START, b"\x00" + _START)):
        return b""
    found = b""
    place = data.find(_START, 0, _LONGEST_HEAD)
    while 0 <= place < len(data) - 3:
        kind = data[place + 3] & 31
        if kind in _SLICES:
            break
        end = data.find(_START, place + 3, _LONGEST_HEAD)
        if kind in (_SPS, _PPS) and end > 0:
            found += b"\x00" + data[place:end].rstrip(b"\x00")
        place = end
    return found


def _codec(extradata: bytes) -> str:
    """The codec's name for browsers (RFC 6381): profile, constraints and level; ValueError where nothing tells them."""
    if extradata[:1] == b"\x01":  # AVCDecoderConfigurationRecord (ISO/IEC 14496-15)
        return f"avc1.{extradata[1:4].hex()}"
    place = extradata.find(_START)
    while place >= 0:
        if extradata[place + 3] & 31 == _SPS:
            return f"avc1.{extradata[place + 4 : place + 7].hex()}"
        place = extradata.find(_START, place + 3)
    raise ValueError("the stream tells no sequence parameter set")
