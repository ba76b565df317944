"""One test call of a target, step by step: name, connection, certificate, and what its adapter can ask without harm."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx

from alerts.adapters.base import Adapter, Outcome, TriableAdapter
from core.clock import Clock
from core.logs import redact
from core.settings import TargetSettings

logger = logging.getLogger(__name__)

_LONGEST_S = 30.0
_SHOWN = 300
_TEXTS: Mapping[str, str] = {
    "resolved": "{host} is {addresses}",
    "not_resolved": "the name {host} was not found: {detail}",
    "connected": "port {port} of {address} takes connections",
    "not_connected": "port {port} of {host} does not take connections: {detail}",
    "secured": "{version}, certificate valid until {until}, issued by {issuer}",
    "plain": "the address is http: nothing is encrypted, and nobody proves to be the regulator",
    "certificate_invalid": "the certificate is not valid: {detail}",
    "tls_failed": "no encrypted connection came about: {detail}",
    "timed_out": "nothing came within {seconds} s",
    "signed_accepted": "the signed request was accepted (status {status})",
    "token_given": "a token was given out",
    "refused_credentials": "the regulator refuses client or signature (status {status}): {detail}",
    "clock_off": "refused, while its clock is {skew} s from ours: synchronise this machine's clock. {detail}",
    "redirected": "redirected (status {status}): correct the target's url. {detail}",
    "refused": "refused (status {status}): {detail}",
    "failed": "the regulator failed (status {status}): {detail}",
    "not_understood": "it answered (status {status}), but not in the words of its API: {detail}",
    "no_answer": "no answer: {detail}",
    "adapter_failed": "the adapter failed: {detail}; the log of the alerts process says more",
    "no_harmless_call": "adapter {adapter} has no call that reports nothing: log-in and signature were not tested",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that was tried, and what came of it."""

    step: Literal["dns", "tcp", "tls", "call"]
    result: Literal["ok", "failed", "skipped"]
    code: str
    values: dict[str, str] = field(default_factory=dict)
    text: str = ""
    duration_ms: float


