"""What a command is on its way: to the device as JSON, and back as its reply."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from core.clock import micros

ARGUMENTS_BYTES = 4096
"""Bytes that a command's arguments may have as JSON."""
_DETAIL = 500
_LARGEST_ID = 2**63 - 1


class Requested(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants of a device. `by` is a person's code or `linkage:<id>`, `cause` says why in words."""

    device: int
    name: str
    arguments: dict[str, Any] = {}
    by: str
    cause: str = ""
    expires_at: datetime


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """A claimed command, ready to be published; `site` and `code` are the device's."""

    id: int
    device_id: int
    site: str
    code: str
    name: str
    arguments: dict[str, Any]
    expires_at: datetime


class CommandRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `command` as people see it; times are UTC aware. Names are the person's, empty where it was none."""

    id: int
    device_id: int
    name: str
    arguments: dict[str, Any]
    state: str
    reason: str
    requested_by: str
    requested_by_name: str
    requested_by_name_en: str
    cause: str
    requested_at: datetime
    expires_at: datetime
    sent_at: datetime | None
    delivered_at: datetime | None
    replied_at: datetime | None
    reply: str | None


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What a device answers: `{"id": 7, "ok": true, "detail": "..."}`, detail optional."""

    id: int
    ok: bool
    detail: str = ""


_reply = msgspec.json.Decoder(Reply)
_encoder = msgspec.json.Encoder()


def topic_of(command: Command) -> str:
    """The topic on which the device hears it."""
    return f"smartsite/v1/{command.site}/{command.code}/command"


def payload_of(command: Command) -> bytes:
    """The JSON that the device gets; `expires` in milliseconds since the epoch."""
    return _encoder.encode(
        {
            "id": command.id,
            "name": command.name,
            "arguments": command.arguments,
            "expires": micros(command.expires_at) // 1000,
        }
    )


def decode_reply(payload: bytes) -> Reply:
    """The reply in a payload, its detail cut to what is kept.

    Raises:
        msgspec.MsgspecError, UnicodeDecodeError: not JSON, or JSON of another shape.
    """
    reply = _reply.decode(payload)
    if not 0 < reply.id <= _LARGEST_ID:
        raise msgspec.ValidationError(f"id {reply.id} is no command's")
    # PostgreSQL holds every character but this one.
    return Reply(id=reply.id, ok=reply.ok, detail=reply.detail.replace("\0", "")[:_DETAIL])
