"""`smartsite rules test` and `explain` on the history of a database."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from core.settings import Settings
from smartsite.cli import main
from tests.alerts.world import PM10


@pytest.mark.usefixtures("settings")
def test_the_database_is_played_with_its_own_sites_and_permits(
    settings: Settings,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert settings.database.url is not None
    monkeypatch.setenv("SMARTSITE_DATABASE__URL", settings.database.url.get_secret_value())
    rules = tmp_path / "rules.toml"
    rules.write_text(PM10 + 'exempt_during = { permits = ["night_work"] }\n', encoding="utf-8")
    with psycopg.connect(database_url, autocommit=True) as connection:
        for statement in (
            "INSERT INTO site (code, name, time_zone) VALUES ('A', '工地', 'Europe/Berlin'), ('B', '工地', 'UTC')",
            "INSERT INTO device (site_id, code, kind, name, interval_s) SELECT id, 'd1', 'dust', '站', 1 FROM site",
            "INSERT INTO permit (site_id, kind, reference, starts_at, ends_at) SELECT id, 'night_work', 'n', "
            "'2026-08-01 00:00:40+00', '2026-08-01 00:00:50+00' FROM site WHERE code = 'A'",
            "INSERT INTO reading_dust (device_id, time, flags, pm10) SELECT d.id,"
            " timestamptz '2026-08-01 00:00+00' + make_interval(secs => n), 0, CASE WHEN n < 30 THEN 100 ELSE 200 END"
            " FROM device d, generate_series(1, 60) AS n",
        ):
            connection.execute(statement)
    span = ["--from", "2026-08-01", "--to", "2026-08-02"]
    assert main(["rules", "test", str(rules), *span]) == 0
    told = capsys.readouterr().out.splitlines()
    assert "4 alerts of 1 rules in 120 readings" in told
    assert [line.split("  ")[0] for line in told if "A/d1" in line] == [
        "2026-08-01 02:00:30",
        "2026-08-01 02:00:40",
        "2026-08-01 02:00:50",
    ]
    assert ["exempt" in line for line in told if "A/d1" in line] == [False, True, False]
    assert main(["rules", "test", str(rules), *span, "--site", "B"]) == 0
    assert "1 alert of 1 rules in 60 readings" in capsys.readouterr().out
    asked = ["--device", "A/d1", "--at", "2026-08-01T00:00:45Z", "--language", "en"]
    assert main(["rules", "explain", "pm10", str(rules), *span, *asked]) == 0
    assert "exempts the site" in capsys.readouterr().out
    assert main(["rules", "explain", "pm10", str(rules), *span, "--device", "A/none", "--at", "2026-08-01"]) == 1
