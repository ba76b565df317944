"""One connection to a camera through PyAV: opening, sampling, and what went wrong in words.

A picture costs little where the camera's key frames come often enough: then the decoder is given nothing else. Where
they do not, decoding goes on only as far as the last picture that is wanted before the next key frame.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

import av
import av.error

from vision.wire import Order, Pace, Reason, State

_PROBE_MICROS = "500000"  # an RTSP description says most; ffmpeg's own 5 s only delay the first picture
_GAP_S = 60.0  # a jump of the stream's clock by more, or back, is a new beginning
_SLACK = 0.1  # share of a period by which a picture may come early: key frames jitter with the network
# A key frame may come earlier still, and is waited for a little: it is decoded anyway, and once a picture is taken
# there the rest before the next one can be left out. Together they make a period, so the pace falls in step.
_KEY_EARLY, _KEY_LATE = 0.75, 0.25


class SourceError(Exception):
    """The camera cannot be read; `state` and `reason` go to its row, the text to people."""

    def __init__(self, state: State, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.state = state
        self.reason = reason


@dataclass(slots=True)
class Counts:
    """What a capture process has seen since it started."""

    frames_in: int = 0
    decoded: int = 0
    sampled: int = 0
    gated: int = 0
    corrupt: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """A decoded picture, when it arrived (microseconds since the epoch, monotonic seconds), and its stream time."""

    frame: av.VideoFrame
    time: int
    monotonic: float
    stream_time: float


class Sampler:
    """Chooses pictures at a pace that may change at any time."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self._due = 0.0
        self._keys: deque[float] = deque(maxlen=6)
        self._times: deque[float] = deque(maxlen=50)
        self._intervals: list[float] = []  # between the last key frames; a stream that begins anew is taken to go on so

    def saw(self, at: float, *, is_key: bool) -> None:
        """A packet was received; `at` is its stream time in seconds, so that bursts of the network do not matter."""
        if self._times and not 0 <= at - self._times[-1] < _GAP_S:
            self._times.clear()  # a stream that began anew
            self._keys.clear()
        self._times.append(at)
        if is_key:
            self._keys.append(at)
            if len(self._keys) > 1:
                self._intervals = [later - earlier for earlier, later in pairwise(self._keys)]

    @property
    def fps(self) -> float:
        """Frames a second of the stream; 0 while not known."""
        span = self._times[-1] - self._times[0] if len(self._times) > 1 else 0
        return (len(self._times) - 1) / span if span > 0 else 0.0

    @property
    def key_interval_s(self) -> float:
        """Seconds between key frames; 0 while not known."""
        return median(self._intervals) if self._intervals else 0.0

    @property
    def keys_suffice(self) -> bool:
        """Whether key frames alone give the wanted pace."""
        return 0 < self.key_interval_s <= (1 + _SLACK) / self.pace.fps

    def wants(self, at: float) -> bool:
        """Whether a picture of `at` would be taken, where key frames alone give the pace."""
        return at >= self._due - _SLACK / self.pace.fps

    def takes(self, at: float, *, is_key: bool = False) -> bool:
        """Whether the picture of `at` is wanted; keeps the pace on average, whatever single pictures are late."""
        period = 1 / self.pace.fps
        anchors = is_key and not self.keys_suffice
        if at < self._due - (_KEY_EARLY if anchors else _SLACK) * period:
            return False
        self._due = period + (self._due if at < self._due + period and not anchors else at)
        return True

    def idles(self, at: float, stream_at: float) -> bool:
        """Whether no picture is wanted between `at` (`stream_at` by the stream's clock) and the next key frame."""
        if not self._intervals or not self._keys:
            return False
        # The longest of late: a camera whose intervals vary must not be left undecoded for seconds.
        until_key = self._keys[-1] + max(self._intervals) - stream_at
        return self._due - at >= until_key - _KEY_LATE / self.pace.fps


