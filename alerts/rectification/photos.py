"""Photos of a hazard and of its removal, as evidence.

A photo is written anew before it is stored: turned upright, without EXIF and other metadata, so that neither where it
was taken nor by which telephone leaves with it, and nothing is hidden in it. `keep` stores the bytes as they came.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import psycopg

from alerts.rectification.model import OPEN, load
from core.clock import Clock
from core.errors import Conflict, InvalidInput
from core.evidence import EvidenceStore, record
from core.sql import queries

_SQL = queries(__package__)
_MOST_PIXELS = 80_000_000
_LONGEST_SIDE = 4096
_QUALITY = 88
# Start of frame: baseline, extended, progressive, ...; C4, C8 and CC are tables.
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo that is ready to be stored; sides in pixels."""

    data: bytes
    media_type: str
    width: int
    height: int


async def add(
    connection: psycopg.AsyncConnection[Any],
    store: EvidenceStore,
    order_id: int,
    photo: Photo,
    *,
    by: str,
    most: int,
    clock: Clock,
) -> str:
    """Store a photo for an order in the caller's transaction; its SHA-256. The same one again changes nothing.

    Raises:
        Conflict: the order is closed, or has as many photos as it may have.
    """
    order = await load(connection, order_id, lock=True)
    if order.state not in OPEN:
        raise Conflict(f"the order {order.number} is {order.state}", hint="photos are for orders that are open")
    row = await (await connection.execute(_SQL["photo_count"], {"id": order_id})).fetchone()
    assert row is not None
    if row[0] >= most:
        raise Conflict(f"the order {order.number} has {most} photos already", hint="choose the telling ones")
    evidence = store.put(photo.data, photo.media_type)
    await record(connection, evidence)
    await connection.execute(
        _SQL["photo_put"], {"id": order_id, "sha256": evidence.sha256, "now": clock.now(), "by": by}
    )
    return evidence.sha256


def prepare(data: bytes, *, keep: bool) -> Photo:
    """Check a photo and take out what does not belong to the picture. Blocks for tenths of a second: call in a thread.

    Raises:
        InvalidInput: it is no JPEG, PNG or WebP picture that can be read, or has too many pixels.
    """
    import cv2
    import numpy as np

    media_type, size = _head(data)
    if size is None:
        raise InvalidInput("this is no JPEG, PNG or WebP picture", hint="send a photo in one of these forms")
    if size[0] * size[1] > _MOST_PIXELS:
        raise InvalidInput(f"the picture has {size[0]} x {size[1]} pixels", hint="send a smaller one")
    try:
        # Turned upright by its EXIF, which is then lost.
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        picture = None
    if picture is None:
        raise InvalidInput("the picture cannot be read to its end", hint="take or upload it again")
    if keep:
        return Photo(data, media_type, picture.shape[1], picture.shape[0])
    longest = max(picture.shape[:2])
    if longest > _LONGEST_SIDE:
        scale = _LONGEST_SIDE / longest
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    written, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not written:
        raise InvalidInput("the picture cannot be written", hint="take it again")
    return Photo(encoded.tobytes(), "image/jpeg", picture.shape[1], picture.shape[0])


def _head(data: bytes) -> tuple[str, tuple[int, int] | None]:
    """(media type, sides in pixels) by the head alone: a small file may unfold into gigabytes."""
    if data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) >= 24:
        return "image/png", struct.unpack(">II", data[16:24])
    if data.startswith(b"\xff\xd8"):
        return "image/jpeg", _jpeg_sides(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP" and len(data) >= 30:
        return "image/webp", _webp_sides(data)
    return "", None


def _jpeg_sides(data: bytes) -> tuple[int, int] | None:
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:
            place += 1
            continue
        if marker in _FRAMES:
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            return width, height
        place += 2 + int(struct.unpack(">H", data[place + 2 : place + 4])[0])
    return None


def _webp_sides(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", data[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None
