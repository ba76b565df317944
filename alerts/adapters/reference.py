"""The reference regulator API (docs/regulator-api.md): JSON, Standard Webhooks signature, receipts.

Source of the signature: https://www.standardwebhooks.com, version 1, symmetric.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from dataclasses import replace
from typing import Any, Literal
from urllib.parse import quote

import httpx
import msgspec

from alerts.adapters.base import Adapter, Delivery, Outcome
from alerts.adapters.exchange import Answer, exchange, refusal
from core.clock import Clock
from core.errors import ConfigurationError, NotFound
from core.evidence import EvidenceStore
from core.settings import TargetSettings

_MASKED = frozenset({"webhook-signature"})
_encoder = msgspec.json.Encoder(order="sorted")


class _Accepted(msgspec.Struct):
    receipt: str


class _Result(msgspec.Struct):
    status: Literal["pending", "validated", "rejected"]
    reason: str = ""


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
        event, missing = await self._with_pictures(delivery.payload)
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
            about=about,
        )
        if isinstance(answer, Outcome):
            return answer
        refused = refusal(answer, now=now)
        return answer if refused is None else _explained(refused, answer)

    async def _with_pictures(self, payload: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """The event with the pictures' bytes, and the digests of those that are gone: a violation goes without them."""
        pictures: list[dict[str, str]] = []
        missing: list[str] = []
        for part in payload["evidence"]:
            try:
                content = await asyncio.to_thread(self._evidence.open(part["sha256"]).read_bytes)
            except (NotFound, FileNotFoundError):
                missing.append(part["sha256"])
            else:
                pictures.append({**part, "data": base64.b64encode(content).decode()})
        return {**payload, "evidence": pictures}, missing


def _explained(refused: Outcome, answer: Answer) -> Outcome:
    """The refusal with the regulator's own code and message, where its body holds them."""
    body = answer.decode(_ErrorBody)
    if body is None:
        return refused
    error = body.error
    return replace(refused, reason=f"{refused.reason}: {error.code} {error.message}"[:500])
