"""Commands to devices: rows that live through queued -> sent -> done | failed | expired.

Whoever wants something of a device calls `request` in the transaction of what it follows from. The ingest worker that
reaches the device claims the row, publishes it, and settles it with the device's reply. A command is sent at least
once until it expires: a device that sees an id again does nothing and repeats its reply.
"""

from __future__ import annotations

from sensors.commands.life import CHANNEL, expire, listed, request, settle
from sensors.commands.model import (
    ARGUMENTS_BYTES,
    Command,
    CommandRow,
    Reply,
    Requested,
    decode_reply,
    payload_of,
    topic_of,
)
from sensors.commands.sending import claim, mark_delivered, release, requeue_abandoned, waiting

__all__ = [
    "ARGUMENTS_BYTES",
    "CHANNEL",
    "Command",
    "CommandRow",
    "Reply",
    "Requested",
    "claim",
    "decode_reply",
    "expire",
    "listed",
    "mark_delivered",
    "payload_of",
    "release",
    "request",
    "requeue_abandoned",
    "settle",
    "topic_of",
    "waiting",
]
