"""Puts one call together: fields, body, parameters and authentication."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

import msgspec

from alerts.adapters.exchange import basic
from alerts.adapters.form.mapping import plain
from alerts.adapters.form.options import BasicAuth, Call, HeaderAuth, NoAuth, OAuth2Auth, SignatureAuth
from alerts.adapters.form.signing import sign
from alerts.adapters.form.templates import fill

_SHOWN_CHARACTERS = 2048
_SHOWN_VALUE = 120
_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A call that is ready: `path` with its query, `shown` what is kept of its body, `hidden` what is masked."""

    path: str
    headers: dict[str, str]
    content: bytes
    shown: str
    hidden: list[str] = field(default_factory=list)


def put_together(
    call: Call,
    fields: dict[str, Any],
    auth: NoAuth | BasicAuth | HeaderAuth | OAuth2Auth | SignatureAuth,
    words: Mapping[str, str],
    *,
    token: str,
    now: datetime,
    zone: ZoneInfo,
) -> Request:
    """The request of a call with its filled fields.

    `words` are what templates may name: client_id, secret, secrets.NAME, key. `token` is the bearer token of OAuth 2.
    """
    path = fill(call.path, lambda name: quote(words[name], safe=""))
    form: dict[str, str] | None = None
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    text = ""
    if call.method == "GET":
        query = {name: plain(value) for name, value in fields.items()}
    elif call.body == "form":
        form = {name: plain(value) for name, value in fields.items()}
        text = urlencode(form)
    else:
        text = _json(fields)
        form = {call.form_field: text} if call.body == "form-json" else None
    words = {**words, "method": call.method, "path": path, "body": text}
    hidden: list[str] = []
    if isinstance(auth, SignatureAuth):
        place = "query" if call.method == "GET" and auth.place in ("form", "body") else auth.place
        besides = {
            "query": query,
            "headers": {},
            "form": form or {},
            "body": {name: plain(value) for name, value in fields.items() if not isinstance(value, dict | list)},
        }[place]
        signed = sign(auth, words, params=call.params, besides=besides, now=now, zone=zone)
        hidden.append(signed.signature)
        if place == "query":
            query = {**query, **signed.params}
        elif place == "headers":
            headers.update(signed.params)
        elif place == "form":
            form = {**(form or {}), **signed.params}
        else:
            fields = {**fields, **signed.params}
            text = _json(fields)
    else:
        query = {**query, **{name: fill(value, words.__getitem__) for name, value in call.params.items()}}
        if isinstance(auth, BasicAuth):
            headers["authorization"] = basic(words["client_id"], words["secret"])
            hidden.append(headers["authorization"])
        elif isinstance(auth, HeaderAuth):
            headers[auth.name] = fill(auth.value, words.__getitem__)
            hidden.append(headers[auth.name])
        elif isinstance(auth, OAuth2Auth):
            headers[auth.header] = f"{auth.scheme} {token}".strip()
            hidden.append(token)
    if call.method == "GET":
        content, shown = b"", ""
    elif form is not None:
        headers["content-type"] = _FORM
        content = urlencode(form).encode()
        shown = _json({**form, **({call.form_field: _short(fields)} if call.body == "form-json" else {})})
    else:
        headers["content-type"] = _JSON
        content = text.encode()
        shown = _json(_short(fields))
    return Request(
        path=path + (f"?{urlencode(query, quote_via=quote)}" if query else ""),
        headers=headers,
        content=content,
        shown=shown[:_SHOWN_CHARACTERS],
        hidden=[value for value in hidden if value],
    )


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _short(value: Any) -> Any:
    """The value with long texts (pictures) cut."""
    if isinstance(value, str) and len(value) > _SHOWN_VALUE:
        return f"{value[:_SHOWN_VALUE]}... ({len(value)} characters)"
    if isinstance(value, dict):
        return {name: _short(inner) for name, inner in value.items()}
    return [_short(inner) for inner in value] if isinstance(value, list) else value
