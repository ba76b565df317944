"""`dingtalk://TOKEN?secret=...`: a custom robot of a DingTalk group, signed, with markdown.

Vendor documentation "custom robot": 20 messages a minute, beyond that the robot is silent for ten minutes; the
signature is the HMAC-SHA-256 of "timestamp\\nsecret" under the secret, valid for an hour. It answers 200 to what it
refuses, with the reason in `errcode`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from alerts.channels.base import NOT_AN_ADDRESS, Means, Outgoing, Robot, Sent, cut, post_json
from core.clock import micros

_BASE = "https://oapi.dingtalk.com"
_TEXT_BYTES = 15_000
_THROTTLED = {130101: 600.0, 410100: 600.0, -1: 5.0}


async def send(contact: str, outgoing: Outgoing, means: Means) -> Sent:
    """Post one message."""
    robot = Robot.of(contact, ("secret", "base"))
    if robot is None:
        return NOT_AN_ADDRESS
    secret = robot.options.get("secret", "")
    query = {"access_token": robot.token, **(signature(secret, means.clock.now()) if secret else {})}
    message = outgoing.message
    lines = [f"### {message.title}", *message.text.splitlines()]
    text = cut("\n\n".join(lines), _TEXT_BYTES)
    if message.link:
        text += f"\n\n[{message.label}]({message.link})"
    base = robot.options.get("base", _BASE).rstrip("/")
    return await post_json(
        f"{base}/robot/send?{urlencode(query)}",
        {"msgtype": "markdown", "markdown": {"title": cut(message.title, 500), "text": text}},
        means,
        hidden=[robot.token, secret],
        read=_read,
    )


def signature(secret: str, now: datetime) -> dict[str, str]:
    """`timestamp` (milliseconds) and `sign` of a call."""
    timestamp = str(micros(now) // 1000)
    digest = hmac.new(secret.encode(), f"{timestamp}\n{secret}".encode(), hashlib.sha256).digest()
    return {"timestamp": timestamp, "sign": base64.b64encode(digest).decode()}


def _read(body: dict[str, Any]) -> Sent:
    code = body.get("errcode")
    if code == 0:
        return Sent(ok=True)
    rest = _THROTTLED.get(code, 0.0) if isinstance(code, int) else 0.0
    return Sent(ok=False, error=f"errcode {code}: {body.get('errmsg', '')}"[:300], retry_after_s=rest)
