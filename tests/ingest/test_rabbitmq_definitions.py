"""Definitions for RabbitMQ made from a sheet of devices."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from core.errors import InvalidInput
from ingest.rabbitmq import BINDINGS, definitions, main, password_hash, topic_of


def test_routing_keys_and_topics() -> None:
    assert topic_of("smartsite.v1.A.d1.telemetry") == "smartsite/v1/A/d1/telemetry"
    assert topic_of("smartsite.v1.A/x.d1.telemetry") == "smartsite/v1/A.x/d1/telemetry"
    assert set(BINDINGS) == {f"smartsite.v1.*.*.{level}" for level in ("telemetry", "status", "event", "reply")}


def test_the_hash_is_that_of_rabbitmqs_documentation() -> None:
    """The worked example of https://www.rabbitmq.com/docs/passwords."""
    assert password_hash("test12", bytes.fromhex("908dc60a")) == "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"


def test_a_device_may_use_its_own_topics_only() -> None:
    made = definitions([{"site": "A", "code": "d1", "secret": "s"}], user="reader", password="p", queue="q")
    assert [user["name"] for user in made["users"]] == ["reader", "A/d1"]
    (rule,) = [rule for rule in made["topic_permissions"] if rule["user"] == "A/d1"]
    assert re.search(rule["write"], "smartsite.v1.A.d1.telemetry")
    for key in ("smartsite.v1.A.d12.telemetry", "smartsite.v1.A.d1.command", "x.smartsite.v1.A.d1.telemetry"):
        assert not re.search(rule["write"], key)
    assert re.search(rule["read"], "smartsite.v1.A.d1.command")
    assert not re.search(rule["read"], "smartsite.v1.A.d1.#")
    (permission,) = [rule for rule in made["permissions"] if rule["user"] == "A/d1"]
    assert re.search(permission["configure"], "mqtt-subscription-A/d1qos1")
    assert not re.search(permission["configure"], "mqtt-subscription-A/d2qos1")


@pytest.mark.parametrize("row", [{"site": "A", "code": "d.1", "secret": "s"}, {"site": "A", "code": "d1"}])
def test_a_row_that_cannot_be_used_is_named(row: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match="line 2"):
        definitions([row], user="u", password="p", queue="q")


def test_from_a_sheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = tmp_path / "devices.csv"
    sheet.write_text("site,code,kind,secret\nA,d1,dust,geheim-1\n", encoding="utf-8-sig")
    with pytest.raises(SystemExit):
        main([str(sheet)])
    monkeypatch.setenv("SMARTSITE_INGEST__AMQP_PASSWORD", "word")
    capsys.readouterr()
    assert main([str(sheet)]) == 0
    printed = capsys.readouterr().out
    assert [user["name"] for user in json.loads(printed)["users"]] == ["smartsite", "A/d1"]
    assert "geheim-1" not in printed
    assert main([str(tmp_path / "none.csv")]) == 1
