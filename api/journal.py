"""What is newest of each thing that the live push tells, in the order of its changes.

What a client missed since a number is the tail of each list: who lost the connection gets that and no more, and who
reads slowly gets the newest of each thing instead of a queue. It grows with the things that there are, never with the
clients or with time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Item = dict[str, Any]
Lists = dict[str, list[Item]]

NAMES = ("readings", "alerts", "sites", "devices", "cameras")
# Alerts never cease to be new ones: the rest are as many as the registry has.
_MOST_ALERTS = 1000


@dataclass(slots=True)
class _Kept:
    number: int
    item: Item


@dataclass(slots=True)
class _Reading:
    number: int
    item: Item
    """The newest reading, all values included that any reading had."""
    changed: dict[str, int]
    """Number of the change, by channel: messages of a device need not carry all of them."""


class Journal:
    """The newest of each thing. `number` counts the changes taken in; what is before `floor` is known no more."""

    def __init__(self, most_alerts: int = _MOST_ALERTS) -> None:
        self.number = 0
        self.floor = 0
        self._most_alerts = most_alerts
        self._readings: OrderedDict[int, _Reading] = OrderedDict()
        self._others: dict[str, OrderedDict[int, _Kept]] = {name: OrderedDict() for name in NAMES[1:]}

    def forget(self) -> None:
        """Something may be missing from now on: nobody can go on from an earlier number."""
        self.number += 1
        self.floor = self.number
        self._readings.clear()
        for kept in self._others.values():
            kept.clear()

    def add(self, lists: Lists) -> None:
        """Take in changes, as one number."""
        self.number += 1
        for item in lists["readings"]:
            self._add_reading(item)
        for name, kept in self._others.items():
            for item in lists[name]:
                kept[item["id"]] = _Kept(self.number, item)
                kept.move_to_end(item["id"])
        alerts = self._others["alerts"]
        while len(alerts) > self._most_alerts:
            _, oldest = alerts.popitem(last=False)
            self.floor = max(self.floor, oldest.number)

    def since(self, number: int, scope: frozenset[int] | None) -> Lists:
        """What changed after `number` (at least `floor`) on these sites, or on all; each thing as it is now."""
        found = {"readings": _tail(self._readings.values(), number, scope)}
        for name, kept in self._others.items():
            found[name] = _tail(kept.values(), number, scope)
        return found

    def _add_reading(self, item: Item) -> None:
        device, changed = item["device_id"], dict.fromkeys(item["values"], self.number)
        before = self._readings.get(device)
        if before is not None:
            item = {**item, "values": before.item["values"] | item["values"]}
            changed = before.changed | changed
        self._readings[device] = _Reading(self.number, item, changed)
        self._readings.move_to_end(device)


def _tail(kept: Iterable[_Kept | _Reading], number: int, scope: frozenset[int] | None) -> list[Item]:
    found = []
    # The views of an ordered dict can be reversed, which typing does not know of an Iterable.
    for one in reversed(kept):  # type: ignore[call-overload]
        if one.number <= number:
            break
        if scope is None or one.item["site_id"] in scope:
            found.append(_cut(one, number) if isinstance(one, _Reading) else one.item)
    found.reverse()
    return found


def _cut(one: _Reading, number: int) -> Item:
    """The reading with the channels that changed after `number`."""
    values = {name: value for name, value in one.item["values"].items() if one.changed[name] > number}
    return {**one.item, "values": values}
