"""Peers that begin and do not end, that never read, or that are too many; the clock is a fake one, sockets are real."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import pytest
import uvloop

from ingest.link import UNREAD_TIMEOUT_S
from ingest.mqtt import endpoint as module
from ingest.mqtt.connection import PACKET_TIMEOUT_S
from ingest.mqtt.tls import server_context
from ingest.writer import acknowledge
from tests.ingest.alone import GOOD, LIMITS, TOPIC, Bench
from tests.ingest.authority import Authority
from tests.ingest.messages import message
from tests.ingest.raw import RawClient, connect, packet, publish
from tests.support.clock import FakeClock
from tests.support.wait import eventually


async def test_a_connect_that_dribbles_in_is_shed(alone: Bench) -> None:
    slow, silent = await RawClient.open(alone.port), await RawClient.open(alone.port)
    await alone.known(2)
    for byte in connect()[:12]:
        slow.send(bytes((byte,)))
        await alone.clock.advance(1)
    assert await slow.closed()
    assert await silent.closed()
    await alone.known(0)


@pytest.mark.parametrize("keep_alive", [0, 65_535])
@pytest.mark.parametrize("version", [4, 5])
async def test_a_packet_without_an_end_is_shed_whatever_the_keep_alive(
    alone: Bench, keep_alive: int, version: int
) -> None:
    client = await RawClient.enter(alone.port, version=version, keep_alive=keep_alive)
    idle = await RawClient.enter(alone.port, version=version, keep_alive=keep_alive, client_id="idle")
    whole = publish(TOPIC, GOOD + b" " * 2048, version=version)
    client.send(whole[:40])
    (connection,) = (link for link in alone.endpoint._links if link.client_id == "raw")  # type: ignore[attr-defined]
    await eventually(lambda: connection._partial is not None)
    await alone.clock.advance(PACKET_TIMEOUT_S - 1)
    # A slow line has a second more for each KiB.
    client.send(whole[40:1000])
    await alone.clock.advance(2.5)
    assert not connection.is_closing
    await alone.clock.advance(2)
    assert await client.closed()
    # Who merely has nothing to say may stay as long as it likes.
    await alone.clock.advance(10_000)
    idle.send(b"\xc0\x00")
    assert await idle.packet() == (13, b"")


async def test_a_packet_in_pieces_is_taken_when_it_ends_in_time(alone: Bench) -> None:
    client = await RawClient.enter(alone.port, keep_alive=0)
    for packet_id in (1, 2, 3):
        whole = publish(TOPIC, GOOD, packet_id=packet_id)
        client.send(whole[:9])
        await alone.clock.advance(PACKET_TIMEOUT_S - 5)
        client.send(whole[9:])
        taken = [one for one in await alone.arrived(1) if one.holder is not None]
        taken = taken or [one for one in await alone.arrived(1) if one.holder is not None]
        acknowledge(taken)
        assert await client.packet() == (4, bytes((0, packet_id)))


async def test_a_peer_that_reads_no_acknowledgement_is_cut(alone: Bench) -> None:
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    small.setblocking(False)
    await asyncio.get_running_loop().sock_connect(small, ("127.0.0.1", alone.port))
    client = RawClient(*await asyncio.open_connection(sock=small))
    client.send(connect(4, keep_alive=0))
    assert await client.packet() == (2, b"\0\0")
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    (connection,) = alone.endpoint._links
    handle = connection._transport.get_extra_info("socket")  # type: ignore[union-attr]
    handle.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    ping = b"\xc0\x00" * 5000
    while connection._unread is None:
        client.send(ping)
        await asyncio.sleep(0.001)
    held = connection._transport.get_write_buffer_size()  # type: ignore[union-attr]
    await alone.clock.advance(UNREAD_TIMEOUT_S - 1)
    assert not connection.is_closing
    # Nothing more is read from it, so nothing more is written.
    assert connection._transport.get_write_buffer_size() <= held + 2 * 262_144  # type: ignore[union-attr]
    await alone.clock.advance(2)
    await alone.known(0)


async def test_time_in_which_we_do_not_read_is_not_held_against_a_peer(alone: Bench) -> None:
    client = await RawClient.open(alone.port)
    await alone.known(1)
    alone.intake.put([message(b"x" * (2 << 20))])
    client.send(connect()[:5])
    await alone.clock.advance(600)
    alone.intake.take(1, 1 << 30)
    await alone.clock.advance(2)
    client.send(connect()[5:])
    answer = await client.packet()
    assert answer is not None
    assert answer.kind == 2


async def test_one_address_has_its_share_and_no_more(alone: Bench) -> None:
    for _ in range(LIMITS.per_address):
        await RawClient.open(alone.port)
    await alone.known(LIMITS.per_address)
    assert await (await RawClient.open(alone.port)).closed()
    reader, writer = await asyncio.open_connection("127.0.0.1", alone.port, local_addr=("127.0.0.2", 0))
    other = RawClient(reader, writer)
    other.send(connect())
    answer = await other.packet()
    assert answer is not None
    assert answer.body[1] == 0
    # The idle ones go, and the address has its places back.
    await alone.clock.advance(12)
    await alone.known(1)
    await RawClient.enter(alone.port, client_id="again")


async def test_one_device_has_so_many_connections_and_the_oldest_goes(alone: Bench) -> None:
    clients = [await RawClient.enter(alone.port, client_id=f"c{number}") for number in range(LIMITS.per_device)]
    await RawClient.enter(alone.port, client_id="one more")
    answer = await clients[0].packet()
    assert answer is not None
    assert (answer.kind, answer.body[0]) == (14, 0x97)
    for client in clients[1:]:
        client.send(b"\xc0\x00")
        assert await client.packet() == (13, b"")
    assert alone.endpoint.sessions == LIMITS.per_device


Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine on one of the two event loops, whose transports differ in when they begin to read."""
    return cast("Run", request.param)


