from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path

import psycopg
import pytest

from core.clock import SystemClock
from core.settings import DatabaseSettings, IngestSettings, OidcSettings, Settings, TargetSettings, VisionSettings
from smartsite.doctor import database, machine, neighbours, rooms
from smartsite.doctor.checkup import checkup
from smartsite.doctor.finding import Finding
from tests.alerts.world import PM10
from tests.support.oidc import Idp

CLOCK = SystemClock()


class LateClock(SystemClock):
    """Runs an hour behind."""

    def now(self):  # type: ignore[no-untyped-def]
        return super().now() - timedelta(hours=1)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def by_subject(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.subject: finding for finding in findings}


async def test_sound_set_up_has_no_fault(settings: Settings, tmp_path: Path) -> None:
    page = tmp_path / "page"
    page.mkdir()
    (page / "index.html").write_text("<html>")
    ports = {"api": settings.api.model_copy(update={"port": 0, "web_dir": page})}
    ports["ingest"] = settings.ingest.model_copy(update={"mqtt_port": 0})
    ports["vision"] = settings.vision.model_copy(update={"live_port": 0})
    findings = await checkup(settings.model_copy(update=ports), clock=CLOCK)
    assert [finding for finding in findings if finding.level == "fail"] == []
    subjects = by_subject(findings)
    assert subjects["schema"].fact == "up to date"
    assert subjects["detector"].level == "ok"


async def test_everything_wrong_has_a_remedy(tmp_path: Path, taken_port: int) -> None:
    settings = Settings(
        data_dir=tmp_path,
        database=DatabaseSettings(url="postgresql://me:hush@127.0.0.1:1/x"),
        ingest=IngestSettings(
            sources=["endpoint", "broker", "hj212"],
            mqtt_port=taken_port,
            hj212_port=taken_port,
            broker_url="mqtt://127.0.0.1:1",
        ),
        vision=VisionSettings(model=tmp_path / "none.xml", live_port=0),
        alerts={"targets": [{"name": "bureau", "url": "http://127.0.0.1:1"}], "rules": [tmp_path / "none.toml"]},
        api={"port": taken_port, "web_dir": tmp_path},
    )
    findings = await checkup(settings, clock=CLOCK)
    failed = {finding.subject for finding in findings if finding.level == "fail"}
    assert failed >= {
        "port of the page",
        "port of MQTT",
        "port of HJ 212",
        "database",
        "broker",
        "regulator bureau",
        "rules",
        "detector",
        "web page",
    }
    assert all(finding.remedy for finding in findings if finding.level != "ok")
    assert "hush" not in str(findings)


async def test_a_rule_that_a_person_wrote_is_examined_too(settings: Settings) -> None:
    assert settings.database.url is not None
    with psycopg.connect(settings.database.url.get_secret_value(), autocommit=True) as connection:
        for rule, text in (("good", PM10.replace('"pm10"', '"good"', 1)), ("bad", PM10.replace("µg/m³", "mg/m³"))):
            values = [rule, text]
            connection.execute("INSERT INTO rule_written VALUES (%s, 1, %s, 'r', 'p', now())", values)
    findings = [one for one in await checkup(settings, clock=CLOCK) if one.subject == "rules"]
    (finding,) = findings
    assert finding.level == "fail"
    assert "bad (written, revision 1)" in finding.fact


async def test_pending_migration(settings: Settings) -> None:
    assert settings.database.url is not None
    with psycopg.connect(settings.database.url.get_secret_value(), autocommit=True) as connection:
        connection.execute("DELETE FROM migration WHERE room = 'api'")
    findings = by_subject([finding async for finding in database.examine(settings, clock=CLOCK)])
    assert findings["schema"].level == "fail"
    assert "smartsite migrate" in findings["schema"].remedy


