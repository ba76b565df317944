"""The reference adapter: its signature, and what it makes of answers that no regulator should give."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import ipaddress
import json
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import ValidationError
from standardwebhooks import Webhook

from alerts import adapters
from alerts.adapters.base import Delivery, Outcome
from alerts.adapters.exchange import retry_after_s
from alerts.settlement import RESENT, backoff_s, settle_poll, settle_send
from core.clock import SystemClock
from core.evidence import EvidenceStore
from core.settings import TargetSettings
from tests.alerts.outgoing import target
from tests.support.regulator import SECRET, violation

NOW = datetime(2026, 8, 1, 8, 0, tzinfo=UTC)
Answering = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


def delivery(**changes: object) -> Delivery:
    made = Delivery(
        id=1,
        alert_id=7,
        target="bureau",
        phase="raise",
        idempotency_key="smartsite-7-raise-0-abc",
        payload=violation(),
        state="pending",
        reason="",
        attempts=0,
        pending_since=NOW,
        accepted_at=None,
        receipt=None,
        doubted_since=None,
    )
    return replace(made, **changes)


@contextlib.asynccontextmanager
async def server(answer: Answering, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A raw TCP server that reads one request and answers as it likes."""

    serving: set[asyncio.Task[None]] = set()
    handling: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            body = await reader.readexactly(int(lengths[0].split(b":")[1]) if lengths else 0)
            await answer(head + body, writer)
            await writer.drain()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handling.add(asyncio.current_task())
        task = asyncio.create_task(serve(reader, writer))
        serving.add(task)
        await asyncio.wait({task})
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    port = listening.sockets[0].getsockname()[1]
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    finally:
        listening.close()
        for task in serving:
            task.cancel()
        # They close what they opened.
        await asyncio.gather(*(task for task in handling if task is not None))


async def send(url: str, tmp_path: Path, **changes: object) -> Outcome:
    return await call(target(url), tmp_path, delivery(**changes))


async def call(to: TargetSettings, tmp_path: Path, what: Delivery) -> Outcome:
    adapter = adapters.create(to, evidence=EvidenceStore(tmp_path), clock=SystemClock())
    async with httpx.AsyncClient(trust_env=False) as client:
        return await (adapter.poll if what.state == "accepted" else adapter.send)(client, what)


def plain(status: str, body: bytes = b"", *headers: str) -> Answering:
    async def answer(_request: bytes, writer: asyncio.StreamWriter) -> None:
        head = "\r\n".join([f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers, "", ""])
        writer.write(head.encode() + body)

    return answer


async def test_an_independent_implementation_verifies_the_signature(tmp_path: Path) -> None:
    seen: list[bytes] = []

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(request)
        await plain("202 Accepted", b'{"receipt": "R1"}')(request, writer)

    async with server(answer) as url:
        outcome = await send(url, tmp_path)
    assert (outcome.kind, outcome.receipt) == ("accepted", "R1")
    head, _, body = seen[0].partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    content = Webhook(SECRET).verify(body, headers)
    assert content == violation()
    assert headers["webhook-id"] == "smartsite-7-raise-0-abc"
    assert SECRET not in json.dumps(outcome.request)
    assert headers["webhook-signature"] not in json.dumps(outcome.request)


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (plain("302 Found", b"", "location: http://elsewhere/"), "config_error", "redirected to http://elsewhere"),
        (plain("308 Permanent Redirect"), "config_error", "redirected to nowhere"),
        (plain("400 Bad", b'{"error": {"code": "malformed", "message": "no"}}'), "config_error", "malformed no"),
        (plain("401 Unauthorized", b"<html>"), "config_error", "status 401"),
        (plain("404 Not Found"), "config_error", "status 404"),
        (plain("422 Unprocessable", b'{"error": []}'), "config_error", "status 422"),
        (plain("408 Request Timeout"), "temporary", "status 408"),
        (plain("429 Too Many Requests", b"", "retry-after: 17"), "temporary", "throttled"),
        (plain("500 Oh", b"\xff\xfe\x00"), "temporary", "status 500"),
        (plain("503 Oh", b'{"error": {"message": "\xff"}}'), "temporary", "status 503"),
        (plain("502 Bad Gateway"), "no_reply", "gateway lost the reply"),
        (plain("504 Gateway Timeout"), "no_reply", "gateway lost the reply"),
        (plain("200 OK", b"<html>please log in</html>"), "no_reply", "holds no receipt"),
        (plain("200 OK", b'{"receipt": 5}'), "no_reply", "holds no receipt"),
        (plain("200 OK", b'{"receipt": ""}'), "no_reply", "holds no receipt"),
        (plain("200 OK", b'{"x":' + b"[" * 60_000), "no_reply", "holds no receipt"),
        (plain("200 OK", b'{"receipt": "\xff"}'), "no_reply", "holds no receipt"),
        (plain("204 No Content"), "no_reply", "holds no receipt"),
        (plain("600 Beyond"), "temporary", "status 600"),
    ],
)  # fmt: skip
async def test_answers_are_classified(tmp_path: Path, answer: Answering, kind: str, words: str) -> None:
    async with server(answer) as url:
        outcome = await send(url, tmp_path)
    assert outcome.kind == kind
    assert words in outcome.reason
    assert "\0" not in outcome.response
    if words == "throttled":
        assert outcome.retry_after_s == 17


