"""`smartsite db` and `smartsite export` on a database with some history."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.settings import Settings
from smartsite.cli import main


@pytest.fixture
def installed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.database.url is not None
    monkeypatch.setenv("SMARTSITE_DATABASE__URL", settings.database.url.get_secret_value())


@pytest.mark.usefixtures("installed")
def test_db_tells_what_is_stored(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    tables = {table["table"]: table for table in found["tables"]}
    assert tables["reading_dust"]["keep_days"] == 1100
    assert tables["rollup_dust_1m"]["keep_days"] == 92
    assert found["rollups"] == {"through": None, "lag_s": None, "rebuilds": []}
    assert main(["db"]) == 0
    text = capsys.readouterr().out
    assert "rollup_hoist_1d" in text
    assert "roll-ups: none yet" in text


@pytest.mark.usefixtures("installed")
def test_export_writes_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "dust.csv"
    span = ["--from", "2026-11-01", "--to", "2026-11-02T00:00+08:00"]
    assert main(["export", "dust", "--resolution", "15m", *span, "--output", str(target)]) == 0
    assert target.read_text().startswith("site,site_name,device,device_name,time,messages,pm10,pm10_valid")
    assert main(["export", "smoke-signals", *span]) == 1
    assert "there is no kind" in capsys.readouterr().err
