"""The up-link by HJ 212: to a platform written from the standard, and to our own gateway."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from alerts.uplink import worker
from core.clock import Clock, SystemClock
from core.database import connect
from core.errors import ConfigurationError
from core.settings import AlertsSettings, Settings, UplinkSettings
from sensors.profiles import load_profiles
from sensors.registry import RegistryWatch
from sensors.rollup_work import Rollups
from sensors.tables import maintain
from tests.alerts.platform import Platform, crc, platform, read
from tests.ingest.plant import running
from tests.ingest.stations import MN as STATIONS
from tests.ingest.stations import furnish_stations, port_of, with_gateway
from tests.sensors.stored import store
from tests.support.clock import FakeClock
from tests.support.wait import eventually

PROFILES = load_profiles()
MN = "A110000000000000000000D1"
NOW = FakeClock().now()  # 2026-08-01 08:00 UTC, 16:00 at the site


def uplink(port: int, **changes: Any) -> UplinkSettings:
    fixed = {"name": "city", "host": "127.0.0.1", "port": port, "mn": {"east/dust-1": MN}, "timeout_s": 20}
    return UplinkSettings.model_validate({**fixed, "retries": 1, "minutes": 10, **changes})


def with_uplinks(settings: Settings, *uplinks: UplinkSettings) -> Settings:
    return settings.model_copy(update={"alerts": AlertsSettings(uplinks=list(uplinks))})


@contextlib.asynccontextmanager
async def serving(settings: Settings, clock: Clock) -> AsyncIterator[asyncio.Task[None]]:
    """The up-links, ended in order."""
    watch = RegistryWatch(settings.database, application="test", clock=clock)
    await watch.open()
    stop = asyncio.Event()
    watching = asyncio.create_task(watch.run(stop))
    task = asyncio.create_task(worker.run(settings, watch, PROFILES, clock, stop))
    try:
        yield task
    finally:
        stop.set()
        await asyncio.gather(task, watching)


class Station:
    """The dust station east/dust-1, a reading in ten seconds, put into the database as ingest does."""

    def __init__(self, connection: psycopg.AsyncConnection, clock: FakeClock) -> None:
        self.connection = connection
        self.clock = clock
        self._rollups = Rollups(PROFILES, clock)

    async def measure(self, start: datetime, count: int, **values: Any) -> None:
        rows = [{"time": start + timedelta(seconds=10 * number), **values} for number in range(count)]
        await store(self.connection, 1, rows)

    async def roll_up(self) -> None:
        await self._rollups.run(self.connection)

    async def pass_time(self, seconds: float) -> None:
        """Advance second by second, so that every tick of the worker has its turn."""
        for _ in range(round(seconds)):
            await self.clock.advance(1)
            await asyncio.sleep(0.002)


@pytest.fixture
async def station(settings: Settings, clock: FakeClock) -> AsyncIterator[Station]:
    async with await connect(settings.database, application="test") as connection:
        await maintain(connection, PROFILES, NOW)
        await connection.execute("INSERT INTO site (code, name) VALUES ('east', '东区')")
        await connection.execute(
            "INSERT INTO device (site_id, code, kind, name, interval_s) VALUES (1, 'dust-1', 'dust', '扬尘站', 10)"
        )
        yield Station(connection, clock)


@pytest.fixture
async def city() -> AsyncIterator[Platform]:
    async with platform() as made:
        yield made


async def begun(station: Station, commands: int) -> None:
    """Wait, while time stands still, until an up-link has noted with which periods of so many commands it begins."""

    async def noted() -> bool:
        cursor = await station.connection.execute("SELECT FROM uplink_cursor")
        return len(await cursor.fetchall()) == commands

    await eventually(noted)


async def ticking(station: Station, probe: Any) -> Any:
    """Time passes until the probe is true."""

    async def turn() -> Any:
        await station.clock.advance(1)
        found = probe()
        return await found if asyncio.iscoroutine(found) else found

    return await eventually(turn, timeout=30)


def test_the_check_of_this_test_is_that_of_the_standard() -> None:
    data = "QN=20160801085857223;ST=32;CN=1062;PW=100000;MN=010000A8900016F000169DC0;Flag=5;CP=&&RtdInterval=30&&"
    assert crc(data.encode()) == "1C80"
    assert read(f"##0101{data}1C80".encode()).items == {"RtdInterval": "30"}


async def test_real_time_data_go_out_once_each(settings: Settings, station: Station, city: Platform) -> None:
    settings = with_uplinks(settings, uplink(city.port, minutes=0, hours=False, codes={"laeq": "LA"}, real_time_s=30))
    values = {"pm10": 152.3, "tsp": 900.0, "tsp_q": "D", "laeq": 63.2, "pressure": 1003.0}
    await station.measure(NOW - timedelta(seconds=5), 1, **values)
    async with serving(settings, station.clock):
        # Time stands still, however long the machine takes to connect: the frame tells when it was made.
        await eventually(lambda: city.frames)
        await station.pass_time(40)
        (sent,) = city.frames
        # For as long as it may take until the up-link looks: what is older than a minute is not sent.
        await station.measure(station.clock.now(), 60, pm10=99.0)
        await ticking(station, lambda: len(city.frames) == 2)
    head = sent.head
    assert {name: head[name] for name in ("ST", "CN", "PW", "MN", "Flag")} == {
        "ST": "39",
        "CN": "2011",
        "PW": "123456",
        "MN": MN,
        "Flag": "5",
    }
    assert len(head["QN"]) == 17
    assert head["QN"].startswith("2026080116000")
    assert sent.items == {
        "DataTime": "20260801155955",
        "a34002-Rtd": "152.3",
        "a34002-Flag": "N",
        "a34001-Rtd": "900.0",
        "a34001-Flag": "D",
        "LA-Rtd": "63.2",
        "LA-Flag": "N",
        "a01006-Rtd": "100.3",
        "a01006-Flag": "N",
    }
    assert city.frames[1].items["a34002-Rtd"] == "99.0"


async def test_minute_and_hour_data_follow_the_roll_ups(settings: Settings, station: Station, city: Platform) -> None:
    settings = with_uplinks(settings, uplink(city.port, real_time_s=0, delay_s=60))
    async with serving(settings, station.clock):
        await begun(station, 2)
        # The up-link is new: what is before the running period is not reported.
        await station.measure(NOW - timedelta(minutes=20), 60, pm10=500.0, laeq=80.0)
        for minute in range(10):
            start = NOW + timedelta(minutes=minute)
            await station.measure(start, 6, pm10=100.0 + minute, laeq=60.0 if minute < 9 else 70.0)
        # Too few for a valid period: five minutes of ten.
        await station.measure(NOW + timedelta(minutes=10), 30, pm10=200.0, laeq=60.0)
        await station.pass_time(90)
        await station.clock.advance(21 * 60)
        await station.roll_up()
        await ticking(station, lambda: len(city.of("2051")) == 2)
        first, second = city.of("2051")
        await station.clock.advance(41 * 60)
        await station.measure(NOW + timedelta(minutes=70), 1, pm10=1.0, laeq=50.0)
        await station.roll_up()
        await ticking(station, lambda: city.of("2061"))
    assert first.items["DataTime"] == "20260801160000"
    assert (first.items["a34002-Min"], first.items["a34002-Avg"], first.items["a34002-Max"]) == (
        "100.0",
        "104.5",
        "109.0",
    )
    assert first.items["a34002-Flag"] == "N"
    # The energy mean of nine minutes at 60 and one at 70 dB.
    assert float(first.items["Leq-Data"]) == pytest.approx(62.788, abs=0.001)
    assert first.items["LMx-Data"] == "70.0"
    assert (second.items["DataTime"], second.items["a34002-Flag"]) == ("20260801161000", "D")
    (hour,) = city.of("2061")
    assert hour.items["DataTime"] == "20260801160000"
    assert hour.items["a34002-Flag"] == "D"


async def test_an_outage_is_filled_in_afterwards_in_order_and_nothing_twice(
    settings: Settings, station: Station, city: Platform
) -> None:
    settings = with_uplinks(settings, uplink(city.port, minutes=1, hours=False))
    async with serving(settings, station.clock):
        await begun(station, 1)
        await city.stop()
        for minute in range(130):
            await station.measure(NOW + timedelta(minutes=minute), 6, pm10=float(minute))
        await station.clock.advance(135 * 60)
        await station.roll_up()
        await city.start()
        await ticking(station, lambda: len(city.of("2051")) >= 130)
        assert city.connections >= 2
    times = [one.items["DataTime"] for one in city.of("2051")]
    zone = timedelta(hours=8)
    assert times == [f"{NOW + timedelta(minutes=minute) + zone:%Y%m%d%H%M%S}" for minute in range(130)]
    # Real-time data of the outage are not made up for.
    assert city.of("2011") == []
    # A new process knows how far it was.
    async with serving(settings, station.clock):
        await station.pass_time(5)
    assert len(city.of("2051")) == 130


async def test_what_is_not_acknowledged_is_sent_again_with_its_qn(
    settings: Settings, station: Station, city: Platform
) -> None:
    city.mute = 1
    # A reading stays fresh for twice the interval: longer than the time that passes meanwhile.
    settings = with_uplinks(settings, uplink(city.port, minutes=0, hours=False, timeout_s=1, real_time_s=600))
    await station.measure(NOW, 1, pm10=10.0)
    async with serving(settings, station.clock):
        await eventually(lambda: city.frames)
        assert [one.head["QN"] for one in city.heard] == [city.frames[0].head["QN"]] * 2
        # Two time-outs in a row end the connection; the next one brings it.
        city.mute = 2
        await station.clock.advance(600)
        await station.measure(station.clock.now(), 1, pm10=11.0)
        await ticking(station, lambda: len(city.frames) == 2)
        assert city.connections == 2


async def test_a_station_that_is_refused_does_not_hold_up_the_others(
    settings: Settings, station: Station, city: Platform
) -> None:
    await station.connection.execute(
        "INSERT INTO device (site_id, code, kind, name, interval_s, mn) VALUES (1, 'dust-2', 'dust', '二', 10, 'B2')"
    )
    await station.connection.execute(
        "INSERT INTO device (site_id, code, kind, name, interval_s) VALUES (1, 'dust-3', 'dust', '三', 10)"
    )
    city.refuse = {MN: 4}
    for device in (1, 2, 3):
        await store(station.connection, device, [{"time": NOW, "pm10": 5.0}])
    settings = with_uplinks(settings, uplink(city.port, minutes=0, hours=False))
    async with serving(settings, station.clock):
        await eventually(lambda: city.frames)
        assert [one.head["MN"] for one in city.frames] == ["B2"]
        await station.pass_time(30)
        # Refused once, and left alone for a minute.
        assert len([one for one in city.heard if one.head["MN"] == MN]) == 1
        city.refuse = {}
        await station.measure(station.clock.now() + timedelta(seconds=20), 60, pm10=6.0)
        await ticking(station, lambda: [one for one in city.frames if one.head["MN"] == MN])


async def test_requests_of_the_platform_are_turned_down(settings: Settings, station: Station, city: Platform) -> None:
    qn = "20260801160000000"
    city.ask = f"QN={qn};ST=39;CN=1012;PW=123456;MN={MN};Flag=5;CP=&&SystemTime=20260801160000&&"
    settings = with_uplinks(settings, uplink(city.port, minutes=0, hours=False))
    await station.measure(NOW, 1, pm10=10.0)
    async with serving(settings, station.clock):
        await ticking(station, lambda: city.frames)
        await eventually(lambda: city.answers)
    (answer,) = city.answers
    assert (answer.head["QN"], answer.head["CN"], answer.items) == (qn, "9011", {"QnRtn": "2"})


async def test_two_processes_serve_an_up_link_once(settings: Settings, station: Station, city: Platform) -> None:
    settings = with_uplinks(settings, uplink(city.port, minutes=0, hours=False))
    await station.measure(NOW, 1, pm10=10.0)
    async with serving(settings, station.clock), serving(settings, station.clock):
        await ticking(station, lambda: city.frames)
        await station.pass_time(20)
        assert (city.connections, len(city.frames)) == (1, 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"codes": {"laeq": "XX"}}, "up-link city: codes: XX is no factor code"), ({"key": "short"}, "up-link city: ")],
)
async def test_unusable_options_are_told_at_the_start(
    settings: Settings, station: Station, changes: dict[str, Any], words: str
) -> None:
    settings = with_uplinks(settings, uplink(9, **changes))
    with pytest.raises(ConfigurationError, match=words):
        async with serving(settings, station.clock) as task:
            await task


@pytest.mark.parametrize("edition", ["2017", "2025"])
async def test_our_own_gateway_takes_what_the_up_link_sends(
    settings: Settings, database_url: str, edition: str
) -> None:
    # One platform's gateway, and in the same database a station that is reported to it under another station's MN.
    key = "0123456789abcdef" if edition == "2025" else ""
    await furnish_stations(database_url, d1={"key": key, "length": "strict"})
    now = datetime.now(UTC).replace(microsecond=0)
    async with running(with_gateway(settings)) as plant:
        (device,) = await plant.rows("SELECT id FROM device WHERE code = 'd2'")
        await store(plant.connection, device[0], [{"time": now, "pm10": 152.3, "laeq": 63.2, "tsp": 9.0, "tsp_q": "B"}])
        up = uplink(await port_of(plant), mn={"A/d2": STATIONS["d1"]}, version=edition, key=key, timeout_s=10)
        up = up.model_copy(update={"sites": ["A"], "minutes": 0, "hours": False})
        await plant.connection.execute("UPDATE device SET mn = NULL WHERE code <> 'd1'")
        async with serving(with_uplinks(settings, up), SystemClock()):

            async def arrived() -> list[tuple[Any, ...]]:
                return await plant.rows(
                    "SELECT time, pm10, laeq, tsp, tsp_q FROM reading_dust r JOIN device d ON d.id = r.device_id"
                    " WHERE d.code = 'd1'"
                )

            rows = await eventually(arrived)
        assert rows == [(now, pytest.approx(152.3), pytest.approx(63.2), 9.0, "B")]
        assert await plant.reasons() == []
