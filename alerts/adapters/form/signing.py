"""Signatures: parameters, the text over which they are digested, and the digest."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from alerts.adapters.form.options import SignatureAuth
from alerts.adapters.form.templates import fill
from alerts.adapters.form.values import written

_ALPHABET = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """Parameters of a call with the signature among them, and the signature alone, to be masked."""

    params: dict[str, str]
    signature: str


def sign(
    auth: SignatureAuth,
    words: Mapping[str, str],
    *,
    params: Mapping[str, str],
    besides: Mapping[str, str],
    now: datetime,
    zone: ZoneInfo,
) -> Signed:
    """Sign one call.

    `words` are client_id, secret, secrets.NAME, method, path, key and body; `params` the call's own parameters as
    templates; `besides` what stands in the same form or body and is signed with them.
    """
    known = {
        **words,
        "timestamp": str(written(now, auth.timestamp, zone)),
        "nonce": "".join(secrets.choice(_ALPHABET) for _ in range(auth.nonce_length)),
    }
    sent = {name: fill(template, known.__getitem__) for name, template in {**auth.params, **params}.items()}
    together = {**besides, **sent}
    known["params"] = auth.joint.join(f"{name}{auth.pair}{together[name]}" for name in sorted(together))
    text = fill(auth.text, {**known, **together}.__getitem__)
    signature = digest(auth, text.lower() if auth.lower else text, key=words["secret"])
    return Signed(params={**sent, auth.name: signature}, signature=signature)


def digest(auth: SignatureAuth, text: str, *, key: str) -> str:
    """The digest of a text, written as the options say."""
    name = auth.digest.removeprefix("hmac-")
    if name != auth.digest:
        raw = hmac.new(key.encode(), text.encode(), name).digest()
    else:
        raw = hashlib.new(name, text.encode(), usedforsecurity=False).digest()
    if auth.encoding == "base64":
        return base64.b64encode(raw).decode()
    return raw.hex().upper() if auth.encoding == "HEX" else raw.hex()
