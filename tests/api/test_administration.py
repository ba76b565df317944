"""People, the audit log and sheets of devices, administered over the API."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from api import audit
from tests.api.conftest import LogIn
from tests.api.world import PASSWORD, World

URL = "/api/v1/accounts"
NEW = {"name": "新人", "role": "officer", "login": "newcomer", "password": "a long password", "sites": ["north"]}


async def account(client: httpx.AsyncClient, code: str) -> dict[str, Any]:
    found = {one["code"]: one for one in (await client.get(URL)).json()["items"]}
    return dict(found[code])


def form(found: dict[str, Any], **changes: Any) -> dict[str, Any]:
    left_out = {"code", "etag", "failures", "has_password", "linked"}
    return {name: value for name, value in found.items() if name not in left_out} | changes


async def change(client: httpx.AsyncClient, code: str, **changes: Any) -> httpx.Response:
    found = await account(client, code)
    return await client.put(f"{URL}/{code}", json=form(found, **changes), headers={"If-Match": found["etag"]})


async def test_a_new_person_logs_in_and_sees_their_sites(
    log_in: LogIn, visitor: httpx.AsyncClient, world: World
) -> None:
    leader = await log_in("leader")
    answer = await leader.put(f"{URL}/new", json=NEW, headers={"If-None-Match": "*"})
    assert answer.status_code == 200, answer.text
    assert "a long password" not in answer.text
    entered = await visitor.post("/api/v1/session", json={"login": "newcomer", "password": "a long password"})
    assert entered.json()["person"]["sites"] == [world.ids["north"]]
    again = await leader.put(f"{URL}/new", json=NEW, headers={"If-None-Match": "*"})
    assert (again.status_code, again.json()["error"]["code"]) == (412, "stale")
    cursor = await world.connection.execute("SELECT detail FROM audit WHERE action LIKE 'account.%'")
    ((detail,),) = await cursor.fetchall()
    assert detail["password"] is True
    assert "a long password" not in str(detail)
    assert (await audit.verify(world.connection)).broken_at is None


async def test_of_two_forms_the_second_is_stale(log_in: LogIn, world: World) -> None:
    leader = await log_in("leader")
    old = await account(leader, "code-officer")
    assert (await change(leader, "code-officer", phone="13800000000")).status_code == 200
    answer = await leader.put(
        f"{URL}/code-officer", json=form(old, phone="13911111111"), headers={"If-Match": old["etag"]}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (412, "stale")
    assert (await account(leader, "code-officer"))["phone"] == "13800000000"


async def test_a_double_click_changes_once(log_in: LogIn, world: World) -> None:
    leader = await log_in("leader")
    old = await account(leader, "code-officer")
    for _ in range(2):
        answer = await leader.put(
            f"{URL}/code-officer", json=form(old, role="supervisor"), headers={"If-Match": old["etag"]}
        )
        assert answer.status_code == 200, answer.text
    cursor = await world.connection.execute("SELECT count(*) FROM audit WHERE action = 'account.change'")
    assert await cursor.fetchone() == (1,)


async def test_what_changes_acts_at_once(log_in: LogIn, world: World) -> None:
    leader, officer = await log_in("leader"), await log_in("officer")
    await change(leader, "code-officer", sites=["south"])
    assert [one["code"] for one in (await officer.get("/api/v1/sites")).json()["items"]] == ["south"]
    await change(leader, "code-officer", password="another password")
    assert (await officer.get("/api/v1/session")).status_code == 401, "a new password ends the sessions"


async def test_somebody_who_administers_people_remains(log_in: LogIn, world: World) -> None:
    leader = await log_in("leader")
    for changes in ({"enabled": False}, {"role": "operator"}, {"all_sites": False}, {"login": None}):
        answer = await change(leader, "code-leader", **changes)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict"), changes
    assert (await account(leader, "code-leader"))["enabled"] is True


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"login": "operator"}, "body.login"),
        ({"sites": ["nowhere"]}, "body.sites"),
        ({"unit": "nobody"}, "body.unit"),
        ({"password": "short"}, "body.password"),
        ({"login": None, "password": "long enough"}, "body.login"),
        ({"name": ""}, "body.name"),
        ({"role": "king"}, "body.role"),
    ],
)
async def test_a_fault_is_told_at_its_field(log_in: LogIn, world: World, changes: Any, field: str) -> None:
    answer = await change(await log_in("leader"), "code-officer", **changes)
    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["error"]["fields"]] == [field]


async def test_a_form_must_say_what_it_read(log_in: LogIn, world: World) -> None:
    leader = await log_in("leader")
    answer = await leader.put(f"{URL}/new", json=NEW)
    assert answer.json()["error"]["fields"][0]["field"] == "header.if-match"
    assert (await leader.put(f"{URL}/new", json=NEW, headers={"If-Match": '"x"'})).status_code == 404


async def test_a_locked_log_in_is_shown_and_unlocked(log_in: LogIn, visitor: httpx.AsyncClient, world: World) -> None:
    leader = await log_in("leader")
    for _ in range(5):
        await visitor.post("/api/v1/session", json={"login": "officer", "password": "wrong"})
    right = {"login": "officer", "password": PASSWORD}
    assert (await visitor.post("/api/v1/session", json=right)).status_code == 429
    assert (await account(leader, "code-officer"))["failures"] == 5
    assert (await leader.delete(f"{URL}/code-officer/lock")).status_code == 204
    assert (await visitor.post("/api/v1/session", json=right)).status_code == 200


async def test_the_log_is_read_page_by_page(log_in: LogIn, world: World) -> None:
    for number in range(5):
        await audit.append(world.connection, at=world.now, actor="a", action="test.it", thing=f"thing:{number}")
    client = await log_in("auditor")
    first = (await client.get("/api/v1/audit", params={"limit": 3, "action": "test."})).json()
    rest = (await client.get("/api/v1/audit", params={"action": "test.", "before": first["next"]})).json()
    assert [one["object"] for one in first["items"] + rest["items"]] == [f"thing:{n}" for n in (4, 3, 2, 1, 0)]
    assert rest["next"] is None
    assert {one["actor"] for one in (await client.get("/api/v1/audit", params={"actor": "a"})).json()["items"]} == {"a"}


SHEET = """工地编码,设备编码,设备类型,设备名称,上报间隔(秒)
north,dust-9,dust,九号站,30
nowhere,dust-9,dust,九号站,30
north,dust-10,unheard,十号站,30
south,dust-south,dust,改名,30
"""


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
async def test_good_rows_of_a_sheet_are_applied_and_wrong_ones_named(
    log_in: LogIn, world: World, encoding: str
) -> None:
    client = await log_in("integrator")
    headers = {"Content-Type": "text/csv"}
    answer = await client.post("/api/v1/devices/import", content=SHEET.encode(encoding), headers=headers)
    assert answer.status_code == 200, answer.text
    told = {one["row"].split()[1]: (one["outcome"], one["field"]) for one in answer.json()["rows"]}
    assert told == {"2": ("created", ""), "3": ("error", "site"), "4": ("error", "kind"), "5": ("updated", "")}
    # The device that was there had no secret either.
    assert [one["user"] for one in answer.json()["secrets"]] == ["north/dust-9", "south/dust-south"]
    again = (await client.post("/api/v1/devices/import", content=SHEET.encode(encoding), headers=headers)).json()
    assert [one["outcome"] for one in again["rows"]] == ["error", "error", "unchanged", "unchanged"]
    assert again["secrets"] == []


@pytest.mark.parametrize("body", [b"", b"\x00\xff\xfe", b"a,b\n1,2\n", b'site,code,kind,name\n"north'])
async def test_what_is_no_sheet_is_told(log_in: LogIn, world: World, body: bytes) -> None:
    answer = await (await log_in("integrator")).post("/api/v1/devices/import", content=body)
    assert answer.status_code == 200
    assert {one["outcome"] for one in answer.json()["rows"]} == {"error"}


async def test_a_sheet_is_for_those_who_see_all_sites(log_in: LogIn, world: World) -> None:
    await world.person("part", "integrator", sites=["north"])
    answer = await (await log_in("part")).post("/api/v1/devices/import", content=SHEET.encode())
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
