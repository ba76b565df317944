"""`smartsite db` and `smartsite export` on a database with some history."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from core.settings import Settings
from sensors.profiles import load_profiles
from smartsite.cli import main


@pytest.fixture
def installed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.database.url is not None
    monkeypatch.setenv("SMARTSITE_DATABASE__URL", settings.database.url.get_secret_value())


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    """To a database with site A and its dust station d1."""
    with psycopg.connect(database_url, autocommit=True) as opened:
        opened.execute("INSERT INTO site (code, name) VALUES ('A', '工地')")
        opened.execute("INSERT INTO device (site_id, code, kind, name) SELECT id, 'd1', 'dust', '站' FROM site")
        yield opened


def write(connection: psycopg.Connection, count: int) -> None:
    """Readings of the station, one a second from 2026-08-01 on."""
    connection.execute(
        "INSERT INTO reading_dust (device_id, time, flags, pm10) SELECT d.id,"
        " timestamptz '2026-08-01 00:00+00' + make_interval(secs => n), 0, random() * 100"
        " FROM device d, generate_series(1, %s) AS n",
        [count],
    )


@pytest.mark.usefixtures("installed")
def test_db_tells_what_is_stored(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    tables = {table["table"]: table for table in found["tables"]}
    assert tables["reading_dust"]["keep_days"] == 1100
    assert tables["rollup_dust_1m"]["keep_days"] == 92
    assert found["rollups"] == {"through": None, "lag_s": None, "rebuilds": []}
    assert main(["db", "--all"]) == 0
    text = capsys.readouterr().out
    assert "rollup_hoist_1d" in text
    assert "roll-ups: none yet" in text


@pytest.mark.usefixtures("installed")
def test_db_shows_what_holds_something_as_soon_as_it_does(
    connection: psycopg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["db"]) == 0
    tables = 5 * len(load_profiles())  # of each kind its readings and four roll-ups
    assert f"{tables} tables with no rows counted yet" in capsys.readouterr().out
    write(connection, 3)
    connection.execute("SELECT pg_stat_force_next_flush()")
    assert main(["db"]) == 0
    text = capsys.readouterr().out
    (line,) = [line.split() for line in text.splitlines() if line.startswith(("reading_", "rollup_"))]
    assert (line[0], line[2]) == ("reading_dust", "3")
    assert f"{tables - 1} tables with no rows counted yet" in text


@pytest.mark.usefixtures("installed")
def test_export_writes_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "dust.csv"
    span = ["--from", "2026-08-01", "--to", "2026-08-02T00:00+08:00"]
    assert main(["export", "dust", "--resolution", "15m", *span, "--output", str(target)]) == 0
    assert target.read_text().startswith("site,site_name,device,device_name,time,messages,pm10,pm10_valid")
    assert main(["export", "smoke-signals", *span]) == 1
    assert "there is no kind" in capsys.readouterr().err


@pytest.mark.usefixtures("installed")
def test_export_knows_sites_and_devices_from_misspelt_ones(
    connection: psycopg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    write(connection, 3)
    span = ["--from", "2026-08-01", "--to", "2026-08-02"]
    for chosen in (["--site", "A"], ["--device", "d1"], ["--site", "A", "--device", "d1"]):
        assert main(["export", "dust", *span, *chosen]) == 0
    for wrong, said in {
        ("--site", "B"): "there is no site 'B'",
        ("--device", "A/d1"): "there is no device 'A/d1' of kind dust",
        ("--site", "A", "--device", "d2"): "there is no device 'd2' of kind dust on site A",
    }.items():
        assert main(["export", "dust", *span, *wrong]) == 1
        assert said in capsys.readouterr().err
    assert main(["export", "hoist", *span, "--device", "d1"]) == 1
    with pytest.raises(SystemExit):
        main(["export", "dust", "--from", "yesterday", "--to", "2026-08-02"])
    assert "'yesterday' is no time; write 2026-11-01" in capsys.readouterr().err


@pytest.mark.parametrize("format_", ["csv", "parquet"])
@pytest.mark.usefixtures("installed")
def test_export_ends_when_nobody_reads_any_more(connection: psycopg.Connection, format_: str) -> None:
    """As in `smartsite export dust ... | head`."""
    write(connection, 20_000)
    command = [sys.executable, "-m", "smartsite", "export", "dust", "--format", format_]
    span = ["--from", "2026-08-01", "--to", "2026-08-02"]
    process = subprocess.Popen([*command, *span], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.read(4) in (b"site", b"PAR1")
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=60) == 1
