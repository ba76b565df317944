"""Pictures in full size, asked of the capture process only where they are needed: for evidence and for people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.clock import Clock
from vision import wire
from vision.planes import Planes

_PATIENCE_S = 2.0

Then = Callable[[Planes | None], None]


@dataclass(frozen=True, slots=True)
class _Wish:
    time: int
    until: float
    then: Then


class FullPictures:
    """Wishes of one camera, each granted or given up once."""

    def __init__(self, ask: Callable[[wire.Want], None], *, clock: Clock) -> None:
        """`ask` sends a request to the capture process."""
        self._ask = ask
        self._clock = clock
        self._wishes: list[_Wish] = []

    def want(self, time: int, then: Then) -> None:
        """Call `then` with the picture of `time` (0: the newest), or with None where it cannot be had."""
        self._wishes.append(_Wish(time, self._clock.monotonic() + _PATIENCE_S, then))
        self._ask(wire.Want(time))

    def arrived(self, message: wire.Full, payload: bytes) -> None:
        """Take in an answer."""
        planes = Planes(message.width, message.height, payload) if payload else None
        self._grant([wish for wish in self._wishes if wish.time == message.asked], planes)

    def tick(self) -> None:
        """Give up what has waited for too long."""
        now = self._clock.monotonic()
        self._grant([wish for wish in self._wishes if wish.until <= now], None)

    def give_up(self) -> None:
        """Wait for nothing any more."""
        self._grant(self._wishes, None)

    def _grant(self, wishes: list[_Wish], planes: Planes | None) -> None:
        self._wishes = [wish for wish in self._wishes if wish not in wishes]
        for wish in wishes:
            wish.then(planes)
