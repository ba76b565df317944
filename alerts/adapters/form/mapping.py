"""Fills the fields of a call from a canonical event."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from alerts.adapters.form.nodes import Each, Leaf, Node
from alerts.adapters.form.templates import fill
from alerts.adapters.form.values import converted, written

_EXTENSIONS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}


class Unmapped(Exception):
    """A field cannot be filled; the message names it and says why. Only a person can change that."""


def filled(
    node: Node,
    event: Mapping[str, Any],
    extra: Mapping[str, Any],
    *,
    tables: Mapping[str, Mapping[str, str | int]],
    zone: ZoneInfo,
) -> Any:
    """What is sent for a node.

    `event` is a canonical event whose evidence has its bytes in base64 (`data`) and their `md5`. `extra` are sources
    that are no part of it: key, now, client_id, receipt.

    Raises:
        Unmapped: a source is empty and has no default, or a value has no such unit or no entry in its table.
    """
    return _Filler(event, extra, tables, zone).fill(node, "", {})


class _Filler:
    def __init__(
        self,
        event: Mapping[str, Any],
        extra: Mapping[str, Any],
        tables: Mapping[str, Mapping[str, str | int]],
        zone: ZoneInfo,
    ) -> None:
        self._event = event
        self._extra = extra
        self._tables = tables
        self._zone = zone

    def fill(self, node: Node, where: str, item: Mapping[str, Any]) -> Any:
        if isinstance(node, Leaf):
            return self._leaf(node, where, item)
        if isinstance(node, Each):
            return [self.fill(node.item, where, part) for part in self._parts(node.source)]
        if isinstance(node, list):
            return [self.fill(inner, f"{where}[{place}]", item) for place, inner in enumerate(node)]
        return {name: self.fill(inner, f"{where}.{name}" if where else name, item) for name, inner in node.items()}

    def _parts(self, source: str) -> list[dict[str, Any]]:
        if source == "site.units":
            return list(self._event["site"].get("units", []))
        return [
            {**part, "name": f"{part['sha256'][:16]}.{_EXTENSIONS.get(part['media_type'], 'bin')}"}
            for part in self._event["evidence"]
        ]

    def _leaf(self, leaf: Leaf, where: str, item: Mapping[str, Any]) -> Any:
        if leaf.template is not None:
            value: Any = fill(leaf.template, lambda name: plain(self._read(name, item)))
        elif leaf.source is not None:
            value = self._read(leaf.source, item)
        else:
            value = leaf.value
        if value is None or value == "":
            if leaf.default is None:
                raise Unmapped(f"{where}: {leaf.source or leaf.template} is empty, and the field has no default")
            return leaf.default
        if leaf.time is not None:
            value = written(_moment(value), leaf.time, self._zone)
        if leaf.unit is not None:
            try:
                value = converted(float(value), self._event["unit"], leaf.unit)
            except ValueError as error:
                raise Unmapped(f"{where}: {error}") from None
        if leaf.table is not None:
            entries = self._tables[leaf.table]
            if plain(value) not in entries and leaf.default is None:
                raise Unmapped(f"{where}: table {leaf.table} has no entry for {plain(value)!r}")
            value = entries.get(plain(value), leaf.default)
        if leaf.digits is not None and isinstance(value, int | float) and not isinstance(value, bool):
            value = round(value, leaf.digits) if leaf.digits > 0 else round(value)
        if leaf.text:
            value = plain(value)
        if leaf.length is not None and isinstance(value, str):
            value = value[: leaf.length]
        return value

    def _read(self, name: str, item: Mapping[str, Any]) -> Any:
        if name in self._extra:
            return self._extra[name]
        head, _, rest = name.partition(".")
        if head == "item":
            return item.get(rest)
        if name == "moment":
            return self._event["ended_at"] or self._event["started_at"]
        value = self._event.get(head)
        if head == "site" and "." in rest:
            role, _, rest = rest.partition(".")
            units = (unit for unit in self._event["site"].get("units", []) if unit["role"] == role)
            value = next(units, {})
        return value.get(rest) if rest and isinstance(value, Mapping) else value


def _moment(value: Any) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


def plain(value: Any) -> str:
    """A value as text: no exponent, no `.0`, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.9f}".rstrip("0").rstrip(".")
    return str(value)