class Trial:
    """A test call: it goes the way of a delivery (its client, its trust, its time-out) and reports nothing."""

    def __init__(
        self,
        target: TargetSettings,
        adapter: Adapter,
        *,
        client: httpx.AsyncClient,
        trust: ssl.SSLContext,
        clock: Clock,
    ) -> None:
        self._target = target
        self._adapter = adapter
        self._client = client
        self._trust = trust
        self._clock = clock
        parts = urlsplit(target.url)
        self._host = parts.hostname or ""
        self._secure = parts.scheme == "https"
        self._port = parts.port or (443 if self._secure else 80)
        self._timeout_s = min(target.timeout_s, _LONGEST_S)
        secrets = [target.secret, *target.secrets.values()]
        self._hidden = [one.get_secret_value() for one in secrets] + [parts.password or ""]
        self._steps: list[Step] = []
        self._began = 0.0

    @staticmethod
    def longest_s(target: TargetSettings) -> float:
        """The longest that a test may take: three steps, and a call with the target's own time-out."""
        return 3 * min(target.timeout_s, _LONGEST_S) + target.timeout_s

    async def run(self) -> list[Step]:
        """The steps up to the first that failed."""
        if await self._resolve() and await self._connect() and await self._secure_it():
            await self._call()
        return self._steps

    async def _resolve(self) -> bool:
        self._start()
        try:
            async with asyncio.timeout(self._timeout_s):
                loop = asyncio.get_running_loop()
                found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except TimeoutError:
            return self._timed_out("dns")
        except (OSError, UnicodeError) as error:
            return self._add("dns", "failed", "not_resolved", host=self._host, detail=_detail(error))
        addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
        return self._add("dns", "ok", "resolved", host=self._host, addresses=", ".join(addresses[:4]))

    async def _connect(self) -> bool:
        self._start()
        try:
            async with asyncio.timeout(self._timeout_s):
                _, writer = await asyncio.open_connection(self._host, self._port)
        except TimeoutError:
            return self._timed_out("tcp")
        except OSError as error:
            told = {"host": self._host, "port": str(self._port), "detail": _detail(error)}
            return self._add("tcp", "failed", "not_connected", **told)
        address = str(writer.get_extra_info("peername")[0])
        writer.transport.abort()
        return self._add("tcp", "ok", "connected", address=address, port=str(self._port))

    async def _secure_it(self) -> bool:
        self._start()
        if not self._secure:
            return self._add("tls", "skipped", "plain")
        try:
            async with asyncio.timeout(self._timeout_s):
                _, writer = await asyncio.open_connection(self._host, self._port, ssl=self._trust)
        except TimeoutError:
            return self._timed_out("tls")
        except ssl.SSLCertVerificationError as error:
            return self._add("tls", "failed", "certificate_invalid", detail=error.verify_message)
        except (ssl.SSLError, OSError) as error:
            return self._add("tls", "failed", "tls_failed", detail=_detail(error))
        session = writer.get_extra_info("ssl_object")
        certificate: dict[str, Any] = session.getpeercert() or {}
        writer.transport.abort()
        issuer = {name: value for part in certificate.get("issuer", ()) for name, value in part}
        told = {
            "version": str(session.version()),
            "until": str(certificate.get("notAfter", "")),
            "issuer": str(issuer.get("organizationName") or issuer.get("commonName") or "?"),
        }
        return self._add("tls", "ok", "secured", **told)

    async def _call(self) -> bool:
        self._start()
        if not isinstance(self._adapter, TriableAdapter) or self._adapter.trial is None:
            return self._add("call", "skipped", "no_harmless_call", adapter=self._target.adapter)
        try:
            outcome = await self._adapter.try_out(self._client)
        except Exception as error:
            logger.exception("adapter failed at a test call", extra={"target": self._target.name})
            return self._add("call", "failed", "adapter_failed", detail=f"{type(error).__name__}: {error}")
        if outcome.kind == "accepted":
            return self._add("call", "ok", self._adapter.trial, status=_status(outcome))
        told = {"status": _status(outcome), "detail": outcome.reason, "skew": f"{outcome.skew_s or 0:+.0f}"}
        return self._add("call", "failed", self._fault(outcome), **told)

    def _fault(self, outcome: Outcome) -> str:
        status = outcome.status
        if status is None:
            return "no_answer"
        if 200 <= status < 300:
            return "not_understood"
        if 300 <= status < 400:
            return "redirected"
        if status in (401, 403):
            apart = outcome.skew_s is not None and abs(outcome.skew_s) > self._target.max_skew_s
            return "clock_off" if apart else "refused_credentials"
        return "failed" if status >= 500 or status == 429 else "refused"

    def _start(self) -> None:
        self._began = self._clock.monotonic()

    def _timed_out(self, step: Literal["dns", "tcp", "tls"]) -> bool:
        return self._add(step, "failed", "timed_out", seconds=f"{self._timeout_s:g}")

    def _add(
        self,
        step: Literal["dns", "tcp", "tls", "call"],
        result: Literal["ok", "failed", "skipped"],
        code: str,
        **values: str,
    ) -> bool:
        """Note the step; True where the next one may be tried."""
        shown = {name: self._shown(value) for name, value in values.items()}
        duration_ms = (self._clock.monotonic() - self._began) * 1000
        text = _TEXTS[code].format(**shown)
        self._steps.append(
            Step(step=step, result=result, code=code, values=shown, text=text, duration_ms=round(duration_ms, 1))
        )
        return result != "failed"

    def _shown(self, value: str) -> str:
        # A regulator may send back what it was sent. PostgreSQL's JSON holds no NUL.
        for secret in self._hidden:
            if secret:
                value = value.replace(secret, "***")
        return redact(value.replace("\0", "\ufffd"))[:_SHOWN]


def _status(outcome: Outcome) -> str:
    return "–" if outcome.status is None else str(outcome.status)


def _detail(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        # asyncio puts words of its own there; numbers of name look-ups and of TLS are not the system's.
        system = error.errno if not isinstance(error, socket.gaierror | ssl.SSLError) else None
        return os.strerror(system) if system else error.strerror
    return str(error) or type(error).__name__
