"""The reference regulator API (docs/regulator-api.md): JSON, Standard Webhooks signature, receipts.

Source of the signature: https://www.standardwebhooks.com, version 1, symmetric.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote, urlencode

import httpx
import msgspec

from alerts.adapters.base import Adapter, Delivery, Held, Outcome
from alerts.adapters.exchange import Answer, exchange, refusal
from alerts.adapters.pictures import with_pictures
from core.clock import Clock, from_micros, micros
from core.errors import ConfigurationError, Unavailable
from core.evidence import EvidenceStore
from core.settings import TargetSettings

_MASKED = frozenset({"webhook-signature"})
_encoder = msgspec.json.Encoder(order="sorted")


class _Accepted(msgspec.Struct):
    receipt: str


class _Result(msgspec.Struct):
    status: Literal["pending", "validated", "rejected"]
    reason: str = ""


class _Item(msgspec.Struct):
    key: str
    receipt: str
    arrived_ms: int
    times: int
    status: Literal["pending", "validated", "rejected"]
    reason: str = ""


class _Page(msgspec.Struct):
    items: list[_Item]
    next: int | None = None


class _ErrorPart(msgspec.Struct):
    code: str = ""
    message: str = ""


class _ErrorBody(msgspec.Struct):
    error: _ErrorPart


def create(target: TargetSettings, *, evidence: EvidenceStore, clock: Clock) -> Adapter:
    """The adapter of a target; raise ConfigurationError where client or secret is missing or unusable."""
    if not target.client_id:
        raise ConfigurationError(f"target {target.name} has no client_id", hint="the regulator gives it out")
    return ReferenceAdapter(
        url=target.url.rstrip("/"),
        client_id=target.client_id,
        key=secret_key(target.secret.get_secret_value(), name=target.name),
        timeout_s=target.timeout_s,
        evidence=evidence,
        clock=clock,
    )


def amends(target: TargetSettings) -> bool:
    """Always: the API has `amendment`."""
    del target
    return True


def secret_key(secret: str, *, name: str) -> bytes:
    """The bytes inside `whsec_<base64>`; raise ConfigurationError where it is not one."""
    hint = "copy it as the regulator gave it out: whsec_<base64>"
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        # The cause is left out: it might show the secret.
        raise ConfigurationError(f"the secret of target {name} is not base64", hint=hint) from None
    if not key:
        raise ConfigurationError(f"target {name} has no secret", hint=hint)
    return key


def sign(key: bytes, *, identity: str, timestamp_s: int, body: bytes) -> str:
    """The value of `webhook-signature`."""
    digest = hmac.new(key, f"{identity}.{timestamp_s}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


class ReferenceAdapter:
    """Sends the canonical event as it is, with its pictures in it, and polls the receipt."""

    asynchronous = True
    trial: Literal["signed_accepted", "token_given"] | None = "signed_accepted"

    def __init__(
        self, *, url: str, client_id: str, key: bytes, timeout_s: float, evidence: EvidenceStore, clock: Clock
    ) -> None:
        self._url = url
        self._client_id = client_id
        self._key = key
        self._timeout_s = timeout_s
        self._evidence = evidence
        self._clock = clock

    async def send(self, client: httpx.AsyncClient, delivery: Delivery) -> Outcome:
        """202, or 200 for a key that is known: accepted with a receipt."""
        event, missing = await with_pictures(delivery.payload, self._evidence)
        answer = await self._call(
            client,
            "POST",
            "/api/v1/violations",
            identity=delivery.idempotency_key,
            body=_encoder.encode(event),
            about={"evidence_missing": missing} if missing else None,
        )
        if isinstance(answer, Outcome):
            return answer
        accepted = answer.decode(_Accepted)
        if accepted is None or not accepted.receipt:
            # Something said yes, but not in the words of this API: a proxy's page, or a reply that was cut.
            reason = f"status {answer.status}, but the answer holds no receipt"
            return Outcome(kind="no_reply", reason=reason, **answer.kept)
        return Outcome(kind="accepted", receipt=accepted.receipt[:200], **answer.kept)

    async def poll(self, client: httpx.AsyncClient, delivery: Delivery) -> Outcome:
        """The receipt's result. The call is signed over an empty body, with the receipt as its id."""
        receipt = delivery.receipt or ""
        answer = await self._call(
            client, "GET", f"/api/v1/receipts/{quote(receipt, safe='')}", identity=receipt, body=b""
        )
        if isinstance(answer, Outcome):
            return answer
        result = answer.decode(_Result)
        if result is None:
            return Outcome(kind="temporary", reason="the answer holds no result", **answer.kept)
        if result.status == "rejected":
            return Outcome(kind="rejected", reason=result.reason[:500] or "rejected without a reason", **answer.kept)
        return Outcome(kind=result.status, **answer.kept)

    async def try_out(self, client: httpx.AsyncClient) -> Outcome:
        """Ask, signed, for the list of an empty span."""
        now = micros(self._clock.now()) // 1000
        path = f"/api/v1/violations?{urlencode({'since': now, 'until': now, 'after': 0})}"
        answer = await self._call(client, "GET", path, identity=path, body=b"")
        if isinstance(answer, Outcome):
            return answer
        if answer.decode(_Page) is None:
            return Outcome(kind="config_error", reason="the answer is no list", **answer.kept)
        return Outcome(kind="accepted", **answer.kept)

    async def held(self, client: httpx.AsyncClient, since: datetime, until: datetime) -> AsyncIterator[Held]:
        """The list of what arrived from us, page by page; raise Unavailable where it is not to be had."""
        after = 0
        while True:
            span = {"since": micros(since) // 1000, "until": micros(until) // 1000, "after": after}
            path = f"/api/v1/violations?{urlencode(span)}"
            answer = await self._call(client, "GET", path, identity=path, body=b"")
            page = None if isinstance(answer, Outcome) else answer.decode(_Page)
            if page is None:
                reason = answer.reason if isinstance(answer, Outcome) else "the answer is no list"
                raise Unavailable(f"the regulator does not tell what it has: {reason}")
            for item in page.items:
                yield _held(item)
            if page.next is None:
                return
            after = page.next

    async def holds(self, client: httpx.AsyncClient, key: str, receipt: str) -> Held | None:
        """The report of a receipt; raise Unavailable where that is not to be had."""
        path = f"/api/v1/receipts/{quote(receipt, safe='')}"
        answer = await self._call(client, "GET", path, identity=receipt, body=b"")
        if isinstance(answer, Outcome):
            if answer.status == 404:
                return None
            raise Unavailable(f"the regulator does not tell what it has: {answer.reason}")
        result = answer.decode(_Result)
        if result is None:
            raise Unavailable("the regulator does not tell what it has: the answer is no result")
        return Held(key=key, arrived_at=self._clock.now(), times=1, status=result.status, reason=result.reason)

    async def _call(
        self,
        client: httpx.AsyncClient,
        method: str,
        path: str,
        *,
        identity: str,
        body: bytes,
        about: dict[str, Any] | None = None,
    ) -> Answer | Outcome:
        """One signed call; an Outcome where it did not come to a 2xx answer."""
        now = self._clock.now()
        timestamp_s = int(now.timestamp())
        answer = await exchange(
            client,
            method,
            self._url + path,
            headers={
                "content-type": "application/json",
                "x-client-id": self._client_id,
                "webhook-id": identity,
                "webhook-timestamp": str(timestamp_s),
                "webhook-signature": sign(self._key, identity=identity, timestamp_s=timestamp_s, body=body),
            },
            content=body,
            timeout_s=self._timeout_s,
            masked=_MASKED,
            clock=self._clock,
            about=about,
        )
        if isinstance(answer, Outcome):
            return answer
        refused = refusal(answer, now=now)
        return answer if refused is None else _explained(refused, answer)


def _held(item: _Item) -> Held:
    return Held(
        key=item.key,
        arrived_at=from_micros(item.arrived_ms * 1000),
        times=item.times,
        status=item.status,
        reason=item.reason,
    )


def _explained(refused: Outcome, answer: Answer) -> Outcome:
    """The refusal with the regulator's own code and message, where its body holds them."""
    body = answer.decode(_ErrorBody)
    if body is None:
        return refused
    error = body.error
    return replace(refused, reason=f"{refused.reason}: {error.code} {error.message}"[:500])
