"""What the endpoint says to clients that are wrong, greedy, silent or hostile."""

from __future__ import annotations

import asyncio
import time

import psycopg
import pytest

from core.settings import Settings
from tests.ingest.plant import Plant, furnish, running, with_ingest
from tests.ingest.raw import RawClient, connect, packet, publish, subscribe, text
from tests.support.wait import eventually

TOPIC = "smartsite/v1/A/d1/telemetry"
GOOD = b'{"values": {"pm10": 1}}'


async def test_good_messages_are_acknowledged_with_their_identifiers_in_order(plant: Plant) -> None:
    client = await RawClient.enter(plant.port)
    client.send(b"".join(publish(TOPIC, GOOD, packet_id=number) for number in (5, 6, 7)))
    assert [await client.packet() for _ in range(3)] == [(4, bytes((0, number))) for number in (5, 6, 7)]
    # Without ts each message is a reading of its own, although they came in one piece.
    assert await plant.value("SELECT count(*) FROM reading_dust WHERE flags = 1") == 3


async def test_packets_in_single_bytes_are_understood(plant: Plant) -> None:
    client = await RawClient.open(plant.port)
    for byte in connect() + publish(TOPIC, GOOD, packet_id=9):
        client.send(bytes((byte,)))
        await client.writer.drain()
        await asyncio.sleep(0)
    assert (await client.packet()).kind == 2
    assert await client.packet() == (4, b"\0\x09")


async def test_garbage_before_connect_ends_the_connection(plant: Plant) -> None:
    for garbage in (
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",  # TLS
        publish(TOPIC, GOOD),
        b"\xc0\x00",
        bytes(100),
        b"\x10\xff\xff\xff\xff\x7f",  # a length of five bytes
        b"\x10\x02\0\x04",
    ):
        client = await RawClient.open(plant.port)
        client.send(garbage)
        assert await client.packet() is None, garbage


async def test_garbage_after_connect_ends_it_with_a_reason_and_keeps_what_came_before(plant: Plant) -> None:
    client = await RawClient.enter(plant.port)
    client.send(publish(TOPIC, GOOD) + b"\x00\x00garbage")
    packets = []
    while (answer := await client.packet()) is not None:
        packets.append(answer)
    assert packets[-1].kind == 14
    assert packets[-1].body[0] == 0x81
    await eventually(lambda: plant.value("SELECT count(*) FROM reading_dust"))


async def test_a_packet_over_the_limit_is_refused_before_it_is_sent(plant: Plant) -> None:
    client = await RawClient.enter(plant.port)
    announced = 10_000_000
    header = b"\x32\x80\xad\xe2\x04"  # 10,000,000 as a variable byte integer
    assert int.from_bytes(header[1:2], "big") & 0x7F == announced & 0x7F
    client.send(header + text(TOPIC) + b"\0\x01")
    answer = await client.packet()
    assert answer is not None
    assert (answer.kind, answer.body[0]) == (14, 0x95)
    assert b"262144" in answer.body
    assert await client.packet() is None


async def test_a_connect_over_its_limit_is_refused(plant: Plant) -> None:
    client = await RawClient.open(plant.port)
    client.send(b"\x10\x80\x80\x08")
    assert await client.packet() is None


async def test_qos_2_is_announced_and_refused(plant: Plant) -> None:
    client = await RawClient.open(plant.port)
    client.send(connect())
    connack = await client.packet()
    assert connack is not None
    assert b"\x24\x01" in connack.body  # Maximum QoS 1
    client.send(publish(TOPIC, GOOD, qos=2))
    answer = await client.packet()
    assert answer is not None
    assert (answer.kind, answer.body[0]) == (14, 0x9B)

    old = await RawClient.enter(plant.port, version=4, client_id="old")
    old.send(publish(TOPIC, GOOD, qos=2, version=4))
    assert await old.packet() is None


async def test_an_old_or_foreign_protocol_is_told_which_versions_there_are(plant: Plant) -> None:
    client = await RawClient.open(plant.port)
    client.send(packet(0x10, text("MQIsdp") + b"\x03\x02\x00\x3c" + text("old")))
    assert await client.packet() == (2, b"\0\x01")
    assert await client.packet() is None


REFUSED = [
    (5, {"password": "wrong"}, 0x86),
    (5, {"user": "A/nobody"}, 0x86),
    (5, {"user": None, "password": None}, 0x86),
    (4, {"password": "wrong"}, 4),
    (4, {"user": "B/d1"}, 4),
    (4, {"client_id": "", "clean": False}, 2),
    (5, {"properties": b"\x15\x00\x05SCRAM"}, 0x8C),
    (5, {"will": ("smartsite/v1/A/d2/status", b"offline")}, 0x87),
    (4, {"will": ("smartsite/v1/A/d2/status", b"offline")}, 5),
]


