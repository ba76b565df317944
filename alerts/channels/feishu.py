"""`feishu://TOKEN?secret=...`: a custom robot of a Feishu group, signed, with a card.

Vendor documentation "custom bot usage guide": 100 messages a minute and 5 a second, 20 KB each; the signature is the
HMAC-SHA-256 of nothing under the key "timestamp\\nsecret", valid for an hour.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime
from typing import Any

from alerts.channels.base import NOT_AN_ADDRESS, Means, Outgoing, Robot, Sent, cut, post_json

_BASE = "https://open.feishu.cn"
_TEXT_BYTES = 15_000
_COLOURS = {"info": "blue", "warning": "yellow", "major": "orange", "critical": "red"}
# Too many of this robot; too many of the whole service.
_THROTTLED = {11232: 60.0, 11233: 60.0, 9499: 10.0}


async def send(contact: str, outgoing: Outgoing, means: Means) -> Sent:
    """Post one card."""
    robot = Robot.of(contact, ("secret", "base"))
    if robot is None:
        return NOT_AN_ADDRESS
    secret = robot.options.get("secret", "")
    signed = signature(secret, means.clock.now()) if secret else {}
    base = robot.options.get("base", _BASE).rstrip("/")
    return await post_json(
        f"{base}/open-apis/bot/v2/hook/{robot.token}",
        signed | {"msg_type": "interactive", "card": _card(outgoing)},
        means,
        hidden=[robot.token, secret],
        read=_read,
    )


def signature(secret: str, now: datetime) -> dict[str, str]:
    """`timestamp` (seconds, as text) and `sign` of a call."""
    timestamp = str(int(now.timestamp()))
    digest = hmac.new(f"{timestamp}\n{secret}".encode(), b"", hashlib.sha256).digest()
    return {"timestamp": timestamp, "sign": base64.b64encode(digest).decode()}


def _card(outgoing: Outgoing) -> dict[str, Any]:
    message = outgoing.message
    # Plain text: names of sites and devices must not turn into markup.
    elements: list[dict[str, Any]] = [
        {"tag": "div", "text": {"tag": "plain_text", "content": cut(message.text, _TEXT_BYTES)}}
    ]
    if message.link:
        button = {
            "tag": "button",
            "text": {"tag": "plain_text", "content": message.label},
            "url": message.link,
            "type": "primary",
        }
        elements.append({"tag": "action", "actions": [button]})
    colour = "green" if message.over else _COLOURS[message.severity]
    return {
        "config": {"wide_screen_mode": True},
        "header": {"title": {"tag": "plain_text", "content": cut(message.title, 500)}, "template": colour},
        "elements": elements,
    }


def _read(body: dict[str, Any]) -> Sent:
    code = body.get("code", body.get("StatusCode"))
    if code == 0:
        return Sent(ok=True)
    rest = _THROTTLED.get(code, 0.0) if isinstance(code, int) else 0.0
    return Sent(ok=False, error=f"code {code}: {body.get('msg', '')}"[:300], retry_after_s=rest)
