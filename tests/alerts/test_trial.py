"""Test calls against regulators that are well, away, hanging, insecure or hostile; made by the delivery worker."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest

from alerts import adapters
from alerts.trial import Step, Trial
from core.clock import SystemClock
from core.evidence import EvidenceStore
from core.settings import Settings, TargetSettings
from tests.alerts.outgoing import delivering, folder, target, with_targets, world
from tests.ingest.authority import Authority
from tests.support.clock import FakeClock
from tests.support.ports import free_port
from tests.support.regulator import SECRET, sandbox
from tests.support.wait import eventually

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


async def tried(to: TargetSettings, tmp_path: Path, clock: Any = None) -> list[Step]:
    clock = clock or SystemClock()
    adapter = adapters.create(to, evidence=EvidenceStore(tmp_path), clock=clock)
    trust = httpx.create_ssl_context(trust_env=False)
    async with httpx.AsyncClient(trust_env=False, verify=trust) as client:
        return await Trial(to, adapter, client=client, trust=trust, clock=clock).run()


def codes(steps: list[Step]) -> list[str]:
    return [step.code for step in steps]


@contextlib.asynccontextmanager
async def server(handler: Handler, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """The port of a server that does whatever `handler` does with a connection."""
    hands: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        hands.add(task)
        try:
            await handler(reader, writer)
        except (ConnectionError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    made = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    try:
        yield made.sockets[0].getsockname()[1]
    finally:
        made.close()
        for task in hands:
            task.cancel()
        await asyncio.gather(*hands, return_exceptions=True)


def saying(answer: bytes) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    return handler


async def hanging(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def test_a_signed_request_is_accepted_and_nothing_is_reported(settings: Settings, tmp_path: Path) -> None:
    async with sandbox(folder(settings)) as regulator:
        steps = await tried(target(regulator.url), tmp_path)
        assert regulator.received() == []
    assert codes(steps) == ["resolved", "connected", "plain", "signed_accepted"]
    assert [step.result for step in steps] == ["ok", "ok", "skipped", "ok"]
    assert steps[3].values == {"status": "200"}
    assert all(step.duration_ms >= 0 and step.text for step in steps)


async def test_a_wrong_secret_and_a_wrong_clock_are_told_apart(settings: Settings, tmp_path: Path) -> None:
    wrong = "whsec_" + base64.b64encode(b"another secret, of thirty bytes!").decode()
    clock = FakeClock()
    async with sandbox(folder(settings), clock=clock) as regulator:
        refused = await tried(target(regulator.url, secret=wrong), tmp_path, clock)
        assert (refused[-1].code, refused[-1].values["status"]) == ("refused_credentials", "401")
        assert SECRET not in refused[-1].text
        assert wrong not in refused[-1].text
        ahead = FakeClock(clock.now())
        await ahead.advance(1000)
        off = await tried(target(regulator.url), tmp_path, ahead)
    assert (off[-1].code, off[-1].result) == ("clock_off", "failed")
    assert "1000 s" in off[-1].text


async def test_a_host_that_does_not_resolve_and_a_closed_port(tmp_path: Path) -> None:
    steps = await tried(target("https://nowhere.invalid", timeout_s=20), tmp_path)
    assert (codes(steps), steps[0].values["host"]) == (["not_resolved"], "nowhere.invalid")
    steps = await tried(target(f"http://127.0.0.1:{free_port()}"), tmp_path)
    assert codes(steps) == ["resolved", "not_connected"]
    assert steps[-1].values["detail"] == "Connection refused"


async def test_one_that_hangs_is_left_after_the_time_out(tmp_path: Path) -> None:
    async with server(hanging) as port:
        # Long enough for the steps before it on a busy machine.
        steps = await tried(target(f"https://127.0.0.1:{port}", timeout_s=1), tmp_path)
        assert (codes(steps), steps[-1].step) == (["resolved", "connected", "timed_out"], "tls")
        assert steps[-1].duration_ms >= 990
        steps = await tried(target(f"http://127.0.0.1:{port}", timeout_s=1), tmp_path)
        assert codes(steps)[-1] == "no_answer"


async def test_a_certificate_that_nobody_trusts_gets_no_request(tmp_path: Path) -> None:
    seen: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(10))

    certificate, key = Authority(tmp_path).issue("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with server(handler, context) as port:
        steps = await tried(target(f"https://127.0.0.1:{port}", timeout_s=20), tmp_path)
    assert codes(steps) == ["resolved", "connected", "certificate_invalid"]
    assert "issuer certificate" in steps[-1].values["detail"]
    assert not any(seen)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"\x00\xff garbage\r\n\r\n", "no_answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n<html>\0!", "not_understood"),
        (b"HTTP/1.1 302 Found\r\nLocation: https://else.example\r\nContent-Length: 0\r\n\r\n", "redirected"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "failed"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "refused"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "no_answer"),
    ],
)
async def test_what_is_no_answer_of_its_api_is_told(answer: bytes, code: str, tmp_path: Path) -> None:
    async with server(saying(answer)) as port:
        steps = await tried(target(f"http://127.0.0.1:{port}", timeout_s=20), tmp_path)
    assert (steps[-1].step, steps[-1].code, steps[-1].result) == ("call", code, "failed")


def _oauth(url: str) -> TargetSettings:
    options = {
        "auth": {"kind": "oauth2", "path": "/token"},
        "messages": [{"path": "/v", "fields": {"a": "phase"}}],
        "answer": {"code": "/code", "success": [0]},
    }
    return target(url, adapter="form", secret="the-client-secret", options=options, timeout_s=20)


async def test_a_token_is_fetched_and_a_secret_that_comes_back_is_masked(tmp_path: Path) -> None:
    body = b'{"access_token": "secret-token-1", "expires_in": 60}'
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    async with server(saying(answer)) as port:
        steps = await tried(_oauth(f"http://127.0.0.1:{port}"), tmp_path)
    assert (steps[-1].code, steps[-1].result) == ("token_given", "ok")
    assert "secret-token-1" not in repr(steps)
    answer = b"HTTP/1.1 302 the-client-secret\r\nLocation: http://x/the-client-secret\r\nContent-Length: 0\r\n\r\n"
    async with server(saying(answer)) as port:
        steps = await tried(_oauth(f"http://127.0.0.1:{port}"), tmp_path)
    assert steps[-1].code == "redirected"
    assert "the-client-secret" not in repr(steps)


async def test_an_adapter_without_a_harmless_call_says_so(tmp_path: Path) -> None:
    async with server(hanging) as port:
        steps = await tried(target(f"http://127.0.0.1:{port}", adapter="alertmanager"), tmp_path)
    assert (steps[-1].code, steps[-1].result) == ("no_harmless_call", "skipped")
    assert steps[-1].values == {"adapter": "alertmanager"}


async def test_the_worker_makes_it_also_beside_one_that_hangs_and_while_the_target_is_off(settings: Settings) -> None:
    clock = SystemClock()
    async with (
        server(hanging) as port,
        sandbox(folder(settings)) as regulator,
        world(settings, clock) as place,
    ):
        hangs = target(f"http://127.0.0.1:{port}", name="hangs", timeout_s=60)
        settings = with_targets(settings, hangs, target(regulator.url, timeout_s=20))
        now = clock.now()
        await place.connection.execute("INSERT INTO target_state (target, off_since) VALUES ('bureau', %s)", [now])
        await place.connection.execute(
            "INSERT INTO target_check (target, asked_at, asked_by, due_at) SELECT name, %(now)s, 'p', "
            "%(now)s + interval '1 hour' FROM unnest(ARRAY['hangs', 'bureau', 'elsewhere']) AS t (name)",
            {"now": now},
        )

        async def found(column: str) -> dict[str, Any]:
            cursor = await place.connection.execute(f"SELECT target, {column} FROM target_check".encode())
            return {row[0]: row[1] async for row in cursor}

        async with delivering(settings, clock):

            async def done() -> bool:
                return (await found("report"))["bureau"] is not None and (await found("worker"))["hangs"] is not None

            await eventually(done, timeout=60)
            reports = await found("report")
            assert [step["code"] for step in reports["bureau"]][-1] == "signed_accepted"
            assert reports["hangs"] is None
            assert (await found("worker"))["elsewhere"] is None, "another worker may know it"