async def test_who_may_not_connect_is_told_so(plant: Plant) -> None:
    for version, options, code in REFUSED:
        client = await RawClient.open(plant.port)
        client.send(connect(version, **options))  # type: ignore[arg-type]
        answer = await client.packet()
        assert answer is not None, options
        assert (answer.kind, answer.body[1]) == (2, code), options
        assert await client.packet() is None


async def test_refused_connects_are_set_aside_once_a_peer_and_user(plant: Plant) -> None:
    for user, password in [("A/nobody", "x"), ("A/nobody", "y"), ("A/d1", "wrong"), ("A/d1", "wrong")]:
        client = await RawClient.open(plant.port)
        client.send(connect(user=user, password=password))
        assert await client.closed()
    await eventually(lambda: plant.value("SELECT count(*) = 2 FROM quarantine"))
    rows = await plant.rows("SELECT reason, device_id IS NULL FROM quarantine ORDER BY id")
    assert rows == [("unknown_device", True), ("bad_credentials", False)]


async def test_a_client_without_identifier_is_given_one(plant: Plant) -> None:
    client = await RawClient.open(plant.port)
    client.send(connect(client_id=""))
    answer = await client.packet()
    assert answer is not None
    assert b"auto-" in answer.body


async def test_a_device_hears_its_own_command_topic_only(plant: Plant) -> None:
    own, others = "smartsite/v1/A/d1/command", "smartsite/v1/A/d2/command"
    client = await RawClient.enter(plant.port)
    client.send(subscribe(own, others, "#"))
    assert await client.packet() == (9, b"\0\x07\0" + bytes((1, 0x87, 0x87)))
    client.send(packet(0xA2, b"\0\x08\0" + text(own) + text(others)))
    assert await client.packet() == (11, b"\0\x08\0" + bytes((0, 0x11)))
    old = await RawClient.enter(plant.port, version=4, client_id="old")
    old.send(subscribe(own, others, version=4))
    assert await old.packet() == (9, b"\0\x07" + bytes((1, 0x80)))
    old.send(packet(0xA2, b"\0\x08" + text(own)))
    assert await old.packet() == (11, b"\0\x08")


async def test_ping_is_answered(plant: Plant) -> None:
    client = await RawClient.enter(plant.port)
    client.send(b"\xc0\x00")
    assert await client.packet() == (13, b"")


async def test_another_devices_topic_is_refused_and_set_aside(plant: Plant) -> None:
    client = await RawClient.enter(plant.port)
    client.send(publish("smartsite/v1/A/d2/telemetry", GOOD, packet_id=3))
    assert await client.packet() == (4, b"\0\x03\x87")
    old = await RawClient.enter(plant.port, version=4, client_id="old")
    old.send(publish("smartsite/v1/A/d1/command", GOOD, packet_id=4, version=4))
    assert await old.packet() == (4, b"\0\x04")
    assert await plant.reasons() == ["forbidden_topic", "forbidden_topic"]
    assert await plant.value("SELECT count(*) FROM reading_dust") == 0


async def test_topic_aliases(plant: Plant) -> None:
    client = await RawClient.enter(plant.port)
    client.send(publish(TOPIC, GOOD, packet_id=1, properties=b"\x23\x00\x02"))
    client.send(publish("", GOOD, packet_id=2, properties=b"\x23\x00\x02"))
    assert [(await client.packet()).body for _ in range(2)] == [b"\0\x01", b"\0\x02"]
    client.send(publish("", GOOD, packet_id=3, properties=b"\x23\x00\x03"))
    answer = await client.packet()
    assert answer is not None
    assert (answer.kind, answer.body[0]) == (14, 0x82)


async def test_unacceptable_payloads_are_told_to_mqtt_5_devices(plant: Plant) -> None:
    client = await RawClient.enter(plant.port)
    client.send(publish(TOPIC, b"not json", packet_id=1) + publish(TOPIC, GOOD, packet_id=2))
    assert await client.packet() == (4, b"\0\x01\x99")
    assert await client.packet() == (4, b"\0\x02")


async def test_a_client_that_connects_again_takes_the_session_over(plant: Plant) -> None:
    first = await RawClient.enter(plant.port)
    second = await RawClient.enter(plant.port)
    answer = await first.packet()
    assert answer is not None
    assert (answer.kind, answer.body[0]) == (14, 0x8E)
    assert await first.packet() is None
    second.send(b"\xc0\x00")
    assert await second.packet() == (13, b"")
    # The same identifier of another device disturbs nobody.
    await RawClient.enter(plant.port, user="A/d2")
    second.send(b"\xc0\x00")
    assert await second.packet() == (13, b"")


async def test_a_silent_client_is_let_go_after_its_keep_alive(plant: Plant) -> None:
    started = time.monotonic()
    client = await RawClient.enter(plant.port, keep_alive=1)
    answer = await client.packet(30)  # half of the usual keep-alive
    assert answer is not None
    assert (answer.kind, answer.body[0]) == (14, 0x8D)
    assert time.monotonic() - started >= 1


