"""The pictures of an event, with their bytes as adapters send them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import Any

from core.errors import NotFound
from core.evidence import EvidenceStore


async def with_pictures(payload: dict[str, Any], evidence: EvidenceStore) -> tuple[dict[str, Any], list[str]]:
    """The event with `data` (base64) in each of its pictures, and the digests of those that are gone.

    A violation goes out without a picture that is gone.
    """
    pictures: list[dict[str, str]] = []
    missing: list[str] = []
    for part in payload["evidence"]:
        try:
            content = await asyncio.to_thread(evidence.open(part["sha256"]).read_bytes)
        except (NotFound, FileNotFoundError):
            missing.append(part["sha256"])
        else:
            pictures.append({**part, "data": base64.b64encode(content).decode()})
    return {**payload, "evidence": pictures}, missing


def with_md5(event: dict[str, Any]) -> dict[str, Any]:
    """The event with the `md5` of each picture besides, as some regulators want it."""
    return {
        **event,
        "evidence": [
            {**part, "md5": hashlib.md5(base64.b64decode(part["data"]), usedforsecurity=False).hexdigest()}
            for part in event["evidence"]
        ],
    }
