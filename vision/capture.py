"""The process that reads one camera: `python -m vision.capture`, spoken to as vision.wire says.

It holds the camera's one connection, so whatever a camera or its codec does stays in here. It opens again with
back-off as often as the connection is lost, and ends when its owner closes its standard input.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import sys
import threading
import time
from collections import deque
from io import RawIOBase
from typing import Any

import av
from msgspec.structs import replace

from vision import wire
from vision.clips import Clips
from vision.fragments import Fragments
from vision.gate import MotionGate
from vision.light import measure
from vision.outbox import Outbox
from vision.planes import Scaler, full
from vision.ring import PacketRing
from vision.source import Counts, Sample, Sampler, Source, SourceError
from vision.view import Fault, ViewWatch

_FIRST_DELAY, _LAST_DELAY = 0.5, 8.0
_FIGURES_S = 1.0
_PIPE_BYTES = 1 << 20
# State, and what it tells people.
_FAULTS: dict[Fault, tuple[wire.State, str]] = {
    "": ("online", ""),
    "frozen": ("stalled", "the same picture comes again and again: restart the camera"),
    "black": ("broken", "the picture is black: light, lens or sensor"),
    "covered": ("broken", "nothing is to be seen: the lens is covered, fogged or out of focus"),
    "moved": ("online", "the camera shows another part than before: check its direction and its zones"),
}
_HELD = 2  # pictures that can still be had in full size


class Reader:
    """Reads the camera until the process ends."""

    def __init__(self, order: wire.Order, outbox: Outbox) -> None:
        self._order = order
        self._outbox = outbox
        self._sampler = Sampler(order.pace)
        self._counts = Counts()
        self._gate = MotionGate(share=order.gate_share, look_s=order.gate_look_s)
        ring = PacketRing(keep_s=order.clip_s, most_bytes=order.clip_bytes)
        self._clips = Clips(ring, outbox)
        self._fragments = Fragments(ring, outbox)
        self._view = ViewWatch(frozen_s=order.frozen_s, blind_s=order.blind_s, shift=order.view_shift)
        self._fault: Fault = ""
        self._scaler = Scaler(order.look_px)
        self._held: deque[tuple[int, av.VideoFrame]] = deque(maxlen=_HELD)
        self._figures_due = 0.0
        self._online = False
        self._size = (0, 0)
        self._codec = ""
        self._cpu_start_s = time.process_time()

    def take(self, demand: wire.Demand) -> None:
        """Change the pace, answer with a full picture, note that a clip or the video is wanted; from any thread."""
        match demand:
            case wire.Pace():
                self._sampler.pace = demand
            case wire.Want():
                self._answer(demand)
            case wire.Cut():
                self._clips.want(demand)
            case wire.Stream():
                self._fragments.want(demand.on)
            case wire.Moved():
                self._view.quiet(time.monotonic() + demand.quiet_s)

    def _answer(self, want: wire.Want) -> None:
        held = list(self._held)
        found = [(time, frame) for time, frame in held if want.time in (0, time)]
        if not found:
            self._outbox.full(wire.Full(asked=want.time), b"")
            return
        planes = full(found[-1][1])
        message = wire.Full(asked=want.time, time=found[-1][0], width=planes.width, height=planes.height)
        self._outbox.full(message, planes.data)

    def run(self) -> None:
        """Connect, read, and again; at the end of a file that is played once, only stay."""
        delay = _FIRST_DELAY
        while True:
            self._online = False
            try:
                if self._read_once() and not self._order.loop:
                    self._outbox.status(wire.Status(state="stalled", reason="ended", message="the file has ended"))
                    self._pause(math.inf)
            except SourceError as error:
                self._outbox.status(wire.Status(state=error.state, reason=error.reason, message=str(error)))
            if self._online:
                delay = _FIRST_DELAY
            if not (self._online and self._order.loop):
                self._pause(delay)
                delay = min(delay * 2, _LAST_DELAY)

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._tell_figures(time.monotonic())
            self._clips.give_up()
            time.sleep(min(left, _FIGURES_S))

    def _read_once(self) -> bool:
        """One connection from opening to its end; True where it was a file, played to its end."""
        self._tell_figures(time.monotonic())
        source = Source(self._order, self._sampler, self._counts, tap=self._tap)
        with contextlib.closing(source), self._clips.of(source.stream), self._fragments.of(source.stream):
            for sample in source.samples():
                size = (sample.frame.width, sample.frame.height)
                if not self._online or size != self._size:
                    self._online, self._fault, self._size, self._codec = True, "", size, source.codec
                    self._outbox.status(wire.Status(state="online", codec=self._codec, width=size[0], height=size[1]))
                self._take(sample)
                self._tell_figures(sample.monotonic)
        if not source.is_file:
            raise SourceError("stalled", "connection_lost", "the camera ended the stream")
        if not self._online:
            raise SourceError("broken", "not_decodable", "the file holds no picture that can be decoded")
        return True

    def _tap(self, packet: av.Packet[Any]) -> None:
        now = time.time_ns() // 1000
        self._clips.take(packet, now)
        self._fragments.take(packet, now)

    def _take(self, sample: Sample) -> None:
        look, pace = self._scaler.small(sample.frame), self._sampler.pace
        sight = measure(look)
        moved = self._gate.passes(look.luma, sample.monotonic, contrast=sight.contrast)
        self._tell_fault(self._view.judge(look.luma, sample.monotonic))
        self._counts.sampled += 1
        self._counts.gated += not moved
        payload = look.data if moved or pace.everything else b""
        if payload or not self._held:
            self._held.append((sample.time, sample.frame))
        in_full = pace.full and bool(payload)
        picture = wire.Picture(
            time=sample.time,
            stream_time=sample.stream_time,
            width=sample.frame.width & ~1,
            height=sample.frame.height & ~1,
            look_width=look.width,
            look_height=look.height,
            moved=moved,
            sight=replace(sight, noise=round(self._gate.noise, 2)),
            full=in_full,
        )
        self._outbox.picture(picture, payload + full(sample.frame).data if in_full else payload)

    def _tell_fault(self, fault: Fault) -> None:
        """Tell what the pictures say of the camera, where that has changed."""
        if fault != self._fault:
            self._fault = fault
            state, message = _FAULTS[fault]
            width, height = self._size
            self._outbox.status(
                wire.Status(state=state, reason=fault, message=message, codec=self._codec, width=width, height=height)
            )

    def _tell_figures(self, now: float) -> None:
        if now < self._figures_due:
            return
        self._figures_due = now + _FIGURES_S
        cpu_s = time.process_time() - self._cpu_start_s
        self._outbox.figures(
            wire.Figures(
                frames_in=self._counts.frames_in,
                decoded=self._counts.decoded,
                sampled=self._counts.sampled,
                gated=self._counts.gated,
                skipped=self._outbox.skipped,
                corrupt=self._counts.corrupt,
                fps=round(self._sampler.fps, 2) if self._online else 0.0,
                key_interval_s=round(self._sampler.key_interval_s, 3),
                keys_only=self._sampler.keys_suffice,
                decode_ms=round(1000 * cpu_s / max(1, self._counts.sampled), 2),
            )
        )


def _follow(orders: RawIOBase, reader: Reader) -> None:
    """Take in every demand; the end of the input is the end of the process, even amid a hanging call."""
    for text in orders:
        reader.take(wire.demand_decoder.decode(text))
    os._exit(0)


def main() -> None:
    """Read the order from standard input and serve it."""
    results = os.dup(1)
    os.dup2(2, 1)  # nothing but messages may reach the owner's pipe
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a larger pipe is only quicker, and may be refused
            fcntl.fcntl(results, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    orders = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115  (a descriptor, open as long as we live)
    order = wire.order_decoder.decode(orders.readline())
    outbox = Outbox(results)
    outbox.status(wire.Status(state="starting"))
    reader = Reader(order, outbox)
    threading.Thread(target=_follow, args=(orders, reader), daemon=True, name="orders").start()
    reader.run()


if __name__ == "__main__":
    main()