async def test_the_last_will_is_published_when_the_connection_breaks(plant: Plant) -> None:
    client = await RawClient.enter(plant.port, will=("smartsite/v1/A/d1/event", b'{"code": "power", "text": "lost"}'))
    await client.close()
    entries = await eventually(lambda: _entries(plant, 3))
    assert [entry.event for entry in entries] == ["connected", "alarm", "disconnected"]
    assert entries[1].detail == "power: lost"


async def test_the_last_will_is_dropped_after_a_good_bye(plant: Plant) -> None:
    client = await RawClient.enter(plant.port, will=("smartsite/v1/A/d1/event", b'{"code": "power"}'))
    client.send(b"\xe0\x00")
    assert await client.closed()
    entries = await eventually(lambda: _entries(plant, 2))
    assert [entry.event for entry in entries] == ["connected", "disconnected"]


async def test_what_is_said_right_before_a_good_bye_comes_before_it(plant: Plant) -> None:
    client = await RawClient.enter(plant.port)
    client.send(publish("smartsite/v1/A/d1/status", b"online", qos=0) + b"\xe0\x00")
    assert await client.closed()
    entries = await eventually(lambda: _entries(plant, 2))
    assert [entry.event for entry in entries] == ["connected", "disconnected"]
    assert await plant.value("SELECT connected FROM device_seen") is False


@pytest.mark.parametrize("version", [4, 5])
async def test_more_than_the_receive_maximum_at_once_is_taken_in_turns(
    settings: Settings, database_url: str, version: int
) -> None:
    await furnish(database_url)
    async with running(with_ingest(settings, in_flight=10)) as plant:
        client = await RawClient.enter(plant.port, version=version)
        client.send(b"".join(publish(TOPIC, GOOD, packet_id=number, version=version) for number in range(1, 101)))
        assert [(await client.packet()).body[1] for _ in range(100)] == list(range(1, 101))
        # No more than the window is held unacknowledged at any time.
        assert await plant.value("SELECT max(batch) >= 10 FROM ingest_count")


async def test_a_changed_registry_ends_the_connection(plant: Plant) -> None:
    client = await RawClient.enter(plant.port)
    other = await RawClient.enter(plant.port, user="A/d2", client_id="other")
    await plant.connection.execute("UPDATE device SET enabled = false WHERE code = 'd1'")
    answer = await client.packet()
    assert answer is not None
    assert (answer.kind, answer.body[0]) == (14, 0x98)
    refused = await RawClient.open(plant.port)
    refused.send(connect())
    answer = await refused.packet()
    assert answer is not None
    assert answer.body[1] == 0x86
    other.send(b"\xc0\x00")
    assert await other.packet() == (13, b"")


async def test_connections_over_the_limit_are_not_kept(settings: Settings, database_url: str) -> None:
    await furnish(database_url)
    async with running(with_ingest(settings, max_connections=2)) as plant:
        kept = [await RawClient.enter(plant.port, client_id=f"c{number}") for number in range(2)]
        third = await RawClient.open(plant.port)
        assert await third.packet() is None
        kept[0].send(b"\xc0\x00")
        assert await kept[0].packet() == (13, b"")


async def test_a_database_that_hangs_stops_the_reading_and_not_the_endpoint(
    settings: Settings, database_url: str
) -> None:
    await furnish(database_url)
    count = 20_000
    async with running(with_ingest(settings, waiting_messages=500, batch_messages=100, spool_mb=0)) as plant:
        flood = await RawClient.enter(plant.port, version=4, client_id="flood")
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as locker:
            await locker.execute("BEGIN; LOCK TABLE reading_dust IN ACCESS EXCLUSIVE MODE")
            flood.send(b"".join(publish(TOPIC, GOOD, qos=0, version=4) for _ in range(count)))
            waiting = "SELECT (detail->>'waiting')::int FROM worker WHERE room = 'ingest'"
            await eventually(lambda: plant.value(f"{waiting} AND (detail->>'waiting')::int > 500"))
            # What was read in one piece may pass the bound, but no more than that; the rest waits in the sockets.
            held = await plant.value(waiting)
            assert 500 < held < count
            # Others still come in, and are asked to wait.
            other = await RawClient.open(plant.port)
            await locker.execute("ROLLBACK")
        other.send(connect(user="A/d2"))
        answer = await other.packet()
        assert answer is not None
        assert answer.body[1] == 0
        await eventually(lambda: plant.value(f"SELECT count(*) = {count} FROM reading_dust"), timeout=60)


async def _entries(plant: Plant, count: int) -> list:
    from sensors.entries import decode

    rows = await plant.rows("SELECT payload FROM log_entry WHERE kind = 2 ORDER BY sequence")
    return [decode(payload) for (payload,) in rows] if len(rows) >= count else []