class Source:
    """An open stream. `samples` yields until it ends or raises SourceError."""

    def __init__(
        self, order: Order, sampler: Sampler, counts: Counts, *, tap: Callable[[av.Packet[Any]], None] | None = None
    ) -> None:
        """Connect; raise SourceError with the reason where that fails. `tap` is given every packet of the video."""
        self._order = order
        self._tap = tap
        self._sampler = sampler
        self._counts = counts
        self.is_file = False
        began = time.monotonic()
        try:
            self._container = self._open()
        except av.error.FFmpegError as error:
            # An interrupted call may come back as anything, so the clock tells what it was.
            if time.monotonic() - began >= order.open_timeout_s:
                raise SourceError("unreachable", "time_out", "no answer within the time-out") from error
            raise _opening_failed(error) from error
        streams = self._container.streams.video
        if not streams:
            self._container.close()
            raise SourceError("broken", "no_video", "the stream carries no video")
        self._stream = streams[0]
        self._stream.thread_count = 1

    def _open(self) -> av.container.InputContainer:
        url, form = self._order.url, None
        options: dict[str, str] = {}
        if url.isdigit():
            url, form = f"/dev/video{url}", "v4l2"
        elif url.startswith("rtsp"):
            options = {"rtsp_transport": self._order.transport, "analyzeduration": _PROBE_MICROS}
        self.is_file = form is None and "://" not in url
        timeout = (self._order.open_timeout_s, self._order.read_timeout_s)
        return av.open(url, format=form, options=options, timeout=timeout)

    @property
    def stream(self) -> av.VideoStream:
        """The video, open until `close`."""
        return self._stream

    @property
    def codec(self) -> str:
        """Name of the video codec."""
        return str(self._stream.codec_context.name)

    def close(self) -> None:
        """Let go of the connection."""
        self._container.close()

    def samples(self) -> Iterator[Sample]:
        """Pictures at the sampler's pace. A file is played at its own speed and ends the iterator."""
        started, first_pts = time.monotonic(), None
        heard = shown = time.monotonic()
        resting = False
        seconds = float(self._stream.time_base or 1)  # of a tick of the stream's clock
        try:
            for packet in self._container.demux(self._stream):
                if packet.size == 0:
                    continue  # the demuxer's flush at the end of a file
                if self.is_file and packet.dts is not None:
                    first_pts = packet.dts if first_pts is None else first_pts
                    _wait_until(started + float((packet.dts - first_pts) * packet.time_base))
                heard = now = time.monotonic()
                self._counts.frames_in += 1
                if self._tap is not None:
                    self._tap(packet)
                stream_now = now if packet.dts is None else packet.dts * seconds
                self._sampler.saw(stream_now, is_key=packet.is_keyframe)
                if packet.is_keyframe:
                    # Only here: a decoder that begins elsewhere shows grey smears until the next key frame.
                    resting = self._sampler.keys_suffice
                    if resting and not self._sampler.wants(now):
                        shown = now  # more of them come than are wanted, as in MJPEG: nothing says that it is broken
                        continue
                elif not resting:
                    resting = self._sampler.idles(now, stream_now)
                # What leans on others is of no use while only key frames are wanted; even to have it skipped costs.
                for frame in self._decode(packet, alone=resting) if packet.is_keyframe or not resting else ():
                    shown = now
                    if self._sampler.takes(now, is_key=frame.key_frame):
                        yield _sample(frame, packet, now)
                if now - shown > self._order.read_timeout_s + self._sampler.key_interval_s * resting:
                    raise SourceError("broken", "not_decodable", "data arrives, but no picture can be decoded from it")
        except av.error.EOFError:
            return
        except av.error.FFmpegError as error:
            if time.monotonic() - heard >= self._order.read_timeout_s:
                raise SourceError("stalled", "no_data", "connected, but no data arrives") from error
            text = error.strerror or str(error)
            raise SourceError("stalled", "connection_lost", f"the connection was lost: {text}") from error

    def _decode(self, packet: av.Packet[Any], *, alone: bool) -> list[av.VideoFrame]:
        """The pictures that the decoder hands out; `alone`: nothing that leans on this one will follow."""
        try:
            frames = packet.decode()
            if alone:
                frames += self._drained(packet)
        except av.error.InvalidDataError:
            self._counts.corrupt += 1
            return []
        whole = [frame for frame in frames if not frame.is_corrupt]
        self._counts.decoded += len(whole)
        self._counts.corrupt += len(frames) - len(whole)
        return whole[-1:] if alone else whole  # what comes before it had waited since decoding stopped, and is old

    def _drained(self, packet: av.Packet[Any]) -> list[av.VideoFrame]:
        """What is still in the decoder: where a camera sends pictures out of order, each waits for the next ones."""
        context = self._stream.codec_context
        try:
            frames = context.decode(None)
        finally:
            context.flush_buffers()  # else it would take what comes for more after the end
        for frame in frames:
            frame.time_base = packet.time_base
        return frames


def _sample(frame: av.VideoFrame, packet: av.Packet[Any], now: float) -> Sample:
    """Time the picture by its own packet's arrival: a decoder that reorders hands it out later."""
    late = 0.0
    if frame.pts is not None and packet.pts is not None and packet.time_base is not None:
        late = max(0.0, float((packet.pts - frame.pts) * packet.time_base))
    return Sample(frame, time.time_ns() // 1000 - round(late * 1e6), now, float(frame.time or 0.0))


def _wait_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def _opening_failed(error: av.error.FFmpegError) -> SourceError:
    """State and reason of what ffmpeg reports."""
    kinds: list[tuple[type[Exception], State, Reason]] = [
        (av.error.HTTPUnauthorizedError, "unreachable", "wrong_password"),
        (av.error.HTTPForbiddenError, "unreachable", "forbidden"),
        (av.error.HTTPNotFoundError, "unreachable", "not_found"),
        (av.error.FileNotFoundError, "unreachable", "not_found"),
        (av.error.ConnectionRefusedError, "unreachable", "refused"),
        (av.error.InvalidDataError, "broken", "no_video"),
        (av.error.ProtocolNotFoundError, "broken", "unknown_protocol"),
    ]
    text = error.strerror or str(error)
    for kind, state, reason in kinds:
        if isinstance(error, kind):
            return SourceError(state, reason, text)
    return SourceError("unreachable", "cannot_connect", text)
