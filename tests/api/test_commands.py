"""Commands: who may give them, which a device takes, what is seen of them, and that they are audited."""

from __future__ import annotations

import pytest

from sensors import commands
from sensors.commands import Reply
from tests.api.conftest import LogIn
from tests.api.world import World


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
