"""One TCP connection of an HJ 212 station, or of a box that speaks for several: from bytes to acknowledgements."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ingest.link import Block, Link
from ingest.message import BAD_CREDENTIALS, Leaf, Message, Origin
from sensors.codec_json import Decoded, Reject
from sensors.hj212 import compose
from sensors.hj212.decode import PERIODS, REAL_TIME, Statistic
from sensors.hj212.faults import BAD_CRC, MALFORMED, OVERLONG, UNSUPPORTED, Refused
from sensors.hj212.framing import Piece, Splitter
from sensors.hj212.packet import Envelope, Packet, check, open_frame, write
from sensors.hj212.policy import Policy
from sensors.registry import Device

if TYPE_CHECKING:
    from ingest.hj212.gateway import Gateway, Station

WINDOW, WINDOW_BYTES = 64, 256 << 10
"""Frames, and bytes of frames, of one connection that may wait for their commit; beyond, it is not read."""
PARTIAL_S = 30.0
"""Seconds in which a frame that has begun is complete."""
STRANGER_S = 120.0
"""Seconds in which a new connection shows a frame of a known station."""
BAD_IN_A_ROW = 200
"""Bad pieces without a good frame between them after which a connection is ended."""

_DATA = frozenset({REAL_TIME, *PERIODS})
_HEARD = frozenset({compose.REQUEST_ACK, compose.NOTIFY_ACK, compose.DATA_ACK, compose.HEARTBEAT})
_ORIGINS = 1000


class Connection(Link):
    """Takes frames apart and answers; what a station measured goes to the gateway's intake."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway)
        self._gateway = gateway
        self._splitter = Splitter(gateway.limits.frame_bytes)
        self._pieces: deque[Piece] = deque()
        self._bad = 0
        self._arrived = 0
        self._number = 0
        self._pending: dict[int, tuple[bytes, int]] = {}  # number of a message -> its acknowledgement, its size
        self._pending_bytes = 0
        self._parts: tuple[str, str, int] | None = None  # MN, QN and time of the packet whose parts come in
        self._origins: dict[tuple[str, str], Origin] = {}
        self._last: Device | None = None
        self.devices: dict[int, Device] = {}

    # -- asyncio.Protocol ---------------------------------------------------------------------------------------------

    def _take_in(self, data: bytes) -> None:
        pieces = self._splitter.feed(data)
        self._note_partial(pending=self._splitter.pending > 0, progress=bool(pieces))
        self._pieces += pieces
        self._work_on()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why it broke changes nothing
        self._closing = True
        self._pieces.clear()
        self._gateway.forget(self)

    # -- for the gateway and the writer -------------------------------------------------------------------------------

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Send the acknowledgements of committed packets, where they are wanted, in one write."""
        answers = []
        for message in messages:
            answer, size = self._pending.pop(message.packet_id)
            self._pending_bytes -= size
            answers.append(answer)
        self._write(b"".join(answers))
        if len(self._pending) <= WINDOW // 2 and self._pending_bytes <= WINDOW_BYTES // 2:
            self._unblock(Block.WINDOW)

    def overdue(self, now: float) -> None:
        """End what is overdue: a frame that trickles in, a stranger, a silent station."""
        if self._partial is not None and now - self._partial > PARTIAL_S:
            self.fail("slow_frame", f"a frame was not complete within {PARTIAL_S:.0f} s")
        elif not self.devices and now - self._since > STRANGER_S:
            self.fail("no_station", f"no frame of a known station within {STRANGER_S:.0f} s")
        elif now - self._heard > self._gateway.limits.idle_s:
            self.fail("idle", f"nothing heard for {self._gateway.limits.idle_s:.0f} s")

    def fail(self, reason: str, detail: str) -> None:
        """End the connection; what it sent before is stored."""
        if self._closing:
            return
        self._gateway.tell(self, reason, detail)
        self.stop()

    def stop(self) -> None:
        """Send what is written, then end."""
        self._pieces.clear()
        self._shut()

    def describe(self) -> str:
        """`site/code` of the stations that have spoken."""
        return " ".join(f"{device.site}/{device.code}" for device in self.devices.values())

    # -- frames -------------------------------------------------------------------------------------------------------

    def _work_on(self) -> None:
        """Deal with frames in order, until none is left or one of them makes the connection wait."""
        while self._pieces and not self._blocks and not self._closing:
            self._take(self._pieces.popleft())

    def _take(self, piece: Piece) -> None:
        device = self._last  # what has no fields is most likely of who spoke last
        try:
            envelope = _opened(piece)
            device = self._gateway.device_of(envelope.packet.mn)
            station = self._station(envelope)
            packet, warnings = _checked(envelope, station.policy)
        except Refused as refused:
            self._refuse(piece.raw, refused.reject, device)
            return
        self._bad = 0
        self._last = station.device
        if station.device.id not in self.devices:
            self.devices[station.device.id] = station.device
            self._gateway.enter(self, station.device)
        self._dispatch(piece.raw, packet, station, warnings)

    def _station(self, envelope: Envelope) -> Station:
        try:
            return self._gateway.find(envelope.packet.mn)
        except Refused:
            # A broken MN is a broken frame, not a station that nobody registered.
            if not envelope.sealed and not envelope.has_some_crc():
                raise Refused(BAD_CRC, f"checksum {envelope.crc!r} of MN={envelope.packet.mn}") from None
            raise

    def _refuse(self, raw: bytes, reject: Reject, device: Device | None) -> None:
        """Set a bad piece aside, without an acknowledgement: the station may send it again, and better."""
        self._gateway.refused(self, reject)
        self._bad += 1
        if device is not None or self._gateway.may_keep(self, reject):
            origin = Origin(
                source=self._gateway.source,
                client=self.peer,
                topic="",
                leaf=Leaf.TELEMETRY,
                device=device,
                refusal=reject,
            )
            self._put(origin, raw)
        if self._bad >= BAD_IN_A_ROW:
            self.fail("bad_frames", f"{self._bad} bad frames one after the other")

    def _dispatch(self, raw: bytes, packet: Packet, station: Station, warnings: list[Reject]) -> None:
        wanted = packet.wants_ack(station.policy)
        if packet.cn in _DATA:
            self._data(raw, packet, station, warnings, wanted=wanted)
        elif packet.cn == compose.ASK_CLOCK:
            now = self._gateway.clock.now()
            if wanted:
                self._write(write(compose.acknowledge(packet, compose.NOTIFY_ACK)))
            if station.policy.calibrate:
                self._write(write(compose.set_clock(packet, now, station.policy.zone)))
        elif packet.cn == compose.RESULT:
            if packet.content.strip(b"; ") != b"ExeRtn=1":
                self._gateway.tell(self, "request_failed", packet.content[:100].decode("ascii", "replace"))
        elif packet.cn not in _HEARD:
            reject = Reject(UNSUPPORTED, f"nothing is done with CN={packet.cn}")
            self._put_decoded(raw, packet, station, Decoded([], [reject], back_fill=False), wanted=wanted)

    def _data(self, raw: bytes, packet: Packet, station: Station, warnings: list[Reject], *, wanted: bool) -> None:
        time = None
        if packet.pnum and self._parts is not None and self._parts[:2] == (packet.mn, packet.qn):
            time = self._parts[2]
        decoded: Decoded | None = None  # a kind without a profile: the writer says so
        statistics: Sequence[Statistic] = ()
        if station.decoder is not None:
            try:
                taken = station.decoder.decode(packet, time)
            except Refused as refused:
                decoded = Decoded([], [*warnings, refused.reject], back_fill=False)
            else:
                decoded = taken.readings._replace(rejects=[*warnings, *taken.readings.rejects])
                statistics = taken.statistics
                if packet.pnum:
                    self._parts = (packet.mn, packet.qn, taken.time)
        self._put_decoded(raw, packet, station, decoded, statistics, wanted=wanted)

    def _put_decoded(
        self,
        raw: bytes,
        packet: Packet,
        station: Station,
        decoded: Decoded | None,
        statistics: Sequence[Statistic] = (),
        *,
        wanted: bool,
    ) -> None:
        key = (packet.mn, packet.cn)
        origin = self._origins.get(key)
        if origin is None or origin.device is not station.device:
            if len(self._origins) >= _ORIGINS:
                self._origins.clear()
            origin = self._origins[key] = Origin(
                source=self._gateway.source,
                client=self.peer,
                topic=f"{packet.mn}/{packet.cn}",
                leaf=Leaf.TELEMETRY,
                device=station.device,
            )
        answer = write(compose.acknowledge(packet, compose.DATA_ACK)) if wanted else b""
        self._put(origin, raw, answer, decoded, statistics)

    def _put(
        self,
        origin: Origin,
        raw: bytes,
        answer: bytes = b"",
        decoded: Decoded | None = None,
        statistics: Sequence[Statistic] = (),
    ) -> None:
        # Every message has its own arrival, in the order in which they came.
        self._arrived = max(self._arrived + 1, self._gateway.micros())
        self._number += 1
        self._pending[self._number] = (answer, len(raw))
        self._pending_bytes += len(raw)
        if len(self._pending) >= WINDOW or self._pending_bytes >= WINDOW_BYTES:
            self._block(Block.WINDOW)
        self._gateway.intake.put(
            [Message(origin, raw, self._arrived, self, self._number, decoded=decoded, statistics=statistics)]
        )


def _opened(piece: Piece) -> Envelope:
    if not piece.framed:
        raise Refused(OVERLONG if piece.overlong else MALFORMED, "bytes that are no frame")
    return open_frame(piece.raw)


def _checked(envelope: Envelope, policy: Policy) -> tuple[Packet, list[Reject]]:
    if policy.password not in ("", envelope.packet.pw):
        raise Refused(BAD_CREDENTIALS, "another PW than the station's")
    return check(envelope, policy)
