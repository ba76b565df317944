"""Commands: who may give them, which a device takes, what is seen of them, and that they are audited."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from psycopg.types.json import Jsonb

from alerts.linkage.standing import standing
from core.settings import AlertsSettings, Settings
from sensors import commands
from sensors.commands import Reply, Requested
from tests.api.conftest import LogIn
from tests.api.world import World

LINKAGE = """
[[linkages]]
id = "dust-spray"
name = "扬尘喷淋联动"
name_en = "Spraying against dust"
rules = ["pm10-*"]
device_kind = "sprayer"
on = "spray_on"
off = "spray_off"
"""


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    path = tmp_path / "linkages.toml"
    path.write_text(LINKAGE, encoding="utf-8")
    return settings.model_copy(update={"alerts": AlertsSettings(linkages=[path])})


async def sprayer(world: World) -> str:
    """Path of the commands of a sprayer on the northern site."""
    number = await world.device("spray", "north", "sprayer")
    return f"/api/v1/devices/{number}/commands"


async def test_a_command_is_queued_audited_and_listed(log_in: LogIn, world: World) -> None:
    url = await sprayer(world)
    client = await log_in("officer")
    answer = await client.post(url, json={"name": "spray_on", "arguments": {"minutes": 5}, "cause": "渣土车出场"})
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert (told["state"], told["name"], told["arguments"]) == ("queued", "spray_on", {"minutes": 5})
    assert (told["requested_by"], told["cause"]) == ("code-officer", "渣土车出场")
    assert told["expires_at"] - told["requested_at"] == 60_000
    rows = await (
        await world.connection.execute("SELECT actor, object, detail FROM audit WHERE action = 'device.command'")
    ).fetchall()
    detail = {"command": told["id"], "name": "spray_on", "arguments": {"minutes": 5}, "cause": "渣土车出场"}
    assert rows == [("code-officer", f"device:{world.ids['spray']}", detail)]
    await commands.settle(
        world.connection, [(world.ids["spray"], Reply(id=told["id"], ok=False, detail="no water"), 0)]
    )
    (await client.post(url, json={"name": "spray_off"})).raise_for_status()
    items = (await client.get(url)).json()["items"]
    assert [(one["name"], one["state"], one["reply"]) for one in items] == [
        ("spray_off", "queued", None),
        ("spray_on", "failed", "no water"),
    ]
    assert [one["name"] for one in (await client.get(url, params={"before": items[0]["id"]})).json()["items"]] == [
        "spray_on"
    ]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"name": "explode"}, "spray_on, spray_off"),
        ({"name": "spray_on", "arguments": {"x": "y" * 5000}}, "4096"),
        ({"name": "spray_on", "arguments": {"x": "\0"}}, "NUL"),
        ({"name": "spray_on", "cause": "\0"}, "cause"),
        ({"name": "spray_on", "expires_s": 1}, "expires_s"),
        ({"name": "spray_on", "at_once": True}, "at_once"),
    ],
)
async def test_what_cannot_be_asked(log_in: LogIn, world: World, body: dict[str, object], words: str) -> None:
    answer = await (await log_in("operator")).post(await sprayer(world), json=body)
    assert answer.status_code == 422
    assert words in answer.text


async def test_a_device_without_commands_takes_none(log_in: LogIn, world: World) -> None:
    url = f"/api/v1/devices/{world.ids['dust-north']}/commands"
    answer = await (await log_in("operator")).post(url, json={"name": "spray_on"})
    assert answer.status_code == 422
    assert "take no commands" in answer.text


async def test_who_may_not(log_in: LogIn, world: World) -> None:
    url = await sprayer(world)
    for login in ("supervisor", "auditor"):
        client = await log_in(login)
        assert (await client.post(url, json={"name": "spray_on"})).status_code == 403
        assert (await client.get(url)).status_code == 200
    client = await log_in("officer")
    del client.headers["X-CSRF-Token"]
    assert (await client.post(url, json={"name": "spray_on"})).json()["error"]["code"] == "csrf"


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"minutes": 0}, "must be at least 0.1 min"),
        ({"minutes": 500}, "must be at most 120 min"),
        ({"minutes": "5"}, "must be a number"),
        ({"minuets": 5}, "is none of minutes"),
    ],
)
async def test_arguments_that_do_not_fit_are_named(
    log_in: LogIn, world: World, arguments: dict[str, object], fault: str
) -> None:
    url = await sprayer(world)
    answer = await (await log_in("officer")).post(url, json={"name": "spray_on", "arguments": arguments})
    assert answer.status_code == 422
    (name,) = arguments
    (told,) = answer.json()["error"]["fields"]
    assert (told["field"], told["message"]) == (f"body.arguments.{name}", fault)


@pytest.mark.parametrize("value", ["NaN", "-Infinity", '"\\ud800"'])
async def test_what_is_no_json_in_the_end_is_refused(log_in: LogIn, world: World, value: str) -> None:
    url = await sprayer(world)
    body = f'{{"name": "spray_off", "arguments": {{"x": {value}}}}}'
    client = await log_in("officer")
    answer = await client.post(url, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_input"), answer.text


async def test_the_downlink_of_a_site(log_in: LogIn, world: World) -> None:
    url = await sprayer(world)
    await world.device("spray-south", "south", "sprayer")
    client = await log_in("officer")
    for name in ("spray_on", "spray_off") * 4:
        (await client.post(url, json={"name": name})).raise_for_status()
    spray, dust = world.ids["spray"], await world.alert("dust", device="dust-north")
    at = world.now - timedelta(seconds=5)
    await world.connection.execute(
        "INSERT INTO linkage_decision (at, linkage, device_id, decision, reason, code, facts, alert_id)"
        " VALUES (%s, 'dust-spray', %s, 'on', 'alert 1 is open', 'alert_open', '{}', %s),"
        " (%s, 'gone', %s, 'paused', 'x', 'command_by_hand', %s, NULL)",
        [at, spray, dust, at, spray, Jsonb({"by": "code-officer", "command": "spray_off"})],
    )
    await world.connection.execute(
        "INSERT INTO linkage_device (device_id, linkage, is_on, since, off_command)"
        " VALUES (%s, 'dust-spray', true, %s, '')",
        [spray, at],
    )
    answer = await client.get(f"/api/v1/sites/{world.ids['north']}/control")
    assert answer.status_code == 200, answer.text
    (device,) = answer.json()["devices"]
    assert device["device_id"] == spray
    assert [one["name"] for one in device["commands"]] == ["spray_off", "spray_on"] * 3
    assert (device["commands"][0]["requested_by_name"], device["commands"][0]["state"]) == ("人员 officer", "queued")
    stands = device["automatic"]
    assert (stands["state"], stands["linkage"], stands["until"], stands["override"]) == ("on", "dust-spray", None, None)
    assert [(one["id"], one["name_en"], one["pause_s"]) for one in stands["linkages"]] == [
        ("dust-spray", "Spraying against dust", 1800)
    ]
    paused, on = answer.json()["decisions"]
    assert (on["decision"], on["alert_id"], on["rule_name"], on["linkage_name"]) == (
        "on",
        dust,
        "rule-dust",
        "扬尘喷淋联动",
    )
    assert (paused["linkage_name"], paused["by_name"], paused["facts"]["command"]) == (
        "gone",
        "人员 officer",
        "spray_off",
    )


async def test_a_linkage_is_named_where_it_gave_the_command(log_in: LogIn, world: World) -> None:
    url = await sprayer(world)
    wanted = Requested(
        device=world.ids["spray"], name="spray_on", by="linkage:dust-spray", expires_at=world.now + timedelta(minutes=1)
    )
    await commands.request(world.connection, wanted, now=world.now)
    (item,) = (await (await log_in("officer")).get(url)).json()["items"]
    assert (item["requested_by_name"], item["requested_by_name_en"]) == ("扬尘喷淋联动", "Spraying against dust")


async def test_a_device_is_taken_over_and_given_back(log_in: LogIn, world: World) -> None:
    url = (await sprayer(world)).removesuffix("commands") + "override"
    spray = world.ids["spray"]
    client = await log_in("officer")
    stands = (await client.put(url, json={"minutes": 20})).json()
    assert (stands["state"], stands["override"]["by_name"]) == ("paused", "人员 officer")
    assert stands["until"] == stands["override"]["until"] == int((world.now + timedelta(minutes=20)).timestamp() * 1000)
    assert (await standing(world.connection, [spray], now=world.now))[spray]["override_by"] == "code-officer"
    stands = (await client.delete(url)).json()
    assert (stands["state"], stands["override"]) == ("idle", None)
    rows = await (
        await world.connection.execute(
            "SELECT action, detail FROM audit WHERE object = %s ORDER BY id", [f"device:{spray}"]
        )
    ).fetchall()
    assert rows == [("device.take_over", {"minutes": 20}), ("device.give_back", {})]


async def test_who_and_what_may_not_be_taken_over(log_in: LogIn, world: World) -> None:
    url = (await sprayer(world)).removesuffix("commands") + "override"
    client = await log_in("officer")
    assert (await client.put(url, json={"minutes": 0})).status_code == 422
    for login in ("supervisor", "auditor"):
        other = await log_in(login)
        assert (await other.put(url, json={"minutes": 5})).status_code == 403
        assert (await other.delete(url)).status_code == 403
    answer = await client.put(f"/api/v1/devices/{world.ids['dust-north']}/override", json={"minutes": 5})
    assert (answer.status_code, answer.json()["error"]["hint"]) == (422, "it is switched by commands alone")
