"""What is written to the outbox: which targets, which gate, in which state."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from alerts import adapters, outbox
from core.errors import Conflict, NotFound
from core.settings import Settings, TargetSettings
from tests.alerts.outgoing import World, target, with_targets, world
from tests.support.clock import FakeClock

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
async def place(settings: Settings, clock: FakeClock) -> AsyncIterator[World]:
    async with world(with_targets(settings, target(NOWHERE)), clock) as made:
        yield made


async def deliveries(place: World) -> list[tuple[str, str, str]]:
    return [(row["target"], row["phase"], row["state"]) for row in await place.rows("delivery")]


async def test_a_raise_is_written_once_with_its_canonical_event(place: World) -> None:
    alert = await place.alert()
    await place.enqueue(alert)
    await place.enqueue(alert)
    (row,) = await place.rows("delivery")
    assert row["state"] == "pending"
    assert row["idempotency_key"].startswith(f"smartsite-{alert.id}-raise-0-")
    assert row["payload"] == {
        "phase": "raise",
        "alert": {
            "id": alert.id,
            "rule": "pm10-high",
            "rule_version": 1,
            "kind": "threshold",
            "severity": "major",
        },
        "site": {
            "code": "east",
            "name": "东区一号工地",
            "project_code": "5101072608010101",
            "permit_number": "510107202608010101",
            "supervision_number": "",
            "region_code": "",
            "address": "",
            "latitude": None,
            "longitude": None,
            "units": [],
        },
        "subject": {"type": "device", "code": "dust-1", "name": "扬尘站", "record_number": "B-7", "factory": "F"},
        "metric": "pm10",
        "unit": "µg/m³",
        "limit": 150.0,
        "first_value": 163.5,
        "max_value": 163.5,
        "started_at": "2026-08-01T15:59:59.000+08:00",
        "ended_at": None,
        "quality": {},
        "evidence": [],
        "amendment": 0,
    }


async def test_an_end_carries_the_maximum_and_the_end_in_site_time(place: World, clock: FakeClock) -> None:
    alert = await place.alert()
    await place.enqueue(alert)
    await clock.advance(600)
    await place.enqueue(await place.clear(alert), "end")
    raised, ended = await place.rows("delivery")
    assert ended["payload"]["max_value"] == 210.0
    assert ended["payload"]["ended_at"] == "2026-08-01T16:10:00.000+08:00"
    assert raised["idempotency_key"] != ended["idempotency_key"]


@pytest.mark.parametrize(
    ("changes", "phases"),
    [
        ({}, ["raise", "end"]),
        ({"push_on": "raise"}, ["raise"]),
        ({"push_on": "end"}, ["end"]),
        ({"rules": ["noise-*"]}, []),
        ({"rules": ["noise-*", "pm10-*"]}, ["raise", "end"]),
        ({"rules": []}, []),
        ({"sites": ["west"]}, []),
        ({"sites": ["west", "east"]}, ["raise", "end"]),
        ({"min_severity": "critical"}, []),
        ({"min_severity": "major"}, ["raise", "end"]),
    ],
)
async def test_targets_choose(place: World, changes: dict[str, Any], phases: list[str]) -> None:
    place.settings = with_targets(place.settings, target(NOWHERE, **changes))
    alert = await place.alert()
    await place.enqueue(alert)
    await place.enqueue(await place.clear(alert), "end")
    assert [phase for _, phase, _ in await deliveries(place)] == phases


async def test_a_rule_can_name_its_targets(place: World) -> None:
    place.settings = with_targets(
        place.settings, target(NOWHERE, name="city", rules=[]), target(NOWHERE, name="province", rules=[])
    )
    await place.connection.execute(
        "INSERT INTO rule_version VALUES ('pm10-high', 1, %s, '', now())", ('{"targets": ["province"]}',)
    )
    await place.enqueue(await place.alert())
    assert await deliveries(place) == [("province", "raise", "pending")]


@pytest.mark.parametrize(
    ("field", "words"), [("project_code", "no project_code (项目统一编码)"), ("permit_number", "no permit_number")]
)
async def test_a_site_without_registration_data_is_not_pushed_until_it_has_them(
    place: World, field: str, words: str
) -> None:
    await place.connection.execute(f"UPDATE site SET {field} = ''")
    await place.reload()
    await place.enqueue(await place.alert())
    (row,) = await place.rows("delivery")
    assert (row["state"], words in row["reason"]) == ("config_error", True)
    assert await place.resend(row["id"]) == "config_error"
    await place.connection.execute(f"UPDATE site SET {field} = 'P-1'")
    await place.reload()
    assert await place.resend(row["id"]) == "pending"
    (row,) = await place.rows("delivery")
    assert (row["payload"]["site"][field], row["reason"]) == ("P-1", "")


async def test_only_what_has_stopped_can_be_sent_again(place: World) -> None:
    await place.enqueue(await place.alert())
    (row,) = await place.rows("delivery")
    with pytest.raises(Conflict, match="is pending"):
        await place.resend(row["id"])
    with pytest.raises(NotFound):
        await place.resend(999)


@pytest.mark.parametrize(
    ("policy", "score", "state"),
    [
        ("review", 0.99, "held"),
        ("auto", 0.5, "pending"),
        ("auto_above", 0.89, "held"),
        ("auto_above", 0.9, "pending"),
    ],
)
async def test_vision_alerts_pass_the_sites_gate(place: World, policy: str, score: float, state: str) -> None:
    await place.connection.execute("UPDATE site SET vision_policy = %s, vision_auto_score = 0.9", (policy,))
    await place.reload()
    alert = await place.vision_alert(score=score)
    await place.enqueue(alert)
    (row,) = await place.rows("delivery")
    assert row["state"] == state
    assert row["payload"]["evidence"] == [{"role": "frame", "sha256": alert.frame_sha256, "media_type": "image/jpeg"}]
    assert row["payload"]["subject"]["type"] == "camera"


@pytest.mark.parametrize(
    ("verdict", "states"), [("confirmed", ["pending", "pending"]), ("false_alarm", ["withdrawn", "withdrawn"])]
)
async def test_a_verdict_lets_go_of_raise_and_end(place: World, verdict: Any, states: list[str]) -> None:
    alert = await place.vision_alert()
    await place.enqueue(alert)
    await place.enqueue(await place.clear(alert), "end")
    assert await place.states() == ["held", "held"]
    async with place.connection.transaction():
        await outbox.release(place.connection, await place.change(alert, verdict=verdict), verdict, place.clock)
    assert await place.states() == states


@pytest.mark.parametrize(("verdict", "state"), [("confirmed", "pending"), ("false_alarm", "withdrawn")])
async def test_an_end_after_the_verdict_follows_it(place: World, verdict: Any, state: str) -> None:
    alert = await place.vision_alert()
    await place.enqueue(alert)
    alert = await place.change(alert, verdict=verdict)
    await outbox.release(place.connection, alert, verdict, place.clock)
    await place.enqueue(await place.clear(alert), "end")
    assert await place.states() == [state, state]


async def test_a_false_alarm_found_before_the_first_call_is_not_sent(place: World) -> None:
    await place.connection.execute("UPDATE site SET vision_policy = 'auto'")
    await place.reload()
    untouched, tried = await place.vision_alert(), await place.alert()
    await place.enqueue(untouched)
    await place.enqueue(tried)
    await place.connection.execute("UPDATE delivery SET attempts = 1 WHERE alert_id = %s", (tried.id,))
    for alert in (untouched, tried):
        await outbox.release(place.connection, alert, "false_alarm", place.clock)
    assert await place.states() == ["withdrawn", "pending"]


async def test_an_amendment_withdrawn_takes_no_end_with_it(place: World) -> None:
    """The regulator has the raise: it is told the end, whatever becomes of a later amendment."""
    await place.connection.execute("UPDATE site SET vision_policy = 'auto'")
    await place.reload()
    alert = await place.vision_alert()
    await place.enqueue(alert)
    await place.connection.execute("UPDATE delivery SET state = 'accepted', attempts = 1")
    for _ in range(2):
        await outbox.amend(place.connection, alert, place.registry, place.settings, place.clock)
    assert await place.states() == ["accepted", "pending", "pending"]
    rows = await place.rows("delivery")
    assert [row["payload"]["amendment"] for row in rows] == [row["amendment"] for row in rows] == [0, 1, 2]
    alert = await place.change(alert, verdict="false_alarm")
    await outbox.release(place.connection, alert, "false_alarm", place.clock)
    assert await place.states() == ["accepted", "withdrawn", "withdrawn"]
    with_end = await place.change(await place.clear(alert), verdict=None)
    await place.enqueue(with_end, "end")
    assert await place.states() == ["accepted", "withdrawn", "withdrawn", "pending"]


@pytest.mark.parametrize(
    ("fields", "amended"),
    [
        ({}, True),
        ({"adapter": "alertmanager"}, False),
        ({"adapter": "form", "options": {"amendments": True}}, True),
        ({"adapter": "form", "options": {}}, False),
        ({"adapter": "nowhere"}, False),
    ],
)
def test_the_adapter_says_whether_its_regulator_takes_amendments(fields: dict[str, Any], amended: bool) -> None:
    assert adapters.amends(TargetSettings(name="bureau", url=NOWHERE, **fields)) is amended


async def test_keys_of_two_installations_never_meet(place: World, clock: FakeClock) -> None:
    alert = await place.alert()
    key = outbox.idempotency_key(alert, "bureau", "raise")
    await clock.advance(0.001)
    await place.change(alert, raised_at=clock.now())
    assert key == outbox.idempotency_key(alert, "bureau", "raise")
    assert key != outbox.idempotency_key(await place.change(alert, raised_at=clock.now()), "bureau", "raise")


def test_the_docs_name_every_state() -> None:
    page = (Path(__file__).parents[2] / "docs" / "regulators.md").read_text(encoding="utf-8")
    schema = (Path(outbox.__file__).parent / "migrations" / "0002_outbox.sql").read_text(encoding="utf-8")
    states = re.findall(r"'(\w+)'", next(line for line in schema.splitlines() if "'uncertain'" in line))
    assert len(states) == 9
    assert [name for name in states if f"`{name}`" not in page] == []