def test_a_connection_made_under_pressure_is_not_read(run: Run) -> None:
    async def scenario() -> None:
        async with opened(Bench(FakeClock())) as bench:
            bench.intake.put([message(b"x" * (2 << 20))])
            client = await RawClient.open(bench.port)
            client.send(connect(4) + publish(TOPIC, b" " * 200_000, version=4) * 100)
            await bench.known(1)
            for _ in range(20):
                await asyncio.sleep(0.01)
            transport = client.writer.transport
            # Twenty megabytes were sent: what one read takes may be here, the rest waits in the sockets.
            waits = transport.get_write_buffer_size()
            await client.close()  # at once: what waits will never be read
            assert waits > 5_000_000

    run(scenario())


def test_a_handshake_that_never_ends_holds_a_counted_place_for_a_while(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CONNECT_TIMEOUT_S", 3)  # all of them are to be there before the first goes
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server")
    server = server_context(certificate=certificate, key=key, client_ca=None, require=False)
    context = ssl.create_default_context(cafile=str(authority.file))
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)

    async def scenario() -> None:
        async with opened(Bench(FakeClock(), server)) as bench:
            idle = [await RawClient.open(bench.port) for _ in range(LIMITS.per_address)]
            await bench.known(LIMITS.per_address)
            assert await (await RawClient.open(bench.port)).closed()
            idle[0].send(b"\x16\x03\x01\x02\x00\x01\x00")  # the beginning of a handshake
            idle[1].send(packet(0x10, b"no handshake at all"))
            for one in idle:
                assert await one.closed()
            await bench.known(0)
            assert await secured(bench, context) == b"\x20\x02\0\0"
            await bench.known(0)

    run(scenario())


async def secured(bench: Bench, context: ssl.SSLContext) -> bytes:
    """CONNACK to a CONNECT that comes in one piece with the last bytes of the handshake."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    client = await RawClient.open(bench.port)
    while True:
        try:
            session.do_handshake()
            break
        except ssl.SSLWantReadError:
            client.send(outgoing.read())
            incoming.write(await more(client))
    session.write(connect(4))
    client.send(outgoing.read())
    async with asyncio.timeout(10):
        while True:
            incoming.write(await more(client))
            with contextlib.suppress(ssl.SSLWantReadError):
                answer = session.read()
                await client.close()
                return answer


async def more(client: RawClient) -> bytes:
    data = await client.reader.read(65_536)
    assert data, "the endpoint has ended the connection"
    return data


@contextlib.asynccontextmanager
async def opened(bench: Bench) -> AsyncIterator[Bench]:
    """The endpoint, until the end of the block."""
    await bench.endpoint.start()
    try:
        yield bench
    finally:
        await RawClient.close_all()
        await bench.endpoint.quiesce()
        await bench.endpoint.close()
