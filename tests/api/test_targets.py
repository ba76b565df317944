"""Regulators over the API: how they stand, the switch, and test calls; the worker's part is written by hand here."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from psycopg.types.json import Jsonb

from core.settings import AlertsSettings, Settings
from tests.api.conftest import LogIn
from tests.api.world import World

URL = "/api/v1/targets"
SECRET = "whsec_bmV2ZXIgdG8gYmUgc2hvd24="


@pytest.fixture
def settings(settings: Settings) -> Settings:
    made = AlertsSettings.model_validate(
        {
            "targets": [
                {
                    "name": "bureau",
                    "url": "https://us:hidden-pw@regulator.example",
                    "client_id": "c-1",
                    "secret": SECRET,
                    "secrets": {"more": "hidden-too"},
                },
                {"name": "city", "adapter": "alertmanager", "url": "http://10.0.0.8:9093", "requires": []},
            ]
        }
    )
    return settings.model_copy(update={"alerts": made})


async def bureau(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get(URL)
    assert answer.status_code == 200, answer.text
    return next(one for one in answer.json()["items"] if one["name"] == "bureau")


async def put(client: httpx.AsyncClient, etag: str | None, *, on: bool, reason: str = "升级") -> httpx.Response:
    headers = {} if etag is None else {"If-Match": etag}
    return await client.put(f"{URL}/bureau/switch", json={"on": on, "reason": reason}, headers=headers)


async def test_targets_are_listed_as_they_stand_without_secrets(log_in: LogIn, world: World) -> None:
    client = await log_in("leader")
    assert (await bureau(client))["state"] == "unused"
    alert = await world.alert("dust", device="dust-north")
    await world.delivery(alert, "uncertain")
    await world.connection.execute(
        "INSERT INTO target_state "
        "(target, failures, opened_at, paused_until, reason, failed_at, failed_reason, skew_s) "
        "VALUES ('bureau', 12, %(now)s, %(now)s, 'not reached', %(now)s, 'not reached', -3.5)",
        {"now": world.now},
    )
    answer = await client.get(URL)
    assert [one["name"] for one in answer.json()["items"]] == ["bureau", "city"]
    for hidden in ("hidden-pw", "hidden-too", SECRET, "c-1"):
        assert hidden not in answer.text
    found = await bureau(client)
    assert (found["state"], found["failures"], found["failed_reason"]) == ("silent", 12, "not reached")
    assert (found["url"], found["skew_s"], found["on"]) == ("https://us:***@regulator.example", -3.5, True)
    assert (found["stopped"], found["pending"]) == (1, 0)


async def test_a_target_is_switched_with_a_reason_and_only_as_it_was_read(log_in: LogIn, world: World) -> None:
    client = await log_in("operator")
    etag = (await bureau(client))["etag"]
    assert (await put(client, None, on=False)).status_code == 422
    assert (await put(client, etag, on=False, reason="  ")).status_code == 422
    off = await put(client, etag, on=False)
    assert (off.status_code, off.json()["on"], off.json()["switched_by"]) == (200, False, "code-operator")
    assert off.json()["switch_reason"] == "升级"
    assert (off.json()["switched_by_name"], off.json()["switched_by_name_en"]) == ("人员 operator", "operator")
    twice = await put(client, etag, on=False)
    assert (twice.status_code, twice.json()) == (200, off.json()), "a double click changes nothing"
    stale = await put(client, etag, on=True, reason="anders")
    assert (stale.status_code, stale.json()["error"]["code"]) == (412, "stale")
    assert (await put(client, off.json()["etag"], on=True, reason="升级完成")).json()["on"] is True
    cursor = await world.connection.execute(
        "SELECT actor, action, object, detail FROM audit WHERE action LIKE 'target.%' ORDER BY id"
    )
    assert await cursor.fetchall() == [
        ("code-operator", "target.off", "target:bureau", {"reason": "升级"}),
        ("code-operator", "target.on", "target:bureau", {"reason": "升级完成"}),
    ]


async def test_people_who_are_gone_are_told_by_their_codes(log_in: LogIn, world: World) -> None:
    client = await log_in("leader")
    await put(client, (await bureau(client))["etag"], on=False)
    await client.post(f"{URL}/bureau/test")
    await world.connection.execute("UPDATE target_state SET switched_by = 'p-gone'")
    await world.connection.execute("UPDATE target_check SET asked_by = 'p-gone'")
    for found, by in (
        (await bureau(client), "switched_by"),
        ((await client.get(f"{URL}/bureau/test")).json(), "asked_by"),
    ):
        assert (found[by], found[f"{by}_name"], found[f"{by}_name_en"]) == ("p-gone", "p-gone", "")


async def test_an_alerts_page_tells_that_its_regulator_is_off(log_in: LogIn, world: World) -> None:
    client = await log_in("leader")
    alert = await world.alert("dust", device="dust-north")
    await world.delivery(alert, "pending")
    assert (await client.get(f"/api/v1/alerts/{alert}")).json()["deliveries"][0]["target_off_since"] is None
    await put(client, (await bureau(client))["etag"], on=False)
    now = int(world.now.timestamp() * 1000)
    assert (await client.get(f"/api/v1/alerts/{alert}")).json()["deliveries"][0]["target_off_since"] == now
    assert (await client.get("/api/v1/deliveries")).json()["items"][0]["target_off_since"] == now


async def test_a_test_call_is_asked_for_once_and_its_result_is_read(log_in: LogIn, world: World) -> None:
    client = await log_in("leader")
    url = f"{URL}/bureau/test"
    assert (await client.get(url)).json()["state"] == "none"
    first = await client.post(url)
    assert (first.status_code, first.json()["state"]) == (202, "waiting")
    assert (first.json()["asked_by_name"], first.json()["asked_by_name_en"]) == ("人员 leader", "leader")
    assert (await client.post(url)).json()["asked_at"] == first.json()["asked_at"]
    cursor = await world.connection.execute("SELECT actor, object FROM audit WHERE action = 'target.test'")
    assert await cursor.fetchall() == [("code-leader", "target:bureau")]
    for change, state in (
        ("due_at = asked_at", "unclaimed"),
        ("started_at = asked_at", "lost"),
        ("due_at = asked_at + interval '1 minute'", "running"),
    ):
        await world.connection.execute(f"UPDATE target_check SET {change}".encode())
        assert (await client.get(url)).json()["state"] == state
    step = {
        "step": "dns",
        "result": "failed",
        "code": "not_resolved",
        "values": {"host": "x"},
        "text": "x",
        "duration_ms": 1.5,
    }
    await world.connection.execute(
        "UPDATE target_check SET ended_at = asked_at, worker = 'alerts-1', report = %s", [Jsonb([step])]
    )
    found = (await client.get(url)).json()
    assert (found["state"], found["steps"]) == ("done", [step])
    assert (await client.post(url)).json()["state"] == "waiting", "one that is over is asked for anew"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_target_that_is_not_configured_is_not_found(log_in: LogIn, world: World, method: str) -> None:
    client = await log_in("leader")
    assert (await client.request(method, f"{URL}/nowhere/test")).status_code == 404
    assert (await client.put(f"{URL}/nowhere/switch", json={"on": False, "reason": "x"})).status_code == 404
    assert (await client.request(method, f"{URL}/NO%20WHERE/test")).status_code == 422
