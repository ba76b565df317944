"""The newest reading of each device, of entries of the log."""

from __future__ import annotations

import math

from api.journal import Item
from sensors import batch


class Readings:
    """The newest reading of each device since the last batch."""

    def __init__(self) -> None:
        self._newest: dict[int, int] = {}
        self._pending: dict[int, Item] = {}

    def add(self, payload: bytes) -> None:
        """Take in a log entry of kind READINGS; a reading that came late never replaces a newer one."""
        for columns in batch.decode(payload):
            devices, times = columns.device.tolist(), columns.time.tolist()
            last: dict[int, int] = {}
            for place, (device, time) in enumerate(zip(devices, times, strict=True)):
                if time >= self._newest.get(device, time):
                    self._newest[device] = time
                    last[device] = place
            for device, place in last.items():
                self._pending[device] = {
                    "device_id": device,
                    "site_id": int(columns.site[place]),
                    "time": times[place] // 1000,
                    "values": _values(columns, place),
                }

    def drain(self) -> list[Item]:
        """What is new, and forget it."""
        items, self._pending = list(self._pending.values()), {}
        return items


def _values(columns: batch.ReadingBatch, place: int) -> dict[str, Item]:
    values = {}
    for channel, column in columns.values.items():
        letter = int(columns.quality[channel][place])
        if letter:
            value = float(column[place])
            # A channel may carry a quality letter and no value, which is NaN here and null in JSON.
            values[channel] = {"value": None if math.isnan(value) else value, "quality": chr(letter)}
    return values
