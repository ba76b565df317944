"""Commands on their way down: through the endpoint and a broker, to devices that are away, by one of many workers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiomqtt
import psycopg
import pytest

from core.clock import SystemClock
from core.settings import Settings
from ingest.commander import Commander
from sensors import commands
from sensors.commands import Command, Requested
from sensors.simulator import Schedule, SimulatedDevice, SimulationPlan, read_journal, run_simulation
from tests.ingest.broker import Mosquitto
from tests.ingest.plant import HASH, SECRET, Plant, furnish, running, with_ingest
from tests.ingest.process import Worker
from tests.ingest.raw import Packet, RawClient, packet, publish, subscribe
from tests.support.ports import free_port
from tests.support.wait import eventually

TOPIC = "smartsite/v1/A/d1"


async def order(
    connection: psycopg.AsyncConnection, *, device: int = 1, name: str = "spray_on", within_s: float = 60
) -> int:
    """Request a command as api and alerts do."""
    now = datetime.now(UTC)
    wanted = Requested(
        device=device, name=name, arguments={"minutes": 5}, by="test", expires_at=now + timedelta(seconds=within_s)
    )
    return await commands.request(connection, wanted, now=now)


async def state(plant: Plant, number: int) -> str:
    return str(await plant.value("SELECT state FROM command WHERE id = %s", number))


async def becomes(plant: Plant, number: int, expected: str, *, timeout: float = 15) -> None:
    async def reached() -> bool:
        return await state(plant, number) == expected

    await eventually(reached, timeout=timeout)


async def command(client: RawClient, *, version: int = 5) -> tuple[int, dict[str, Any]]:
    """The next command: its packet identifier and its JSON."""
    while True:
        found = await client.packet()
        assert found is not None
        if found.kind == 3:
            return taken_apart(found, version)


def taken_apart(found: Packet, version: int) -> tuple[int, dict[str, Any]]:
    length = int.from_bytes(found.body[:2], "big")
    topic, rest = found.body[2 : 2 + length].decode(), found.body[2 + length :]
    assert topic == f"{TOPIC}/command"
    packet_id, rest = int.from_bytes(rest[:2], "big"), rest[2:]
    if version == 5:
        assert rest[:2] == b"\x05\x02", "a message expiry"
        assert 0 < int.from_bytes(rest[2:6], "big") <= 60
        rest = rest[6:]
    return packet_id, json.loads(rest)


def puback(packet_id: int) -> bytes:
    return packet(0x40, packet_id.to_bytes(2, "big"))


def reply(number: int, *, ok: bool = True, version: int = 5, device: str = TOPIC) -> bytes:
    said = json.dumps({"id": number, "ok": ok, "detail": "valve 2"}).encode()
    return publish(f"{device}/reply", said, packet_id=9, version=version)


async def listening(port: int, *, version: int = 5, **options: object) -> RawClient:
    client = await RawClient.enter(port, version=version, **options)
    client.send(subscribe(f"{TOPIC}/command", version=version))
    answer = await client.packet()
    assert answer is not None
    assert answer.kind == 9
    return client


async def listening_soon(port: int) -> RawClient:
    """The same, of a process that may still be starting."""

    async def attempt() -> RawClient | None:
        try:
            return await listening(port)
        except ConnectionRefusedError:
            return None

    found = await eventually(attempt, timeout=60, every=0.1)
    assert found is not None
    return found


@pytest.mark.needs("broker")
@pytest.mark.parametrize("version", ["311", "5"])
async def test_mosquitto_sub_hears_a_command(plant: Plant, version: str) -> None:
    numbers = [await order(plant.connection), await order(plant.connection)]
    hearing = await asyncio.create_subprocess_exec(
        "mosquitto_sub", "-p", str(plant.port), "-V", version, "-u", "A/d1", "-P", SECRET, "-q", "1",
        "-t", f"{TOPIC}/command", "-C", "2", "-W", "20", stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    heard, _ = await hearing.communicate()
    assert hearing.returncode == 0
    assert sorted(json.loads(line)["id"] for line in heard.splitlines()) == numbers
    # The last one it may leave without acknowledging.
    await eventually(lambda: plant.value("SELECT count(delivered_at) > 0 FROM command"))


@pytest.mark.parametrize("version", [4, 5])
async def test_a_command_is_sent_replied_to_and_done(plant: Plant, version: int) -> None:
    client = await listening(plant.port, version=version)
    number = await order(plant.connection)
    packet_id, told = await command(client, version=version)
    assert packet_id
    assert (told["id"], told["name"], told["arguments"]) == (number, "spray_on", {"minutes": 5})
    assert abs(told["expires"] / 1000 - datetime.now(UTC).timestamp() - 60) < 30
    assert await state(plant, number) == "sent"
    client.send(puback(packet_id))
    await eventually(lambda: plant.value("SELECT delivered_at IS NOT NULL FROM command"))
    client.send(reply(number, version=version))
    await becomes(plant, number, "done")
    # Sent again, as after a lost PUBACK: nothing changes, nothing is set aside.
    client.send(reply(number, ok=False, version=version))
    await eventually(lambda: plant.value("SELECT count(*) = 0 FROM command WHERE state <> 'done'"))
    rows = await plant.rows("SELECT state, reply, reason, sent_by FROM command")
    assert rows == [("done", "valve 2", "", plant.settings.ingest.worker)]
    assert await plant.reasons() == []


async def test_a_refusal_fails_and_a_reply_of_another_device_is_set_aside(plant: Plant) -> None:
    client = await listening(plant.port)
    other = await RawClient.enter(plant.port, user="A/d2", client_id="two")
    number = await order(plant.connection)
    await command(client)
    other.send(reply(number, device="smartsite/v1/A/d2"))
    await eventually(plant.reasons)
    assert await plant.reasons() == ["no_command"]
    assert await state(plant, number) == "sent"
    client.send(reply(number, ok=False))
    await becomes(plant, number, "failed")
    assert await plant.value("SELECT reason FROM command") == "the device refused"


async def test_a_device_that_was_away_gets_it_when_it_comes_back(plant: Plant) -> None:
    number = await order(plant.connection)
    deaf = await RawClient.enter(plant.port)  # connected, and not subscribed
    await asyncio.sleep(0)
    assert await state(plant, number) == "queued"
    await deaf.close()
    client = await listening(plant.port)
    assert (await command(client))[1]["id"] == number


async def test_what_was_not_acknowledged_comes_again_after_a_reconnection(plant: Plant) -> None:
    client = await listening(plant.port)
    first, second = await order(plant.connection), await order(plant.connection, name="spray_off")
    packet_id, told = await command(client)
    assert told["id"] == first
    client.send(puback(packet_id))
    assert (await command(client))[1]["id"] == second
    await eventually(lambda: plant.value("SELECT count(*) = 1 FROM command WHERE delivered_at IS NOT NULL"))
    await client.close()
    client = await listening(plant.port)
    assert (await command(client))[1]["id"] == second
    client.send(reply(first))
    client.send(reply(second))
    await becomes(plant, second, "done")
    await becomes(plant, first, "done")


async def test_without_a_reply_it_expires_and_a_late_reply_is_only_noted(plant: Plant) -> None:
    client = await listening(plant.port)
    away = await order(plant.connection, device=2, within_s=0.3)
    number = await order(plant.connection)
    client.send(puback((await command(client))[0]))
    # Time is over when it has been delivered, and not on a machine that takes long for that.
    delivered = "UPDATE command SET expires_at = now() WHERE id = %s AND delivered_at IS NOT NULL RETURNING id"
    await eventually(lambda: plant.value(delivered, number))
    await becomes(plant, number, "expired")
    await becomes(plant, away, "expired")
    reasons = await plant.rows("SELECT reason FROM command ORDER BY id")
    assert reasons == [("the device was not reached",), ("the device did not reply",)]
    client.send(reply(number))
    await eventually(lambda: plant.value("SELECT replied_at IS NOT NULL FROM command WHERE id = %s", number))
    assert await state(plant, number) == "expired"
    assert await plant.reasons() == []


async def test_a_device_takes_no_more_than_it_said(plant: Plant) -> None:
    client = await listening(plant.port, properties=b"\x21\x00\x02")  # receive maximum 2
    numbers = [await order(plant.connection) for _ in range(5)]
    taken = [await command(client), await command(client)]
    with pytest.raises(TimeoutError):
        await client.packet(timeout=1.2)
    for packet_id, _ in taken:
        client.send(puback(packet_id))
    for _ in range(3):
        taken.append(await command(client))
        client.send(puback(taken[-1][0]))
    assert sorted(told["id"] for _, told in taken) == numbers


class Pipe:
    """An outlet that reaches every device."""

    def __init__(self) -> None:
        self.sent: list[int] = []

    def reaches(self, device: int) -> bool:
        return True

    def take_fresh(self) -> set[int]:
        return set()

    def take_arrived(self) -> list[int]:
        return []

    def take_unsent(self) -> list[tuple[int, str]]:
        return []

    def deliver(self, command: Command) -> bool:
        self.sent.append(command.id)
        return True


async def test_of_several_workers_one_sends(settings: Settings, database_url: str) -> None:
    await furnish(database_url)
    stop = asyncio.Event()
    pipes = [Pipe() for _ in range(4)]
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        for place in range(4):
            await connection.execute(
                "INSERT INTO worker VALUES (%s, 'ingest', '', 1, now() - interval '1 min', now() + interval '1 h')",
                [f"ingest-w{place}"],
            )
        work = [
            asyncio.create_task(
                Commander([pipe], worker=f"w{place}", settings=settings.database, clock=SystemClock()).run(stop)
            )
            for place, pipe in enumerate(pipes)
        ]
        numbers = [await order(connection) for _ in range(100)]
        await eventually(lambda: sum(len(pipe.sent) for pipe in pipes) >= 100)
        stop.set()
        await asyncio.gather(*work)
    assert sorted(number for pipe in pipes for number in pipe.sent) == numbers


@pytest.fixture
def port() -> int:
    """A port that stays the same over a restart."""
    return free_port()


@pytest.fixture
async def worker(database_url: str, port: int, tmp_path: Path) -> AsyncIterator[Worker]:
    await furnish(database_url)
    worker = Worker(database_url, port, tmp_path)
    await worker.start()
    yield worker
    if worker.process is not None and worker.process.returncode is None:
        await worker.end(signal.SIGKILL)


async def test_ingest_killed_before_the_device_had_it(worker: Worker, database_url: str, port: int) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:

        async def all_are(expected: str) -> bool:
            rows = await (await connection.execute("SELECT DISTINCT state FROM command")).fetchall()
            return rows == [(expected,)]

        client = await listening_soon(port)
        numbers = [await order(connection) for _ in range(3)]
        await eventually(lambda: all_are("sent"))
        # None was acknowledged: whether they were read nobody knows.
        assert await worker.end(signal.SIGKILL) == -signal.SIGKILL
        numbers.append(await order(connection))
        await worker.start()
        await client.close()
        client = await listening_soon(port)
        told = [(await command(client))[1]["id"] for _ in numbers]
        assert sorted(told) == numbers
        for number in numbers:
            client.send(reply(number))
        await eventually(lambda: all_are("done"))


@pytest.mark.needs("broker")
async def test_through_a_broker(settings: Settings, database_url: str, tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path)
    await broker.start()
    await furnish(database_url)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(broker.stop)
        plant = await stack.enter_async_context(
            running(with_ingest(settings, sources=["broker"], broker_url=broker.url))
        )
        device = await stack.enter_async_context(
            aiomqtt.Client("127.0.0.1", broker.port, username="A/d1", password=SECRET)
        )
        await device.publish(f"{TOPIC}/status", b"offline", qos=1, retain=True)
        await device.subscribe(f"{TOPIC}/command", qos=1)
        await eventually(lambda: plant.value("SELECT connected = false FROM device_seen WHERE device_id = 1"))
        number = await order(plant.connection)
        await asyncio.sleep(0.7)  # more than a turn of the commander
        assert await state(plant, number) == "queued", "it is away"
        await device.publish(f"{TOPIC}/status", b"online", qos=1, retain=True)
        message = await asyncio.wait_for(anext(device.messages), 10)
        assert isinstance(message.payload, bytes)
        assert json.loads(message.payload)["id"] == number
        await eventually(lambda: plant.value("SELECT delivered_at IS NOT NULL FROM command"))
        await device.publish(f"{TOPIC}/reply", json.dumps({"id": number, "ok": True}).encode(), qos=1)
        await becomes(plant, number, "done")


async def test_the_simulated_sprayer_does_it_and_shows_it(plant: Plant, tmp_path: Path) -> None:
    device = await plant.value(
        "INSERT INTO device (site_id, code, kind, name, secret_hash)"
        " SELECT id, 's1', 'sprayer', 's1', %s FROM site WHERE code = 'A' RETURNING id",
        HASH,
    )
    plan = SimulationPlan(
        host="127.0.0.1",
        port=plant.port,
        devices=(
            SimulatedDevice(
                site="A", code="s1", kind="sprayer", secret=SECRET, interval_s=0.1, time_zone="Asia/Shanghai"
            ),
        ),
        schedule=Schedule([]),
        journal=tmp_path / "journal.jsonl",
    )
    stop = asyncio.Event()
    simulation = asyncio.create_task(run_simulation(plan, stop))
    try:
        number = await order(plant.connection, device=device)
        await becomes(plant, number, "done")
        assert await plant.value("SELECT reply FROM command") == "pump on for 5 min"
        await eventually(lambda: plant.value("SELECT max(flow) > 1 FROM reading_sprayer WHERE state = 1"))
    finally:
        stop.set()
        await simulation
    (deed,) = read_journal(plan.journal).deeds
    assert (deed.device, deed.id, deed.ok, deed.again) == ("A/s1", number, True, 0)
    assert deed.replied is not None
