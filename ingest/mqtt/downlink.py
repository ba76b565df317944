"""What one connection is sent: commands with QoS 1, each known by its packet identifier until the device has it."""

from __future__ import annotations

from ingest.mqtt import packets
from ingest.mqtt.packets import Connect

IN_FLIGHT = 16
"""Commands that a device may hold unacknowledged; further ones wait in their table."""
_LAST_PACKET_ID = 65_535


class Downlink:
    """The way down to a device that has subscribed to its command topic; `qos` is what it was granted."""

    def __init__(self, connect: Connect, qos: int) -> None:
        self._connect = connect
        self._qos = qos
        self._next = 1
        self._waiting: dict[int, int] = {}

    def packet(self, command: int, topic: str, payload: bytes, *, expiry_s: int) -> bytes | None:
        """The PUBLISH of a command; None while the device takes no more, or where it is too large for it."""
        packet_id = 0
        if self._qos:
            if len(self._waiting) >= min(IN_FLIGHT, self._connect.receive_maximum):
                return None
            packet_id = self._free()
        packet = packets.publish(self._connect.version, topic, payload, packet_id=packet_id, expiry_s=expiry_s)
        if len(packet) > self._connect.maximum_packet_size:
            return None
        if packet_id:
            self._waiting[packet_id] = command
        return packet

    @property
    def qos(self) -> int:
        """The quality of service that was granted."""
        return self._qos

    @property
    def confirms(self) -> bool:
        """Whether the device says that it has a command; with QoS 0 nobody does."""
        return self._qos > 0

    def acknowledged(self, packet_id: int) -> int | None:
        """The command that a PUBACK speaks of; None for one that nothing waits for."""
        return self._waiting.pop(packet_id, None)

    def _free(self) -> int:
        while self._next in self._waiting:
            self._next = self._next % _LAST_PACKET_ID + 1
        packet_id, self._next = self._next, self._next % _LAST_PACKET_ID + 1
        return packet_id
