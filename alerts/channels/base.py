"""What every channel takes and answers, and the call that those of our own make.

A channel is a module of this folder whose name is the scheme of its contacts, with one coroutine
`send(contact, outgoing, means)`. Schemes without a module are apprise's (`others`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx
import msgspec

from alerts.adapters.base import Outcome
from alerts.adapters.exchange import IN_DOUBT, Answer, exchange
from alerts.adapters.form.pointer import json_of
from alerts.notices.wording import Message
from core.clock import Clock
from core.settings import SmsSettings

_TOO_MANY = 429
_LONGEST_REST_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One message on its way; `reference` is the same however often it is tried, `alert` the first that it is about.

    `phone` is the person's number, `picture` a file that may be shown with it.
    """

    message: Message
    reference: str
    alert: int | None
    phase: str
    phone: str = ""
    picture: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What channels work with; `timeout_s` bounds a message as a whole."""

    client: httpx.AsyncClient
    threads: ThreadPoolExecutor
    clock: Clock
    timeout_s: float
    sms: SmsSettings | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """Whether the channel took the message; `error` says why not, without secrets. `usable`: a retry may help.

    `retry_after_s`: the channel asked to be left alone for so long. `lost`: no answer came, and the channel knows no
    keys by which the same message could be told: it may have arrived.
    """

    ok: bool
    error: str = ""
    usable: bool = True
    retry_after_s: float = 0.0
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Robot:
    """A group robot's address: `scheme://TOKEN?secret=...&base=https://...&picture=yes`."""

    token: str
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, contact: str, known: Sequence[str]) -> Robot | None:
        """None where the contact is no address of a robot."""
        try:
            parts = urlsplit(contact)
            options = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
        except ValueError:
            return None
        # Not `hostname`, which is in lower case.
        token = unquote(parts.netloc) or unquote(parts.path.strip("/"))
        if not token or "@" in token or set(options) - set(known):
            return None
        base = options.get("base", "https://")
        return cls(token, options) if base.startswith(("http://", "https://")) else None


NOT_AN_ADDRESS = Sent(ok=False, error="the contact is not an address that can be used", usable=False)


async def post_json(
    url: str, content: Mapping[str, Any], means: Means, *, hidden: Sequence[str], read: Callable[[Any], Sent]
) -> Sent:
    """Post JSON to a robot; `read` says what the JSON of a 2xx answer means. `hidden` are shown as `***`."""
    answer = await exchange(
        means.client,
        "POST",
        url,
        headers={"content-type": "application/json; charset=utf-8"},
        content=msgspec.json.encode(content),
        timeout_s=means.timeout_s,
        hidden=hidden,
        clock=means.clock,
    )
    if not isinstance(answer, Answer):
        return unanswered(answer)
    if answer.status // 100 != 2:
        return refused(answer)
    body = json_of(answer.body)
    if not isinstance(body, dict):
        return Sent(ok=False, error=f"status {answer.status}, but the answer is not the channel's: {answer.text[:200]}")
    return read(body)


def unanswered(outcome: Outcome) -> Sent:
    """What a call without an answer means."""
    return Sent(ok=False, error=outcome.reason, lost=outcome.kind == "no_reply")


def refused(answer: Answer) -> Sent:
    """What an HTTP status that is no success means; with some a gateway says that it lost the channel's answer."""
    after = answer.headers.get("retry-after", "")
    asked = float(after) if after.isdecimal() else 60.0 if answer.status == _TOO_MANY else 0.0
    text = " ".join(answer.text.split())[:200]
    return Sent(
        ok=False,
        error=f"status {answer.status}: {text}".rstrip(": "),
        retry_after_s=min(asked, _LONGEST_REST_S),
        lost=answer.status in IN_DOUBT,
    )


def cut(text: str, most_bytes: int) -> str:
    """The text in at most so many bytes of UTF-8; what was cut shows."""
    raw = text.encode()
    if len(raw) <= most_bytes:
        return text
    return raw[: most_bytes - 3].decode("utf-8", "ignore") + "…"
