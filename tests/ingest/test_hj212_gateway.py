"""HJ 212 stations over real TCP into a real database: what is acknowledged is committed, what is wrong is set aside."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec
import pytest

from core.settings import Settings
from sensors.hj212.checksum import crc_modbus_lohi
from sensors.hj212.packet import write
from tests.ingest.plant import Plant, running
from tests.ingest.stations import BEIJING, MN, Box, data, furnish_stations, packet, port_of, recent, with_gateway
from tests.support.wait import eventually

KEY = "0123456789abcdef"


@pytest.fixture
async def plant(settings: Settings, database_url: str) -> AsyncIterator[Plant]:
    """A gateway; d2 speaks Modbus CRC and mg/m³ with a PW of its own, d3 is encrypted, b1 sends minute data only."""
    await furnish_stations(
        database_url,
        d2={"crc": "modbus-lohi", "units": {"a34002": "mg/m3"}, "password": "654321", "calibrate": False},
        d3={"key": KEY, "on_crc_fail": "warn"},
        b1={"live": "2051", "st": ["39"], "length": "strict"},
    )
    async with running(with_gateway(settings)) as plant:
        yield plant


@pytest.fixture
async def box(plant: Plant) -> AsyncIterator[Box]:
    box = await Box.connect(await port_of(plant))
    yield box
    await box.close()


async def readings(plant: Plant, name: str = "d1") -> list[tuple[float, str | None]]:
    """PM10 and its quality of a station, oldest first."""
    return await plant.rows(
        "SELECT pm10, pm10_q FROM reading_dust r JOIN device d ON d.id = r.device_id WHERE d.code = %s ORDER BY time",
        name,
    )


async def test_real_time_data_are_acknowledged_once_they_are_stored(plant: Plant, box: Box) -> None:
    at = recent()
    await box.send(data(at=at, a34002={"Rtd": 152.3, "Flag": "N"}, a34001={"Rtd": 900, "Flag": "D"}, LA={"Rtd": 63.2}))
    ack = await box.receive()
    sent = packet(at=at)
    assert ack == msgspec.structs.replace(sent, cn="9014", st="91", flag=4)
    # No waiting here: the acknowledgement said that it is committed.
    rows = await plant.rows("SELECT time, pm10, pm10_q, tsp, tsp_q, round(laeq::numeric, 1) FROM reading_dust")
    assert rows == [(at, pytest.approx(152.3), None, 900.0, "D", rows[0][5])]
    assert float(rows[0][5]) == 63.2
    assert await plant.counts() == {"messages": 1, "stored": 1, "filled": 0, "duplicates": 0, "quarantined": 0}
    assert await plant.value("SELECT connected FROM device_seen")
    assert await plant.value("SELECT count(*) FROM log_entry WHERE kind = 1") == 1

    # A station that missed the acknowledgement sends the same again.
    await box.send(data(at=at, a34002={"Rtd": 152.3, "Flag": "N"}, a34001={"Rtd": 900, "Flag": "D"}, LA={"Rtd": 63.2}))
    assert (await box.receive()).cn == "9014"
    assert (await plant.counts())["duplicates"] == 1
    await box.close()
    assert await eventually(lambda: plant.value("SELECT NOT connected FROM device_seen"))


async def test_no_acknowledgement_where_none_is_wanted(plant: Plant, box: Box) -> None:
    first, second = recent(2), recent(1)
    await box.send(data(at=first, flag=4), data(at=second, flag=None))
    # Without Flag one is sent; that of the first packet would have come before it.
    assert (await box.receive()).qn == packet(at=second).qn
    assert len(await readings(plant)) == 2


async def test_several_frames_a_read_half_frames_and_parts(plant: Plant, box: Box) -> None:
    times = [recent(10 - number) for number in range(10)]
    stream = b"".join(data(at=at) for at in times)
    for start in range(0, len(stream), 77):
        await box.send(stream[start : start + 77])
    assert [(await box.receive()).qn for _ in times] == [packet(at=at).qn for at in times]
    assert len(await readings(plant)) == 10

    # Two parts of one packet fill one row; the second brings no DataTime of its own.
    at = recent(60)
    stamp = at.astimezone(BEIJING).strftime("%Y%m%d%H%M%S")
    head = msgspec.structs.replace(packet(at=at, flag=7), pnum=2)
    one = msgspec.structs.replace(head, pno=1, content=f"DataTime={stamp};a34002-Rtd=1".encode())
    two = msgspec.structs.replace(head, pno=2, content=b"a34001-Rtd=2")
    await box.send(write(one), write(two))
    assert [(await box.receive()).cn for _ in range(2)] == ["9014", "9014"]
    assert await plant.rows("SELECT pm10, tsp FROM reading_dust WHERE time = %s", at) == [(1.0, 2.0)]


async def test_one_box_for_several_stations_and_their_policies(plant: Plant, box: Box) -> None:
    at = recent()
    plain = msgspec.structs.replace(packet("d2", at=at), pw="654321")
    stamp = at.astimezone(BEIJING).strftime("%Y%m%d%H%M%S")
    raw = write(msgspec.structs.replace(plain, content=f"DataTime={stamp};a34002-Rtd=0.2".encode()))[:-6]
    modbus = raw + crc_modbus_lohi(raw[6:]).encode() + b"\r\n"
    sealed = msgspec.structs.replace(packet("d3", at=at, flag=9), content=f"DataTime={stamp};a34002-Rtd=7".encode())
    await box.send(modbus, data(at=at), write(sealed, KEY.encode()))
    assert {(await box.receive()).mn for _ in range(3)} == {MN["d1"], MN["d2"], MN["d3"]}
    assert await readings(plant, "d2") == [(200.0, None)]
    assert await readings(plant, "d3") == [(7.0, None)]
    assert await plant.value("SELECT count(*) FROM device_seen WHERE connected") == 3


async def test_statistics_go_to_their_own_table(plant: Plant, box: Box) -> None:
    at = recent(120).replace(second=0)
    minute = {"Min": 140.1, "Avg": 152.3, "Max": 166.0, "Flag": "N"}
    await box.send(
        data(cn="2051", at=at, a34002=minute, Leq={"Data": 62.8}),
        data(cn="2061", at=at, a34002={"Avg": 150}),
        data(cn="2031", at=at, Leq={"DayData": 64.0, "NightData": 51.0}),
        data("b1", cn="2051", at=at, a34002=minute),
    )
    for _ in range(4):
        assert (await box.receive()).cn == "9014"
    query = (
        "SELECT d.code, period, metric, mean, minimum, maximum, quality FROM device_statistic s"
        " JOIN device d ON d.id = s.device_id WHERE time = %s ORDER BY d.code, period, metric"
    )
    assert await plant.rows(query, at) == [
        ("b1", "minute", "pm10", 152.3, 140.1, 166.0, None),
        ("d1", "day", "laeq_day", 64.0, None, None, None),
        ("d1", "day", "laeq_night", 51.0, None, None, None),
        ("d1", "hour", "pm10", 150.0, None, None, None),
        ("d1", "minute", "laeq", 62.8, None, None, None),
        ("d1", "minute", "pm10", 152.3, 140.1, 166.0, None),
    ]
    # Only where a station sends no real-time data do its minute means become readings.
    assert await readings(plant) == []
    assert await readings(plant, "b1") == [(pytest.approx(152.3), None)]


async def test_clock_calibration(plant: Plant, box: Box) -> None:
    await box.send(write(packet(cn="1013")))
    notified, clock = await box.receive(), await box.receive()
    assert (notified.cn, notified.qn[:4]) == ("9013", packet().qn[:4])
    assert (clock.cn, clock.st, clock.mn, clock.flag) == ("1012", "39", MN["d1"], 5)
    told = clock.content.decode().removeprefix("SystemTime=")
    near = [
        (recent() + timedelta(seconds=shift)).astimezone(BEIJING).strftime("%Y%m%d%H%M%S") for shift in range(-30, 3)
    ]
    assert told in near
    # Its answers to that are heard and need none.
    await box.send(
        write(msgspec.structs.replace(packet(cn="9011"), content=b"QnRtn=1")),
        write(msgspec.structs.replace(packet(cn="9012"), content=b"ExeRtn=2")),
        data(),
    )
    assert (await box.receive()).cn == "9014"
    assert await plant.reasons() == []


async def test_bad_frames_are_set_aside_and_the_connection_goes_on(plant: Plant, box: Box) -> None:
    good = data()
    broken = good.replace(b"152.3", b"152.4")
    bad_time = write(msgspec.structs.replace(packet(), content=b"DataTime=20261301000000;a34002-Rtd=1"))
    cases = [
        (broken, "bad_crc"),
        (b"hello\r\n", "malformed"),
        (data("d2"), "bad_credentials"),
        (data("b1").replace(b"ST=39", b"ST=22"), "bad_st"),
        (data("unknown-1"), "unknown_device"),
        (broken.replace(MN["d1"].encode(), b"X" * 24), "bad_crc"),
        (bad_time, "bad_time"),
        (data(at=recent(40 * 86_400)), "too_old"),
        (data(at=recent(-7200)), "in_future"),
        (write(packet(cn="2021")), "unsupported"),
        (data("b1"), "unsupported"),
    ]
    await box.send(*(raw for raw, _ in cases), good)
    # What can never be better is acknowledged, so that the station goes on; the good one comes last.
    answers = [await box.receive() for _ in range(6)]
    assert [answer.cn for answer in answers] == ["9014"] * 6
    kept = await plant.rows("SELECT payload, reason FROM quarantine")
    assert sorted((bytes(payload), reason) for payload, reason in kept) == sorted((raw[:-2], why) for raw, why in cases)
    assert [source for (source,) in await plant.rows("SELECT DISTINCT source FROM quarantine")] == ["hj212"]
    assert await readings(plant) == [(pytest.approx(152.3), None)]

    # Garbage is filed under the station that spoke last, a frame under the station that it names.
    await box.send(b"AT+CSQ\r\n", data("unknown-2"), broken.replace(MN["d1"].encode(), MN["d2"].encode()), data(flag=5))
    await box.receive()
    query = (
        "SELECT q.reason, d.code FROM quarantine q LEFT JOIN device d ON d.id = q.device_id"
        " ORDER BY q.id DESC LIMIT 3"  # a batch that is written again leaves a gap between numbers
    )
    assert sorted(await plant.rows(query), key=str) == [
        ("bad_credentials", "d2"),
        ("malformed", "d1"),
        ("unknown_device", None),
    ]


async def test_a_wrong_checksum_may_pass_with_a_warning(plant: Plant, box: Box) -> None:
    await box.send(data("d3").replace(b"152.3", b"152.4"))
    assert (await box.receive()).cn == "9014"
    assert await plant.reasons() == ["bad_crc"]
    assert await readings(plant, "d3") == [(pytest.approx(152.4), None)]


async def test_noise_beside_good_frames(plant: Plant) -> None:
    """Stations go on while others send mutated frames and plain noise."""
    port = await port_of(plant)
    random_ = random.Random(20_260_801)
    times = [recent(100 - number) for number in range(100)]

    async def vandal(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(10):
            box = await Box.connect(port)
            try:
                for _ in range(20):
                    raw = bytearray(data("d2"))
                    for _ in range(chance.randrange(1, 8)):
                        raw[chance.randrange(len(raw))] = chance.randrange(256)
                    await box.send(bytes(raw), chance.randbytes(chance.randrange(300)))
                await box.close()
            except (ConnectionResetError, BrokenPipeError):
                pass  # it is shed, as it should be

    async def station() -> None:
        box = await Box.connect(port)
        for at in times:
            await box.send(data(at=at, a34002={"Rtd": random_.randrange(500)}))
            assert (await box.receive()).qn == packet(at=at).qn
        await box.close()

    await asyncio.gather(station(), *(vandal(seed) for seed in range(3)))
    assert len(await readings(plant)) == 100


async def test_a_registry_change_is_followed(plant: Plant, box: Box) -> None:
    await box.send(data("new-1"))
    assert await eventually(plant.reasons) == ["unknown_device"]
    await plant.connection.execute("UPDATE device SET mn = 'new-1' WHERE code = 'd1'")

    async def answered() -> bool:
        await box.send(data("new-1"))
        try:
            return (await box.receive(timeout=0.2)).cn == "9014"
        except TimeoutError:
            return False

    assert await eventually(answered)
    assert len(await readings(plant)) >= 1


async def test_connections_over_the_limit_and_endless_garbage_are_shed(settings: Settings, database_url: str) -> None:
    await furnish_stations(database_url)
    async with running(with_gateway(settings, hj212_max_connections=2)) as plant:
        port = await port_of(plant)
        first, second, third = [await Box.connect(port) for _ in range(3)]
        await third.closed()
        # 200 bad lines, none of them a frame.
        await second.send(b"nonsense\r\n" * 300)
        await second.closed()
        await first.send(data())
        assert (await first.receive()).cn == "9014"
        for box in (first, second, third):
            await box.close()
