"""Deliveries over the API: listed, looked into, sent again, settled by a person."""

from __future__ import annotations

import pytest
from fastapi import FastAPI

from core.settings import AlertsSettings, Settings, TargetSettings
from tests.api.conftest import LogIn
from tests.api.world import World

URL = "/api/v1/deliveries"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    bureau = TargetSettings(name="bureau", url="http://127.0.0.1:9", requires=[])
    return settings.model_copy(update={"alerts": AlertsSettings(targets=[bureau])})


async def test_deliveries_are_listed_newest_first_with_filters_and_pages(log_in: LogIn, world: World) -> None:
    client = await log_in("supervisor")
    alert = await world.alert("a", device="dust-north")
    ids = [await world.delivery(alert, state, target=f"t-{state}") for state in ("uncertain", "dead", "accepted")]
    items = (await client.get(URL)).json()["items"]
    assert [item["id"] for item in items] == ids[::-1]
    assert (items[0]["alert_id"], items[0]["rule"], items[0]["site_id"]) == (alert, "rule-a", world.ids["north"])
    found = (await client.get(URL, params={"state": ["dead", "uncertain"], "limit": 1})).json()
    assert [item["state"] for item in found["items"]] == ["dead"]
    found = (await client.get(URL, params={"state": ["dead", "uncertain"], "before": found["next"]})).json()
    assert [item["state"] for item in found["items"]] == ["uncertain"]
    assert found["next"] is None
    assert (await client.get(URL, params={"target": "t-accepted"})).json()["items"][0]["id"] == ids[2]


async def test_a_delivery_shows_every_call(log_in: LogIn, world: World) -> None:
    client = await log_in("officer")
    number = await world.delivery(await world.alert("a", device="dust-north"))
    found = (await client.get(f"{URL}/{number}")).json()
    (call,) = found["attempts_made"]
    assert (call["kind"], call["outcome"], call["request"]) == ("send", "no_reply", {"method": "POST"})


async def test_what_stopped_is_sent_again_and_audited(log_in: LogIn, world: World) -> None:
    client = await log_in("supervisor")
    number = await world.delivery(await world.alert("a", device="dust-north"), "dead")
    answer = await client.post(f"{URL}/{number}/resend")
    assert (answer.status_code, answer.json()["state"]) == (200, "pending")
    assert (await client.post(f"{URL}/{number}/resend")).status_code == 409
    row = await (await world.connection.execute("SELECT action, object, detail FROM audit ORDER BY id DESC")).fetchone()
    assert row == ("delivery.resend", f"delivery:{number}", {"state": "pending"})
    assert (await (await log_in("officer")).post(f"{URL}/{number}/resend")).status_code == 403


async def test_a_person_settles_a_doubt(log_in: LogIn, world: World, app: FastAPI) -> None:
    client = await log_in("supervisor")
    number = await world.delivery(await world.alert("a", device="dust-north"))
    answer = await client.post(f"{URL}/{number}/confirm", json={"reason": "局方来电确认"})
    assert answer.json()["state"] == "accepted"
    assert answer.json()["reason"].endswith("局方来电确认")
    assert (await client.post(f"{URL}/{number}/confirm", json={"reason": "again"})).status_code == 409
    assert (await client.post(f"{URL}/{number}/confirm", json={})).status_code == 422
