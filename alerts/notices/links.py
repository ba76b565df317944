"""Links that acknowledge one alert in the name of one person, without a log-in, until they expire.

A token is version, alert, person and expiry with an HMAC-SHA-256 (cut to 128 bits) over them and the purpose, as
URL-safe base64: 46 characters, so that a text message holds it. The key is a row that only our processes read.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

from core.errors import NotFound
from core.sql import queries

PURPOSE = "acknowledge"
PATH = "/a/"
"""Where the page of a link is, below the address of the web page."""

_SQL = queries(__package__)
_BODY = struct.Struct(">BqiI")
_VERSION = 1
_TAG = 16


@dataclass(frozen=True, slots=True)
class Claim:
    """What a valid token is for."""

    alert_id: int
    person_id: int
    expires_at: datetime


class BadLink(NotFound):
    """The link is none of ours, was changed on its way, or has expired."""


async def signing_key(connection: psycopg.AsyncConnection[Any], *, now: datetime) -> bytes:
    """The key of this purpose, made at its first use."""
    wanted = {"purpose": PURPOSE, "key": secrets.token_bytes(32), "now": now}
    await connection.execute(_SQL["signing_key_put"], wanted)
    row = await (await connection.execute(_SQL["signing_key_get"], {"purpose": PURPOSE})).fetchone()
    assert row is not None
    return bytes(row[0])


def make(key: bytes, *, alert_id: int, person_id: int, expires_at: datetime) -> str:
    """The token of a link; `expires_at` is cut to seconds."""
    body = _BODY.pack(_VERSION, alert_id, person_id, int(expires_at.timestamp()))
    return base64.urlsafe_b64encode(body + _tag(key, body)).decode().rstrip("=")


def read(key: bytes, token: str, *, now: datetime) -> Claim:
    """What the token is for.

    Raises:
        BadLink: it is none of ours, was changed, or has expired.
    """
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise BadLink("the link is not complete", hint="open it again from the message") from None
    body, tag = raw[:-_TAG], raw[-_TAG:]
    if len(body) != _BODY.size or not hmac.compare_digest(tag, _tag(key, body)):
        raise BadLink("the link is not complete", hint="open it again from the message")
    version, alert_id, person_id, expires = _BODY.unpack(body)
    expires_at = datetime.fromtimestamp(expires, UTC)
    if version != _VERSION or now >= expires_at:
        raise BadLink("the link has expired", hint="log in to see the alert")
    return Claim(alert_id=alert_id, person_id=person_id, expires_at=expires_at)


def _tag(key: bytes, body: bytes) -> bytes:
    return hmac.new(key, PURPOSE.encode() + b"\0" + body, hashlib.sha256).digest()[:_TAG]