async def test_clock_that_is_not_the_databases(settings: Settings) -> None:
    findings = by_subject([finding async for finding in database.examine(settings, clock=LateClock())])
    assert findings["database clock"].level == "fail"
    assert findings["database clock"].fact.startswith(("+3600.", "+3599."))


async def test_silent_process(settings: Settings) -> None:
    assert settings.database.url is not None
    with psycopg.connect(settings.database.url.get_secret_value(), autocommit=True) as connection:
        connection.execute(
            "INSERT INTO worker VALUES ('vision-1', 'vision', 'here', 1, now(), now() - interval '5 minutes', '{}')"
        )
    findings = by_subject([finding async for finding in database.examine(settings, clock=CLOCK)])
    assert findings["vision-1"].level == "warn"


async def test_gaps_in_running_numbers(settings: Settings) -> None:
    async def found() -> Finding:
        return by_subject([finding async for finding in database.examine(settings, clock=CLOCK)])["running numbers"]

    assert settings.database.url is not None
    assert (await found()).level == "ok"
    with psycopg.connect(settings.database.url.get_secret_value(), autocommit=True) as connection:
        connection.execute("INSERT INTO site (code, name) VALUES ('A', 'A')")
        connection.execute(
            "INSERT INTO device (site_id, code, kind, name)"
            " SELECT id, 'd' || n, 'dust', '' FROM site, generate_series(1, 6) n"
        )
        connection.execute(
            "INSERT INTO device_sequence SELECT id, '2026-11-02Z', 100, id % 6, 0, 0, 0, 0,"
            " now() - interval '1 day' * (id % 6 / 5), '[]' FROM device"
        )
    finding = await found()
    assert (finding.level, finding.fact) == (
        "warn",
        "4 of 6 devices have gaps of the last day; "
        "A/d4: 4 missing since 2026-11-02, A/d3: 3 missing since 2026-11-02, A/d2: 2 missing since 2026-11-02, "
        "and 1 more",
    )


async def test_regulator_with_its_clock() -> None:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _reader.readuntil(b"\r\n\r\n")
        date = format_datetime(CLOCK.now() + timedelta(minutes=10), usegmt=True)
        writer.write(f"HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        target = TargetSettings(name="bureau", url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        (finding,) = [finding async for finding in neighbours.examine_regulators([target], clock=CLOCK)]
    assert finding.level == "warn"
    assert "NTP" in finding.remedy


async def test_provider_of_log_ins(tmp_path: Path) -> None:
    idp = Idp(CLOCK)
    settings = OidcSettings(issuer=idp.url, client_id="x")

    async def found(settings: OidcSettings = settings) -> tuple[str, str]:
        finding = await neighbours.examine_provider(settings, clock=CLOCK)
        return finding.level, finding.fact

    level, fact = await found()
    assert (level, idp.url in fact) == ("fail", True)
    async with idp.running():
        assert (await found())[0] == "ok"
        idp.changes = {"issuer": "https://another.example"}
        assert await found() == ("fail", "the provider calls itself 'https://another.example': set issuer so")
    absent = settings.model_copy(update={"client_secret_file": tmp_path / "absent"})
    assert (await found(absent))[0] == "fail"


def test_full_disk(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _path: type("Usage", (), {"free": 100_000_000})())
    findings = by_subject(list(machine.examine_disk(settings)))
    assert findings["disk"].level == "fail"


def test_data_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    findings = list(machine.examine_disk(Settings(data_dir=tmp_path / "file")))
    assert findings[0].level == "fail"


def test_failing_part_is_shown(tmp_path: Path) -> None:
    board = tmp_path / "parts.json"
    board.write_text(
        '{"parts": [{"name": "ingest", "state": "failing", "last_end": "exited with status 1", "restarts": 9},'
        ' {"name": "api", "state": "running", "last_end": "", "restarts": 0}]}'
    )
    (finding,) = rooms.examine_parts(board)
    assert (finding.subject, finding.level) == ("ingest", "fail")
    assert "exited with status 1" in finding.fact
