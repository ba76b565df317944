"""The connection of an up-link: one packet at a time, each acknowledged before the next."""

from __future__ import annotations

import asyncio
import contextlib
import re

from core.settings import UplinkSettings
from sensors.hj212 import compose
from sensors.hj212.faults import Refused
from sensors.hj212.framing import Splitter
from sensors.hj212.packet import ACK_WANTED, Packet, check, open_frame, write
from sensors.hj212.policy import Policy
from sensors.hj212.sm4 import key_bytes

_FRAME_BYTES = 64 * 1024
_READ_BYTES = 16 * 1024
_RETURN = re.compile(rb"QnRtn=([0-9]{1,3})")
_ANSWERS = frozenset({compose.REQUEST_ACK, compose.RESULT, compose.NOTIFY_ACK, compose.DATA_ACK, compose.HEARTBEAT})


class Lost(Exception):
    """The platform cannot be reached, ended the connection or does not acknowledge."""


class Declined(Exception):
    """The platform refused a packet, by the code of its answer (9011)."""


class Link:
    """An open connection to the platform."""

    def __init__(self, uplink: UplinkSettings, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._uplink = uplink
        self._reader = reader
        self._writer = writer
        self._splitter = Splitter(_FRAME_BYTES)
        self._waiting: list[Packet] = []
        key = uplink.key.get_secret_value()
        self._key = key_bytes(key) if key else None
        # What a platform sends is taken by its checksum, whatever its station options are.
        self._policy = Policy(key=key)

    @classmethod
    async def open(cls, uplink: UplinkSettings) -> Link:
        """Connect; raise Lost where the platform is not reached in time."""
        try:
            async with asyncio.timeout(uplink.timeout_s):
                reader, writer = await asyncio.open_connection(uplink.host, uplink.port)
        except (OSError, TimeoutError) as error:
            raise Lost(f"not reached: {error or f'nothing within {uplink.timeout_s:g} s'}") from error
        return cls(uplink, reader, writer)

    async def close(self) -> None:
        """End the connection."""
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(self._uplink.timeout_s):
                await self._writer.wait_closed()

    async def deliver(self, packet: Packet) -> int:
        """Send a packet until it is acknowledged; return how often it was sent.

        The same packet with the same QN is sent again after each time-out: a platform knows it by MN, command and
        DataTime.

        Raises:
            Declined: the platform refuses it.
            Lost: no acknowledgement after the last time-out, or the connection is gone.
        """
        frame = write(packet, self._key)
        for sent in range(1, self._uplink.retries + 2):
            try:
                async with asyncio.timeout(self._uplink.timeout_s):
                    self._writer.write(frame)
                    await self._writer.drain()
                    await self._acknowledged(packet)
            except TimeoutError:
                continue
            except OSError as error:
                raise Lost(f"connection lost: {error}") from error
            return sent
        raise Lost(f"no acknowledgement of {packet.cn} after {self._uplink.retries + 1} times")

    async def _acknowledged(self, packet: Packet) -> None:
        while True:
            answer = await self._next()
            if answer.cn not in _ANSWERS:
                self._turn_down(answer)
            elif answer.qn != packet.qn:
                continue  # late, of a packet that was sent again
            elif answer.cn in (compose.DATA_ACK, compose.NOTIFY_ACK):
                return
            elif answer.cn == compose.REQUEST_ACK:
                code = _RETURN.search(answer.content)
                if code is None or int(code[1]) != compose.QnRtn.READY:
                    raise Declined(_reason(code))

    def _turn_down(self, request: Packet) -> None:
        """A platform may ask a station for this and that; an up-link only reports."""
        if request.flag is None or request.flag & ACK_WANTED:
            self._writer.write(write(compose.answer(request, compose.QnRtn.REFUSED)))

    async def _next(self) -> Packet:
        """The next packet that can be read; what cannot is passed over."""
        while not self._waiting:
            data = await self._reader.read(_READ_BYTES)
            if not data:
                raise Lost("the platform ended the connection")
            for piece in self._splitter.feed(data):
                with contextlib.suppress(Refused):
                    packet, _ = check(open_frame(piece.raw), self._policy)
                    self._waiting.append(packet)
        return self._waiting.pop(0)


def _reason(code: re.Match[bytes] | None) -> str:
    if code is None:
        return "QnRtn is missing"
    number = int(code[1])
    known = number in list(compose.QnRtn)
    return f"QnRtn={number} ({compose.QnRtn(number).name.lower()})" if known else f"QnRtn={number}"
