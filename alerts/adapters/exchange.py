"""One HTTP call to a regulator that may be slow, broken or hostile, and what its answer means in general.

The answer is read at most to a cap and within one time-out from end to end; redirects are never followed, for a signed
violation must not travel to an address that nobody configured.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from alerts.adapters.base import Outcome
from core.clock import Clock
from core.logs import redact_url

Form = TypeVar("Form")

ANSWER_BYTES_MAX = 64 * 1024
_KEPT_CHARACTERS = 2048

# The call arrived and was refused as such: calling again without a change is of no use.
_CONFIGURATION = frozenset({400, 401, 403, 404, 405, 406, 409, 410, 411, 413, 414, 415, 422, 451, 501})
IN_DOUBT = frozenset({502, 504})
"""A gateway speaks here, not the receiver: whether the call got through is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP answer; `body` is cut at 64 KiB, `text` at 2 KB."""

    status: int
    headers: httpx.Headers
    body: bytes
    request: dict[str, Any]
    hidden: Sequence[str] = ()
    skew_s: float | None = None

    @property
    def text(self) -> str:
        """The start of the body as it is kept with the attempt."""
        # PostgreSQL text holds no NUL. What is hidden is cut out before the cut, which might leave half of it.
        start = self.body[: _KEPT_CHARACTERS * 8].decode("utf-8", "replace").replace("\0", "\ufffd")
        return _masked(start, self.hidden)[:_KEPT_CHARACTERS]

    @property
    def kept(self) -> dict[str, Any]:
        """The fields of an Outcome that show this answer."""
        return {"status": self.status, "request": self.request, "response": self.text, "skew_s": self.skew_s}

    def decode(self, form: type[Form]) -> Form | None:
        """The body as JSON of this form; None where it is anything else."""
        try:
            return msgspec.json.decode(self.body, type=form)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None


async def exchange(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    content: bytes,
    timeout_s: float,
    masked: frozenset[str] = frozenset(),
    clock: Clock,
    hidden: Sequence[str] = (),
    about: Mapping[str, Any] | None = None,
) -> Answer | Outcome:
    """Make one call; an Outcome where no answer came.

    `masked` names the headers (lower case) whose values are kept as `***`; `hidden` are secrets that are kept as `***`
    wherever they stand in address, headers, `about` or answer. `about` is added to what is kept of the request.
    """
    kept = {
        "method": method,
        "url": redact_url(_masked(url, hidden)),
        "headers": {
            name: "***" if name.lower() in masked else _masked(value, hidden) for name, value in headers.items()
        },
        "bytes": len(content),
        **{name: _masked(value, hidden) if isinstance(value, str) else value for name, value in (about or {}).items()},
    }
    try:
        async with (
            asyncio.timeout(timeout_s),
            # No compression: a small answer cannot unfold into a large one.
            client.stream(
                method,
                url,
                headers={"accept-encoding": "identity", **headers},
                content=content,
                follow_redirects=False,
                timeout=timeout_s,
            ) as response,
        ):
            body = await _read(response)
            return Answer(
                status=response.status_code,
                headers=response.headers,
                body=body,
                request=kept,
                hidden=hidden,
                skew_s=_skew_s(response.headers.get("date"), now=clock.now()),
            )
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError, UnicodeError) as error:
        return Outcome(kind="config_error", reason=f"the call cannot be made: {error}", request=kept)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
        return Outcome(kind="temporary", reason=_unreached(error), request=kept)
    except (httpx.TransportError, TimeoutError) as error:
        detail = str(error) or f"nothing within {timeout_s:g} s"
        return Outcome(kind="no_reply", reason=f"no reply: {detail}", request=kept)


def _skew_s(date: str | None, *, now: datetime) -> float | None:
    """The regulator's clock minus ours; None where it does not tell the time."""
    moment = _http_date(date)
    # The header tells whole seconds, cut off: half a second late on average.
    return None if moment is None else (moment - now).total_seconds() + 0.5


def _http_date(value: str | None) -> datetime | None:
    if not value:
        return None
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def _masked(text: str, hidden: Sequence[str]) -> str:
    for secret in hidden:
        if secret:
            text = text.replace(secret, "***").replace(quote(secret, safe=""), "***")
    return text


async def _read(response: httpx.Response) -> bytes:
    body = b""
    async for chunk in response.aiter_raw(16 * 1024):
        body += chunk
        if len(body) >= ANSWER_BYTES_MAX:
            break
    return body[:ANSWER_BYTES_MAX]


def _unreached(error: httpx.TransportError) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the regulator's certificate is not valid: {cause.verify_message}"
        cause = cause.__cause__ or cause.__context__
    return f"not reached: {error or type(error).__name__}"


def basic(client_id: str, secret: str) -> str:
    """The value of an Authorization header (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


def refusal(answer: Answer, *, now: datetime) -> Outcome | None:
    """What an answer outside 2xx means for any API; None for 2xx, which the adapter reads itself."""
    status = answer.status
    if 200 <= status < 300:
        return None
    kept = answer.kept
    if 300 <= status < 400:
        place = answer.headers.get("location", "nowhere")[:200]
        return Outcome(
            kind="config_error", reason=f"status {status}: redirected to {place}; correct the target's url", **kept
        )
    if status in _CONFIGURATION:
        return Outcome(kind="config_error", reason=f"status {status}: refused", **kept)
    if status in IN_DOUBT:
        return Outcome(kind="no_reply", reason=f"status {status}: a gateway lost the reply", **kept)
    return Outcome(
        kind="temporary",
        reason=f"status {status}: {'throttled' if status == 429 else 'failed'}",
        retry_after_s=retry_after_s(answer.headers.get("retry-after"), now=now),
        **kept,
    )


def retry_after_s(value: str | None, *, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for, in either of its forms; None where it is absent or nonsense."""
    if not value:
        return None
    if value.strip().isdecimal():
        # More digits than any sane wait: the caller caps it.
        return float(value.strip()[:9])
    moment = _http_date(value)
    return None if moment is None else max((moment - now).total_seconds(), 0.0)
