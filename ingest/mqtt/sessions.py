"""What outlives a connection (MQTT 5, sections 3.1.2.11.2 and 3.1.3.2.2): a subscription, and a will that waits."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ingest.message import Origin

LONGEST_S = 86_400
"""Seconds that a session is kept at most; kept in memory, so none outlives the process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A session without a connection.

    `qos` is that of the subscription to the command topic, None without one. `will` is published at `will_at` unless
    the client is back before. `secret_hash` is the one that the client had shown to know. Times are monotonic seconds.
    """

    secret_hash: str | None
    qos: int | None
    expires_at: float
    will: tuple[Origin, bytes] | None = None
    will_at: float = 0.0


class Sessions:
    """The kept sessions, by device and client identifier; at most `per_device` of one device, the newest."""

    def __init__(self, per_device: int) -> None:
        self._per_device = per_device
        self._kept: dict[int, dict[str, Kept]] = {}

    def keep(self, device: int, client: str, session: Kept) -> list[tuple[Origin, bytes]]:
        """Keep a session; the wills of those that have to go for it."""
        kept = self._kept.setdefault(device, {})
        kept.pop(client, None)
        kept[client] = session
        dropped = [kept.pop(next(iter(kept))) for _ in range(len(kept) - self._per_device)]
        return [one.will for one in dropped if one.will is not None]

    def take(self, device: int, client: str) -> Kept | None:
        """The session of a client that is back; it is kept no longer."""
        kept = self._kept.get(device, {})
        session = kept.pop(client, None)
        if not kept:
            self._kept.pop(device, None)
        return session

    def due(self, now: float) -> list[tuple[Origin, bytes]]:
        """Wills whose delay is over; sessions that have expired are forgotten."""
        wills = []
        for device, clients in list(self._kept.items()):
            for client, session in list(clients.items()):
                over = session.expires_at <= now
                if session.will is not None and (over or session.will_at <= now):
                    wills.append(session.will)
                    clients[client] = replace(session, will=None)
                if over:
                    del clients[client]
            if not clients:
                del self._kept[device]
        return wills
