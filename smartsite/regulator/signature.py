"""Verification of Standard Webhooks signatures (https://www.standardwebhooks.com, version 1, symmetric)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from core.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Signed:
    """A request whose signature is right."""

    client: str
    id: str


class SignatureError(Exception):
    """The request is not proven to come from a registered client; `code` is stable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def secret_bytes(secret: str) -> bytes:
    """The key inside `whsec_<base64>`; raise ConfigurationError where it is not one."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error as error:
        raise ConfigurationError("a webhook secret is not base64", hint="write it as whsec_<base64>") from error
    if len(key) < 16:
        raise ConfigurationError("a webhook secret is too short", hint="use 24 to 64 random bytes")
    return key


def verify(
    headers: Mapping[str, str], body: bytes, *, clients: Mapping[str, bytes], now_s: float, skew_s: float
) -> Signed:
    """Check client, clock and signature, in this order; raise SignatureError.

    `headers` has lower-case names, `clients` maps a client's id to the bytes of its secret.
    """
    missing = [
        name
        for name in ("x-client-id", "webhook-id", "webhook-timestamp", "webhook-signature")
        if not headers.get(name)
    ]
    if missing:
        raise SignatureError("signature_missing", f"missing headers: {', '.join(missing)}")
    client, identity, timestamp = headers["x-client-id"], headers["webhook-id"], headers["webhook-timestamp"]
    key = clients.get(client)
    if key is None:
        raise SignatureError("unknown_client", f"no client is registered as {client!r}")
    if not timestamp.isdecimal():
        raise SignatureError("signature_malformed", "webhook-timestamp is not a number of seconds since 1970")
    skew = int(timestamp) - now_s
    if abs(skew) > skew_s:
        raise SignatureError(
            "clock_skew", f"the sender's clock is off by {skew:+.0f} s, at most {skew_s:.0f} s are allowed"
        )
    expected = hmac.new(key, f"{identity}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    for entry in headers["webhook-signature"].split():
        version, _, encoded = entry.partition(",")
        if version == "v1" and hmac.compare_digest(base64.b64encode(expected), encoded.encode()):
            return Signed(client=client, id=identity)
    raise SignatureError("signature_wrong", "no signature fits id, timestamp, body and secret")
