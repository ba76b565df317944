"""`sms://` (the person's phone) or `sms://+8613...`: text messages through the gateway of `[alerts.notify.sms]`.

Providers differ in how a call looks: that is configuration, in the words of the form adapter for regulators. They
agree in that a text is an approved template whose blanks the caller fills.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

import msgspec
from pydantic import Field, ValidationError, model_validator

from alerts.adapters.exchange import Answer as HttpAnswer
from alerts.adapters.exchange import exchange
from alerts.adapters.form.answers import read_send
from alerts.adapters.form.options import (
    Answer,
    BasicAuth,
    BodyStyle,
    Call,
    Code,
    HeaderAuth,
    NoAuth,
    Path,
    SignatureAuth,
    Template,
    text_of,
)
from alerts.adapters.form.pointer import at, json_of
from alerts.adapters.form.request import put_together
from alerts.adapters.form.templates import fill, names_in
from alerts.channels.base import Means, Outgoing, Sent, cut, refused, unanswered
from core.errors import ConfigurationError
from core.settings import Section, SmsSettings

_NUMBER = re.compile(r"^\+?[0-9]{5,20}$")
_WORDS = frozenset(
    {"phone", "text", "title", "link", "reference", "client_id"}
    | {"severity", "site", "rule", "subject", "value", "limit", "unit", "time", "end", "action", "minutes", "count"}
)

Auth = Annotated[NoAuth | BasicAuth | HeaderAuth | SignatureAuth, Field(discriminator="kind")]


class Options(Section):
    """What a call to the gateway looks like and what its answer means."""

    path: Path = Field(default="/", description="Path behind the gateway's url.")
    body: BodyStyle = Field(default="json", description="JSON, a form, or a form of which one field holds JSON.")
    form_field: str = Field(default="params", description="Name of that field, for form-json.")
    params: dict[str, Template] = Field(default={}, description="Parameters beside the fields.")
    headers: dict[str, str] = Field(default={}, description="Headers of every call.")
    fields: dict[str, Any] = Field(
        min_length=1,
        description="What is sent: name -> template, or a table or list of them. A table in a form becomes JSON.",
    )
    longest: int = Field(default=280, ge=20, le=4000, description="Bytes of {text} at most.")
    auth: Auth = Field(default=NoAuth(), description="How the gateway knows us.")
    answer: Answer = Field(default=Answer(), description="What the answers mean.")
    throttled: list[Code] = Field(default=[], description="Codes of `answer.code` that say: too many messages.")
    throttled_s: float = Field(default=60, gt=0, le=3600, description="Seconds to rest after one of them.")
    time_zone: str = Field(default="Asia/Shanghai", description="Zone of the times of a signature.")

    @model_validator(mode="after")
    def _words_are_known(self) -> Options:
        unknown = sorted(_named(self.fields) - _WORDS)
        if unknown:
            raise ValueError(f"fields name {unknown[0]}; there are {', '.join(sorted(_WORDS))}")
        return self


async def send(contact: str, outgoing: Outgoing, means: Means) -> Sent:
    """Make one call to the gateway."""
    if means.sms is None:
        return Sent(ok=False, error="there is no gateway for text messages: set [alerts.notify.sms]")
    number = _number(contact) or outgoing.phone.replace(" ", "").replace("-", "")
    if not _NUMBER.match(number):
        return Sent(ok=False, error="the person has no usable phone number", usable=False)
    settings, options = means.sms, options_of(means.sms)
    secret = settings.secret.get_secret_value()
    message = outgoing.message
    words = dict.fromkeys(_WORDS, "") | {
        **message.words,
        "phone": number,
        "title": message.title,
        "text": cut(f"{message.title} {' '.join(message.text.split())}", options.longest),
        "link": message.link,
        "reference": outgoing.reference,
        "client_id": settings.client_id,
    }
    secrets = {f"secrets.{name}": value.get_secret_value() for name, value in settings.secrets.items()}
    request = put_together(
        Call(path=options.path, body=options.body, form_field=options.form_field, params=options.params),
        _filled(options.fields, words, flat=options.body == "form"),
        options.auth,
        {"client_id": settings.client_id, "secret": secret, "key": outgoing.reference, **secrets},
        token="",
        now=means.clock.now(),
        zone=ZoneInfo(options.time_zone),
    )
    answer = await exchange(
        means.client,
        "POST",
        settings.url.rstrip("/") + request.path,
        headers={**options.headers, **request.headers},
        content=request.content,
        timeout_s=means.timeout_s,
        # A phone number is personal: it stays out of what is kept.
        hidden=[secret, number, *secrets.values(), *request.hidden],
        clock=means.clock,
    )
    return _read(answer, options, means.clock.now()) if isinstance(answer, HttpAnswer) else unanswered(answer)


def options_of(settings: SmsSettings) -> Options:
    """The checked options.

    Raises:
        ConfigurationError: they do not describe a call.
    """
    return _checked(msgspec.json.encode(settings.options))


@cache
def _checked(options: bytes) -> Options:
    try:
        return Options.model_validate_json(options)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
            for fault in error.errors(include_input=False)
        )
        raise ConfigurationError(
            f"alerts.notify.sms.options: {faults}", hint="see docs/notifications.md for what they hold"
        ) from error


def _read(answer: HttpAnswer, options: Options, now: datetime) -> Sent:
    outcome, _ = read_send(answer, options.answer, now=now)
    if outcome.kind == "accepted":
        return Sent(ok=True)
    if answer.status not in options.answer.statuses:
        return refused(answer)
    code = text_of(at(json_of(answer.body), options.answer.code)) if options.answer.code else ""
    rest = options.throttled_s if code and code in map(text_of, options.throttled) else 0.0
    return Sent(ok=False, error=outcome.reason, retry_after_s=rest)


def _number(contact: str) -> str:
    return unquote(urlsplit(contact).netloc)


def _filled(value: Any, words: dict[str, str], *, flat: bool, top: bool = True) -> Any:
    if isinstance(value, dict):
        filled = {name: _filled(inner, words, flat=flat, top=False) for name, inner in value.items()}
        if not top or not flat:
            return filled
        return {
            name: msgspec.json.encode(inner).decode() if isinstance(inner, dict | list) else inner
            for name, inner in filled.items()
        }
    if isinstance(value, list):
        return [_filled(inner, words, flat=flat, top=False) for inner in value]
    return fill(value, words.__getitem__) if isinstance(value, str) else value


def _named(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set().union(*map(_named, value.values()))
    if isinstance(value, list):
        return set().union(*map(_named, value))
    return names_in(value) if isinstance(value, str) else set()