async def test_a_huge_answer_is_cut(tmp_path: Path) -> None:
    written = 0

    async def answer(_request: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
            written += 65536

    async with server(answer) as url:
        outcome = await send(url, tmp_path)
    assert outcome.kind == "no_reply"
    assert len(outcome.response) == 2048
    assert written < 50_000_000


async def test_a_compressed_answer_is_not_unfolded(tmp_path: Path) -> None:
    bomb = gzip.compress(b"x" * 10_000_000)
    async with server(plain("200 OK", bomb, "content-encoding: gzip")) as url:
        outcome = await send(url, tmp_path)
    assert outcome.kind == "no_reply"


@pytest.mark.parametrize(
    ("first", "rest"), [(b"", b""), (b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n", b"{"), (b"HTTP/1.1", b" ")]
)
async def test_a_dripping_or_silent_regulator_is_left_after_the_time_out(
    tmp_path: Path, first: bytes, rest: bytes
) -> None:
    async def answer(_request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            writer.write(rest)
            await writer.drain()
            await asyncio.sleep(0.05)

    async with server(answer) as url:
        # It would drip on for ever.
        async with asyncio.timeout(30):
            outcome = await call(target(url, timeout_s=0.5), tmp_path, delivery())
    assert outcome.kind == "no_reply"
    assert outcome.reason == "no reply: nothing within 0.5 s"


@pytest.mark.parametrize("garbage", [b"SSH-2.0-OpenSSH_9\r\n", b"\x00" * 100, b"HTTP/1.1 abc\r\n\r\n", b""])
async def test_what_is_no_http_is_no_reply(tmp_path: Path, garbage: bytes) -> None:
    async def answer(_request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(garbage)

    async with server(answer) as url:
        outcome = await send(url, tmp_path)
    assert outcome.kind == "no_reply"


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://127.0.0.1:1", "temporary"),
        ("http://nosuch.invalid", "temporary"),
        ("http://xn--/", "config_error"),
    ],
)
async def test_what_was_never_reached_is_known_not_to_have_it(tmp_path: Path, url: str, kind: str) -> None:
    assert (await send(url, tmp_path)).kind == kind


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999", "http://127.0.0.1:0", "http://", "ftp://host", "host"])
def test_impossible_addresses_are_refused_with_the_settings(url: str) -> None:
    with pytest.raises(ValidationError, match="url"):
        target(url)


async def test_a_certificate_that_nobody_vouches_for_is_told(tmp_path: Path) -> None:
    async with server(plain("200 OK"), tls=self_signed(tmp_path)) as url:
        outcome = await send(url, tmp_path)
    assert outcome.kind == "temporary"
    assert "certificate is not valid" in outcome.reason


async def test_a_certificate_that_has_expired_is_told(tmp_path: Path) -> None:
    authority, tls = expired(tmp_path)
    async with server(plain("200 OK"), tls=tls) as url:
        adapter = adapters.create(target(url), evidence=EvidenceStore(tmp_path), clock=SystemClock())
        trusting = ssl.create_default_context(cafile=str(authority))
        async with httpx.AsyncClient(trust_env=False, verify=trusting) as client:
            outcome = await adapter.send(client, delivery())
    assert outcome.kind == "temporary"
    assert outcome.reason == "the regulator's certificate is not valid: certificate has expired"


def expired(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """An authority, and a server whose certificate it made and that ended yesterday."""
    now = datetime.now(UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("authority", "127.0.0.1")]
    made = []
    for place, until in ((0, now + timedelta(days=9)), (1, now - timedelta(days=1))):
        certificate = (
            x509.CertificateBuilder()
            .subject_name(names[place])
            .issuer_name(names[0])
            .public_key(keys[place].public_key())
            .serial_number(place + 1)
            .not_valid_before(now - timedelta(days=9))
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=place == 0, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
            )
            .sign(keys[0], hashes.SHA256())
        )
        made.append(folder / f"certificate-{place}.pem")
        made[place].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key = folder / "expired.key"
    key.write_bytes(
        keys[1].private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made[1], key)
    return made[0], context


def self_signed(folder: Path) -> ssl.SSLContext:
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
         "-subj", "/CN=127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"receipt": "R1", "status": "validated", "reason": ""}', "validated"),
        (b'{"receipt": "R1", "status": "rejected", "reason": "wrong project"}', "rejected"),
        (b'{"receipt": "R1", "status": "rejected"}', "rejected"),
        (b'{"receipt": "R1", "status": "pending"}', "pending"),
        (b'{"receipt": "R1", "status": "lost"}', "temporary"),
        (b"[]", "temporary"),
    ],
)
async def test_results_are_read(tmp_path: Path, body: bytes, kind: str) -> None:
    async with server(plain("200 OK", body)) as url:
        outcome = await call(target(url), tmp_path, delivery(state="accepted", receipt="R 1/x"))
    assert outcome.kind == kind
    assert (outcome.kind == "rejected") <= bool(outcome.reason)
    assert outcome.request["url"].endswith("/api/v1/receipts/R%201%2Fx")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("12", 12),
        (" 0 ", 0),
        ("9" * 400, 999_999_999),
        ("-5", None),
        ("soon", None),
        ("Sat, 01 Aug 2026 08:02:00 GMT", 120),
        ("Sat, 01 Aug 2026 07:00:00 GMT", 0),
        ("Sat, 01 Aug 2026 08:02:00", None),
        ("Sat, 99 Aug 2026 08:02:00 GMT", None),
    ],
)
def test_retry_after_in_either_form(value: str | None, seconds: float | None) -> None:
    assert retry_after_s(value, now=NOW) == seconds


