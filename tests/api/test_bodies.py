"""Bodies that are refused before they have come: the answer arrives, and the rest is not read for ever."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
import uvicorn
from fastapi import FastAPI

from tests.support.ports import free_port

MIB = 1024 * 1024
_CHUNK = b"x" * 65_536


@pytest.fixture
async def port(app: FastAPI) -> AsyncIterator[int]:
    """The application behind the real HTTP server."""
    port = free_port()
    config = uvicorn.Config(app, host="127.0.0.1", port=port, lifespan="off", log_config=None, server_header=False)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())
    while not server.started:
        if task.done():
            task.result()
        await asyncio.sleep(0.005)
    yield port
    server.should_exit = server.force_exit = True
    await task


async def flood(
    port: int, head: str, *, frame: Callable[[bytes], bytes] = bytes, most: int = 64 * MIB
) -> tuple[bytes, int]:
    """The answer to a request whose body never ends, and how many bytes of it the server let us send."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sent = 0

    async def pour() -> None:
        nonlocal sent
        with contextlib.suppress(ConnectionError):
            while sent < most:
                writer.write(frame(_CHUNK))
                await writer.drain()
                sent += len(_CHUNK)

    writer.write(f"{head}\r\nHost: x\r\nContent-Type: application/json\r\n\r\n".encode())
    pouring = asyncio.create_task(pour())
    answer = b""
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionError):
            while part := await reader.read(4096):
                answer += part
        await pouring
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return answer, sent


def chunked(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("POST /api/v1/nosuch HTTP/1.1", b"404"),
        ("DELETE /api/v1/session HTTP/1.1", b"401"),
        ("PUT /api/v1/session HTTP/1.1", b"405"),
        ("POST /api/v1/session HTTP/1.1", b"413"),
        ("POST /api/v1/rectifications/1/photos HTTP/1.1", b"401"),
        ("POST /api/v1/sites/1/documents HTTP/1.1", b"401"),
        ("GET /api/v1/sites HTTP/1.1", b"401"),
    ],
)
@pytest.mark.parametrize("announced", [True, False])
async def test_a_refused_body_is_not_read_on(port: int, head: str, status: bytes, announced: bool) -> None:
    length = f"Content-Length: {10 * 1024 * MIB}\r\n" if announced else "Transfer-Encoding: chunked\r\n"
    answer, sent = await flood(port, f"{head}\r\n{length}".rstrip(), frame=bytes if announced else chunked)
    assert answer.split(b"\r\n", 1)[0].startswith(b"HTTP/1.1 " + status), answer[:200]
    assert b"connection: close" in answer.lower()
    assert b'"error"' in answer
    # What the two sockets hold by themselves included.
    assert sent < 32 * MIB


async def test_a_small_body_that_nobody_reads_leaves_the_connection_open(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(2):
        writer.write(b"DELETE /api/v1/session HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        async with asyncio.timeout(10):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 401")
            assert b"connection: close" not in head.lower()
            length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
            await reader.readexactly(length)
    writer.close()
    await writer.wait_closed()


async def test_a_body_that_stops_on_the_way_holds_no_answer_back(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /api/v1/nosuch HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nhalf")
    async with asyncio.timeout(10):
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 404")
        rest = await reader.read()
    assert b"connection: close" in rest.lower()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
