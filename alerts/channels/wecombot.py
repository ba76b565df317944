"""`wecombot://KEY`: a robot of a WeCom group, with markdown and, by `?picture=yes`, the evidence picture.

Vendor documentation "group robot": 20 messages a minute; markdown up to 4096 bytes; a picture is JPEG or PNG up to
2 MB, as base64 with the MD5 of its bytes, in a message of its own. Pictures may show people: they are off by default.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from pathlib import Path
from typing import Any

from alerts.channels.base import NOT_AN_ADDRESS, Means, Outgoing, Robot, Sent, cut, post_json
from alerts.notices.wording import Message

_BASE = "https://qyapi.weixin.qq.com"
_TEXT_BYTES = 4096
_PICTURE_BYTES = 2 * 1024 * 1024
_THROTTLED = {45009: 60.0, 45033: 10.0, -1: 5.0}
_MARKUP = re.compile(r"[<>`*\[\]_#]")


async def send(contact: str, outgoing: Outgoing, means: Means) -> Sent:
    """Post the message, then its picture; a picture that does not go out leaves the message sent."""
    robot = Robot.of(contact, ("base", "picture"))
    if robot is None:
        return NOT_AN_ADDRESS
    url = f"{robot.options.get('base', _BASE).rstrip('/')}/cgi-bin/webhook/send?key={robot.token}"

    async def post(content: dict[str, Any]) -> Sent:
        return await post_json(url, content, means, hidden=[robot.token], read=_read)

    sent = await post({"msgtype": "markdown", "markdown": {"content": _markdown(outgoing.message)}})
    if not sent.ok or outgoing.picture is None or robot.options.get("picture") != "yes":
        return sent
    picture = await asyncio.to_thread(_picture, outgoing.picture)
    if picture is None:
        return Sent(ok=True, error="the picture was left out: it is larger than 2 MB or gone")
    followed = await post({"msgtype": "image", "image": picture})
    return Sent(ok=True, error=f"the picture was left out: {followed.error}" if not followed.ok else "")


def _markdown(message: Message) -> str:
    colour = "info" if message.over else "comment" if message.severity == "info" else "warning"
    # The link comes first in the budget: a message that is cut must still be acknowledged.
    link = f"\n[{message.label}]({message.link})" if message.link else ""
    head = f'<font color="{colour}">**{_plain(message.title)}**</font>\n'
    room = _TEXT_BYTES - len(link.encode()) - len(head.encode())
    quoted = "\n".join(f">{_plain(line)}" for line in message.text.splitlines())
    return f"{head}{cut(quoted, room)}{link}"


def _plain(text: str) -> str:
    """Names of sites and devices must not turn into markup."""
    return _MARKUP.sub(" ", text)


def _picture(path: Path) -> dict[str, str] | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if len(data) > _PICTURE_BYTES:
        return None
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return {"base64": base64.b64encode(data).decode(), "md5": digest}


def _read(body: dict[str, Any]) -> Sent:
    code = body.get("errcode")
    if code == 0:
        return Sent(ok=True)
    rest = _THROTTLED.get(code, 0.0) if isinstance(code, int) else 0.0
    return Sent(ok=False, error=f"errcode {code}: {body.get('errmsg', '')}"[:300], retry_after_s=rest)