def test_retry_after_cannot_stop_a_delivery_for_ever() -> None:
    outcome = Outcome(kind="temporary", retry_after_s=1e9)
    settled = settle_send(
        delivery(), outcome, target("http://x"), asynchronous=True, started_at=NOW, now=NOW, random=Random(1)
    )
    assert settled.next_attempt_at == NOW + timedelta(hours=6)


def test_results_are_asked_for_ever_more_rarely_and_not_for_ever() -> None:
    now, polls = NOW, 0
    waiting = delivery(state="accepted", accepted_at=NOW, receipt="R1")
    while True:
        settled = settle_poll(waiting, Outcome(kind="pending"), target("http://x", give_up_days=2), now=now)
        polls += 1
        if settled.next_attempt_at is None:
            break
        assert timedelta(seconds=1) <= settled.next_attempt_at - now <= timedelta(hours=1)
        now = settled.next_attempt_at
    assert (settled.state, settled.reason) == ("accepted", "no result within 2 days")
    assert polls < 100


def test_what_may_be_there_twice_says_so_whatever_becomes_of_its_result() -> None:
    waiting = delivery(state="accepted", accepted_at=NOW, receipt="R1", reason=RESENT)
    for kind, reason in (
        ("temporary", f"{RESENT}; result not to be had: not reached"),
        ("pending", RESENT),
        ("validated", RESENT),
        ("rejected", f"not reached; {RESENT}"),
    ):
        outcome = Outcome(kind=kind, reason="not reached")
        settled = settle_poll(waiting, outcome, target("http://x"), now=NOW)
        assert settled.reason == reason
        waiting = replace(waiting, reason=settled.reason if settled.state == "accepted" else waiting.reason)
    failed = delivery(state="accepted", accepted_at=NOW, receipt="R1", reason="result not to be had: not reached")
    assert settle_poll(failed, Outcome(kind="validated"), target("http://x"), now=NOW).reason == ""


def test_a_receiver_without_results_is_done_when_it_accepts() -> None:
    settled = settle_send(
        delivery(),
        Outcome(kind="accepted"),
        target("http://x"),
        asynchronous=False,
        started_at=NOW,
        now=NOW,
        random=Random(1),
    )
    assert (settled.state, settled.next_attempt_at) == ("accepted", None)


def test_back_off_is_spread() -> None:
    random = Random(1)
    assert len({backoff_s(5, random) for _ in range(100)}) == 100
    assert backoff_s(10_000, random) <= 3600


def test_adapters_are_found_by_their_file() -> None:
    assert "reference" in adapters.available()
    assert not {"base", "exchange"} & set(adapters.available())
