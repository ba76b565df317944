"""Devices and messages made by hand, for tests without a connection."""

from __future__ import annotations

import json
from typing import Any

from ingest.message import Leaf, Message, Origin
from sensors.profiles import load_profiles
from sensors.registry import Device

PROFILES = load_profiles()
NOW = 1_786_000_000_000_000
"""Arrival of the first message, microseconds: 2026-08-06."""


def device(number: int = 1, *, site: int = 1, kind: str = "dust", **fields: Any) -> Device:
    """A device of site A."""
    row: dict[str, Any] = {
        "id": number,
        "site_id": site,
        "site": "A",
        "code": f"d{number}",
        "kind": kind,
        "name": "",
        "name_en": "",
        "secret_hash": None,
        "record_number": "",
        "factory": "",
        "latitude": None,
        "longitude": None,
        "clock_offset_ms": 0,
        "interval_s": 60,
        "tags": (),
        "enabled": True,
    }
    return Device(**(row | fields))


def message(payload: Any, *, of: Device | None = None, leaf: Leaf = Leaf.TELEMETRY, arrived: int = NOW) -> Message:
    """A message of a device; what is not bytes becomes JSON."""
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    origin = Origin(source="test", client="c", topic="t", leaf=leaf, device=of or device())
    return Message(origin, raw, arrived)
