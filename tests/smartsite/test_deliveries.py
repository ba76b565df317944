"""The command that shows and sends again what stopped on its way to a regulator."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from core.settings import Settings
from smartsite.cli import main
from tests.alerts.outgoing import target, with_targets, world
from tests.support.clock import FakeClock


async def _stop_two(settings: Settings) -> None:
    async with world(with_targets(settings, target("http://127.0.0.1:9")), FakeClock()) as place:
        await place.connection.execute("UPDATE site SET permit_number = ''")
        await place.reload()
        await place.enqueue(await place.alert())
        await place.enqueue(await place.alert(subject="device:2"))
        await place.connection.execute("UPDATE delivery SET state = 'dead', reason = 'given up' WHERE id = 2")


def test_what_stopped_is_shown_and_sent_again(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings.database.url is not None
    url = settings.database.url.get_secret_value()
    monkeypatch.setenv("SMARTSITE_DATABASE__URL", url)
    monkeypatch.setenv("SMARTSITE_ALERTS__TARGETS", '[{"name": "bureau", "url": "http://127.0.0.1:9"}]')
    asyncio.run(_stop_two(settings))
    assert main(["deliveries"]) == 0
    shown = capsys.readouterr().out
    assert "1  alert 1 raise to bureau  2026-08-01 08:00Z  config_error: site east has no permit_number" in shown
    assert "2 stopped" in shown
    assert main(["deliveries", "--resend", "9"]) == 1
    assert "not among the stopped deliveries: 9" in capsys.readouterr().err
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE site SET permit_number = 'P-1'")
    assert main(["deliveries", "--state", "dead", "--resend"]) == 0
    assert capsys.readouterr().out == "2: pending\n"
    assert main(["deliveries", "--resend", "1"]) == 0
    assert capsys.readouterr().out == "1: pending\n"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE delivery SET state = 'uncertain' WHERE id = 2")
    assert main(["deliveries", "--confirm", "2"]) == 0
    assert capsys.readouterr().out == "2: accepted\n"
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT state, next_attempt_at FROM delivery WHERE id = 2").fetchone() == (
            "accepted",
            None,
        )
    assert main(["deliveries"]) == 0
    assert capsys.readouterr().out == "0 stopped\n"
