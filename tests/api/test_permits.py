"""Permits: entered and withdrawn by the bureau, seen by the site, audited; alerts of exempt times apart."""

from __future__ import annotations

from typing import Any

from psycopg.types.json import Jsonb

from tests.api.conftest import LogIn
from tests.api.world import World

ROOT = "/api/v1/"
NIGHT: dict[str, Any] = {
    "kind": "night_work",
    "reference": "夜施 2026-0031",
    "starts_at": 1785592800000,
    "ends_at": 1785621600000,
    "source": "市住建局",
}


async def test_a_permit_is_entered_listed_and_withdrawn(log_in: LogIn, world: World) -> None:
    operator, officer = await log_in("operator"), await log_in("officer")
    path = f"{ROOT}sites/{world.ids['north']}/permits"
    answer = await operator.post(path, json=NIGHT)
    assert answer.status_code == 201, answer.text
    permit = answer.json()
    assert permit == {**NIGHT, "id": permit["id"], "site_id": world.ids["north"], "withdrawn": False}
    assert (await operator.post(path, json=NIGHT)).status_code == 409
    assert (await officer.get(path)).json() == [permit]
    gone = await operator.delete(f"{ROOT}permits/{permit['id']}")
    assert gone.json() == {**permit, "withdrawn": True}
    assert (await operator.delete(f"{ROOT}permits/{permit['id']}")).status_code == 200
    assert (await officer.get(path)).json() == [{**permit, "withdrawn": True}]
    rows = await (
        await world.connection.execute("SELECT action, actor FROM audit WHERE action LIKE 'permit.%' ORDER BY id")
    ).fetchall()
    assert rows == [("permit.enter", "code-operator"), ("permit.withdraw", "code-operator")]


async def test_the_site_does_not_permit_itself(log_in: LogIn, world: World) -> None:
    number = await world.permit("p-1", "north")
    for login in ("officer", "supervisor"):
        client = await log_in(login)
        assert (await client.post(f"{ROOT}sites/{world.ids['north']}/permits", json=NIGHT)).status_code == 403
        assert (await client.delete(f"{ROOT}permits/{number}")).status_code == 403
    row = await (await world.connection.execute("SELECT count(*), bool_and(enabled) FROM permit")).fetchone()
    assert row == (1, True)


async def test_a_permit_that_cannot_be_is_refused(log_in: LogIn, world: World) -> None:
    operator = await log_in("operator")
    path = f"{ROOT}sites/{world.ids['north']}/permits"
    for change in (
        {"kind": "Night work"},
        {"reference": ""},
        {"ends_at": NIGHT["starts_at"]},
        {"starts_at": 1},
        {"ends_at": 10**17},
        {"extra": 1},
    ):
        assert (await operator.post(path, json={**NIGHT, **change})).status_code == 422, change


async def test_alerts_of_exempt_times_are_listed_apart(log_in: LogIn, world: World) -> None:
    shown = await world.alert("open", device="dust-north")
    hidden = await world.alert(
        "exempt", device="dust-north", exempt=Jsonb({"permit": 1, "kind": "night_work", "reference": "n", "source": ""})
    )
    officer = await log_in("officer")
    assert [one["id"] for one in (await officer.get(ROOT + "alerts")).json()["items"]] == [shown]
    (found,) = (await officer.get(ROOT + "alerts", params={"exempt": True})).json()["items"]
    assert (found["id"], found["exempt"]["reference"]) == (hidden, "n")
    assert (await officer.get(f"{ROOT}alerts/{hidden}")).json()["exempt"]["kind"] == "night_work"
    (north,) = (await officer.get(ROOT + "sites")).json()["items"]
    assert sum(north["open_alerts"].values()) == 1
