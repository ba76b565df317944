"""What the service asks of a source of messages."""

from __future__ import annotations

from typing import Any, Protocol


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
