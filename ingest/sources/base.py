"""What the service asks of a source of messages."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from sensors.commands import Command


class Source(Protocol):
    """Puts messages into the intake and acknowledges them, through their holder, when the writer says so.

    A source stops reading while the intake has pressure. It survives the loss of its peers by its own means.
    """

    async def start(self) -> None:
        """Begin; returns once messages may arrive. Raises SmartsiteError where the set-up is wrong."""
        ...

    async def quiesce(self) -> None:
        """Take no more messages; those taken may still be acknowledged."""
        ...

    async def close(self) -> None:
        """End connections; called when the writer has done its last batch."""
        ...

    def detail(self) -> dict[str, Any]:
        """Facts for the heartbeat, JSON."""
        ...


class Outlet(Protocol):
    """The way down to devices. None of these blocks or raises."""

    def reaches(self, device: int) -> bool:
        """Whether a command for this device should be sent by this process, now."""
        ...

    def take_fresh(self) -> set[int]:
        """Devices that came back since the last call: what they did not acknowledge before is sent again."""
        ...

    def take_arrived(self) -> list[int]:
        """Commands that were acknowledged since the last call."""
        ...

    def take_unsent(self) -> list[tuple[int, str]]:
        """Commands that did not come through after all since the last call, and why: they go back to the queue."""
        ...

    def deliver(self, command: Command) -> bool:
        """Send a command; False where that cannot be done at the moment."""
        ...


@runtime_checkable
class TwoWay(Protocol):
    """A source that has an outlet."""

    @property
    def outlet(self) -> Outlet:
        """The way down."""
        ...
