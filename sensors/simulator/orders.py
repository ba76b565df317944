"""A device's ear for commands: each id is carried out once, and its reply is said again when the id comes again."""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

import msgspec

from core.clock import Clock, micros
from sensors.simulator.journal import Journal
from sensors.simulator.sprayer import Outcome

logger = logging.getLogger(__name__)

# Ids that a device remembers: many times what can be on its way to it at once.
_REMEMBERED = 1000


@runtime_checkable
class Obedient(Protocol):
    """A model whose device takes commands."""

    def carry_out(self, name: str, arguments: Mapping[str, Any], moment: datetime) -> Outcome:
        """Do what is asked, now."""
        ...


class _Order(msgspec.Struct, frozen=True):
    """What comes down (docs/protocol-mqtt.md); `expires` in milliseconds since the epoch."""

    id: int
    name: str
    arguments: dict[str, Any]
    expires: int


class Orders:
    """Hears the command topic of one device; `reply(payload, id)` publishes, and `acknowledged(id)` follows."""

    def __init__(
        self, device: str, model: Obedient, *, reply: Callable[[bytes, int], None], journal: Journal, clock: Clock
    ) -> None:
        self._device = device
        self._model = model
        self._reply = reply
        self._journal = journal
        self._clock = clock
        self._said: OrderedDict[int, bytes] = OrderedDict()
        self._waiting: Counter[int] = Counter()  # replies on their way, by id
        self._decoder = msgspec.json.Decoder(_Order)
        self._encoder = msgspec.json.Encoder()

    @property
    def settled(self) -> bool:
        """Whether every reply was acknowledged."""
        return not self._waiting

    def hear(self, payload: bytes) -> None:
        """Take in a message of the command topic."""
        try:
            order = self._decoder.decode(payload)
        except msgspec.MsgspecError as error:
            logger.warning("not a command", extra={"device": self._device, "error": str(error)})
            return
        said = self._said.get(order.id)
        now = self._clock.now()
        if said is None:
            late = micros(now) // 1000 > order.expires
            outcome = (
                Outcome(ok=False, detail="too old") if late else self._model.carry_out(order.name, order.arguments, now)
            )
            # Noted before it is said: what the platform knows of must be in the journal.
            self._journal.carried_out(self._device, order.id, order.name, micros(now), ok=outcome.ok)
            said = self._encoder.encode({"id": order.id, "ok": outcome.ok, "detail": outcome.detail})
            self._said[order.id] = said
            if len(self._said) > _REMEMBERED:
                self._said.popitem(last=False)
        else:
            self._journal.heard_again(self._device, order.id, micros(now))
        self._waiting[order.id] += 1
        self._reply(said, order.id)

    def acknowledged(self, number: int) -> None:
        """Note the PUBACK of the reply to a command."""
        self._waiting[number] -= 1
        self._waiting += Counter()  # forgets what has fallen to nothing
        self._journal.replied(self._device, number, micros(self._clock.now()))
