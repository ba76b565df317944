"""What people do to alerts: comment, assign, severity, clear, mute; who may, what is written down."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.api.conftest import LogIn
from tests.api.world import World

ROOT = "/api/v1/"


async def _history(world: World, alert: int) -> list[tuple[str, str, dict[str, Any]]]:
    rows = await world.connection.execute(
        "SELECT kind, actor, detail FROM alert_event WHERE alert_id = %s ORDER BY id", [alert]
    )
    return await rows.fetchall()


async def test_a_remark_an_assignment_a_severity_and_the_end(log_in: LogIn, world: World) -> None:
    alert = await world.alert("a", device="dust-north")
    officer, supervisor = await log_in("officer"), await log_in("supervisor")
    url = f"{ROOT}alerts/{alert}"
    assert (await officer.post(f"{url}/comments", json={"comment": "已通知分包"})).status_code == 200
    people = (await officer.get(f"{url}/assignees")).json()
    everywhere = {"code-operator", "code-auditor", "code-leader", "code-integrator"}
    assert {one["code"] for one in people} == {"code-officer", "code-supervisor"} | everywhere
    for _ in range(2):
        assigned = await supervisor.put(f"{url}/assignee", json={"person": "code-officer"})
        assert (assigned.status_code, assigned.json()["assignee_name"]) == (200, "人员 officer")
    set_ = await supervisor.put(f"{url}/severity", json={"severity": "critical", "reason": "紧邻学校"})
    assert (set_.json()["severity"], set_.json()["severity_by"]) == ("critical", "code-supervisor")
    assert (await officer.put(f"{url}/assignee", json={"person": None})).json()["assignee"] is None
    cleared = await supervisor.post(f"{url}/clear", json={"comment": "误报"})
    assert cleared.json()["cleared_by"] == "code-supervisor"
    assert (await supervisor.post(f"{url}/clear", json={"comment": "x"})).status_code == 409
    assert (await supervisor.put(f"{url}/severity", json={"severity": "info"})).status_code == 409
    assert await _history(world, alert) == [
        ("commented", "code-officer", {"comment": "已通知分包"}),
        ("assigned", "code-supervisor", {"person": "code-officer"}),
        ("severity", "code-supervisor", {"from": "major", "to": "critical", "reason": "紧邻学校"}),
        ("assigned", "code-officer", {"person": None}),
        ("cleared", "code-supervisor", {"comment": "误报"}),
    ]
    shown = (await officer.get(url)).json()["events"]
    assert [
        (one["actor_name"], one["actor_name_en"], one["assignee_name"], one["assignee_name_en"]) for one in shown
    ] == [
        ("人员 officer", "officer", None, None),
        ("人员 supervisor", "supervisor", "人员 officer", "officer"),
        ("人员 supervisor", "supervisor", None, None),
        ("人员 officer", "officer", None, None),
        ("人员 supervisor", "supervisor", None, None),
    ]
    audited = await world.connection.execute(
        "SELECT action FROM audit WHERE object = %s ORDER BY id", [f"alert:{alert}"]
    )
    assert [action for (action,) in await audited.fetchall()] == [
        "alert.comment",
        "alert.assign",
        "alert.assign",
        "alert.severity",
        "alert.assign",
        "alert.clear",
    ]


async def test_several_are_acknowledged_each_by_itself(log_in: LogIn, world: World) -> None:
    officer = await log_in("officer")
    mine = [await world.alert(f"a{number}", device="dust-north") for number in range(3)]
    foreign = await world.alert("b", device="dust-south")
    await (await log_in("supervisor")).post(f"{ROOT}alerts/{mine[1]}/acknowledge")
    asked = {"ids": [mine[0], foreign, mine[1], mine[2], mine[0], 999], "comment": "已知"}
    answer = await officer.post(f"{ROOT}alerts/acknowledge", json=asked)
    assert answer.status_code == 200, answer.text
    outcomes = answer.json()
    assert outcomes["done"] == mine
    assert [(one["id"], one["code"]) for one in outcomes["refused"]] == [(foreign, "not_found"), (999, "not_found")]
    query = "SELECT acknowledged_by FROM alert WHERE id = ANY (%s) ORDER BY id"
    rows = await (await world.connection.execute(query, [[*mine, foreign]])).fetchall()
    assert [by for (by,) in rows] == ["code-officer", "code-supervisor", "code-officer", None]
    assert (await officer.post(f"{ROOT}alerts/acknowledge", json={"ids": []})).status_code == 422
    assert (await (await log_in("auditor")).post(f"{ROOT}alerts/acknowledge", json=asked)).status_code == 403


@pytest.mark.parametrize(
    ("login", "method", "path", "body", "status"),
    [
        ("auditor", "post", "comments", {"comment": "x"}, 403),
        ("auditor", "put", "assignee", {"person": None}, 403),
        ("officer", "put", "severity", {"severity": "info"}, 403),
        ("officer", "post", "clear", {"comment": "x"}, 403),
        ("southerner", "post", "clear", {"comment": "x"}, 404),
        ("officer", "put", "assignee", {"person": "code-southerner"}, 422),
        ("officer", "post", "comments", {"comment": ""}, 422),
        ("officer", "post", "comments", {"comment": "x" * 1001}, 422),
        ("supervisor", "put", "severity", {"severity": "worst"}, 422),
    ],
)
async def test_who_may_not(
    log_in: LogIn, world: World, login: str, method: str, path: str, body: dict[str, Any], status: int
) -> None:
    alert = await world.alert("a", device="dust-north")
    answer = await (await log_in(login)).request(method, f"{ROOT}alerts/{alert}/{path}", json=body)
    assert answer.status_code == status, answer.text
    assert await _history(world, alert) == []


async def test_mute_windows(log_in: LogIn, world: World) -> None:
    supervisor, officer, southerner = await log_in("supervisor"), await log_in("officer"), await log_in("southerner")
    now = int(world.now.timestamp() * 1000)
    wanted = {"site_id": world.ids["north"], "rule": "*-offline", "ends_at": now + 3_600_000, "reason": "网关更换"}
    made = await supervisor.post(f"{ROOT}mutes", json=wanted)
    assert made.status_code == 201, made.text
    mute = made.json()
    assert (mute["starts_at"], mute["made_by"], mute["ended_by"]) == (now, "code-supervisor", None)
    assert (mute["made_by_name"], mute["made_by_name_en"], mute["ended_by_name"]) == (
        "人员 supervisor",
        "supervisor",
        None,
    )
    assert (await officer.get(f"{ROOT}mutes")).json() == [mute]
    assert (await southerner.get(f"{ROOT}mutes")).json() == []
    assert (await officer.post(f"{ROOT}mutes", json=wanted)).status_code == 403
    assert (await southerner.post(f"{ROOT}mutes", json=wanted)).status_code == 404
    assert (await southerner.delete(f"{ROOT}mutes/{mute['id']}")).status_code == 404
    assert (await officer.delete(f"{ROOT}mutes/{mute['id']}")).status_code == 403
    ended = (await supervisor.delete(f"{ROOT}mutes/{mute['id']}")).json()
    assert (ended["ends_at"], ended["ended_by"]) == (now, "code-supervisor")
    assert (ended["ended_by_name"], ended["ended_by_name_en"]) == ("人员 supervisor", "supervisor")
    assert (await supervisor.delete(f"{ROOT}mutes/{mute['id']}")).json() == ended
    for change, status in (
        ({"site_id": None}, 403),
        ({"ends_at": now}, 422),
        ({"ends_at": now + 40 * 86_400_000}, 422),
        ({"rule": "DROP TABLE"}, 422),
        ({"reason": ""}, 422),
    ):
        answer = await supervisor.post(f"{ROOT}mutes", json={**wanted, **change})
        assert answer.status_code == status, change
    device, camera = world.ids["dust-north"], world.ids["cam-north"]
    for change, status in (
        ({"device_id": world.ids["dust-south"]}, 404),
        ({"camera_id": world.ids["cam-south"]}, 404),
        ({"device_id": 999_999}, 404),
        ({"device_id": device, "camera_id": camera}, 422),
    ):
        answer = await supervisor.post(f"{ROOT}mutes", json={**wanted, **change})
        assert answer.status_code == status, change
    astray = {**wanted, "device_id": world.ids["dust-south"]}
    assert (await (await log_in("operator")).post(f"{ROOT}mutes", json=astray)).status_code == 422
    everywhere = await (await log_in("operator")).post(f"{ROOT}mutes", json={**wanted, "site_id": None})
    assert everywhere.status_code == 201
    # Who sees one site sees what mutes it, and does not end what mutes all.
    assert (await supervisor.delete(f"{ROOT}mutes/{everywhere.json()['id']}")).status_code == 404


async def test_mutes_are_listed_by_what_they_cover(log_in: LogIn, world: World) -> None:
    day = timedelta(days=1)
    device, camera = world.ids["dust-north"], world.ids["cam-north"]
    await world.mute("all", None)
    await world.mute("site", "north")
    await world.mute("device", "north", device_id=device)
    await world.mute("camera", "north", camera_id=camera)
    await world.mute("over", "north", starts_at=world.now - 2 * day, ends_at=world.now - day)
    await world.mute("coming", "north", starts_at=world.now + day, ends_at=world.now + 2 * day)
    await world.mute("elsewhere", "south")
    names = {world.ids[name]: name for name in ("all", "site", "device", "camera", "over", "coming", "elsewhere")}
    client = await log_in("operator")

    async def listed(**asked: Any) -> list[str]:
        answer = await client.get(f"{ROOT}mutes", params=asked)
        assert answer.status_code == 200, answer.text
        return [names[one["id"]] for one in answer.json()]

    assert await listed() == ["elsewhere", "coming", "over", "camera", "device", "site", "all"]
    assert await listed(site_id=world.ids["north"], state="active") == ["camera", "device", "site", "all"]
    assert await listed(state=["coming", "over"]) == ["coming", "over"]
    assert await listed(device_id=device, state="active") == ["device", "site", "all"]
    assert await listed(camera_id=camera, state="active") == ["camera", "site", "all"]
    assert await listed(device_id=world.ids["dust-south"]) == ["elsewhere", "all"]
    assert await listed(limit=2, before=world.ids["over"]) == ["camera", "device"]
    officer = await log_in("officer")
    assert (await officer.get(f"{ROOT}mutes", params={"device_id": world.ids["dust-south"]})).json() == [
        one for one in (await client.get(f"{ROOT}mutes")).json() if one["id"] == world.ids["all"]
    ]


async def test_a_mute_of_a_device_has_its_site(log_in: LogIn, world: World) -> None:
    supervisor = await log_in("supervisor")
    ends_at = int(world.now.timestamp() * 1000) + 3_600_000
    made = await supervisor.post(
        f"{ROOT}mutes", json={"device_id": world.ids["dust-north"], "ends_at": ends_at, "reason": "标定"}
    )
    assert made.status_code == 201, made.text
    assert (made.json()["site_id"], made.json()["device_id"]) == (world.ids["north"], world.ids["dust-north"])


async def test_what_is_sent_again_is_done_and_recorded_once(log_in: LogIn, world: World) -> None:
    alert = await world.alert("a", device="dust-north")
    officer, supervisor = await log_in("officer"), await log_in("supervisor")
    url = f"{ROOT}alerts/{alert}"
    for key in ("key-of-remark", "key-of-remark", "another-key"):
        said = await officer.post(f"{url}/comments", json={"comment": "已通知分包"}, headers={"Idempotency-Key": key})
        assert said.status_code == 200
    other = await officer.post(f"{url}/comments", json={"comment": "x"}, headers={"Idempotency-Key": "another-key"})
    assert (other.status_code, other.json()["error"]["code"]) == (409, "conflict")
    for client in (officer, officer, supervisor, supervisor):
        asked = {"json": {"comment": "洒水车已到位"}, "headers": {"Idempotency-Key": "key-of-acknowledgement"}}
        assert (await client.post(f"{url}/acknowledge", **asked)).json()["acknowledged_by"] == "code-officer"
    assert [(kind, actor) for kind, actor, _ in await _history(world, alert)] == [
        ("commented", "code-officer"),
        ("commented", "code-officer"),
        ("acknowledged", "code-officer"),
        ("commented", "code-supervisor"),
    ]
    rows = await world.connection.execute(
        "SELECT actor, action FROM audit WHERE object = %s ORDER BY id", [f"alert:{alert}"]
    )
    assert await rows.fetchall() == [
        ("code-officer", "alert.comment"),
        ("code-officer", "alert.comment"),
        ("code-officer", "alert.acknowledge"),
        ("code-supervisor", "alert.comment"),
    ]


async def test_mine_are_those_one_was_told_of_or_is_to_deal_with(log_in: LogIn, world: World) -> None:
    told, assigned, withheld, _ = [await world.alert(code, device="dust-north") for code in "abcd"]
    officer, supervisor = await log_in("officer"), await log_in("supervisor")
    await supervisor.put(f"{ROOT}alerts/{assigned}/assignee", json={"person": "code-officer"})
    for alert, state in ((told, "sent"), (withheld, "withheld")):
        await world.connection.execute(
            "INSERT INTO notification (alert_id, phase, person_id, channel, state, reason, created_at, next_attempt_at)"
            " SELECT %s, 'raised', id, 'json', %s, 'first_raise', now(), now() FROM person WHERE code = 'code-officer'",
            [alert, state],
        )
    for client, expected in ((officer, {told, assigned}), (supervisor, set())):
        found = (await client.get(f"{ROOT}alerts", params={"mine": "true"})).json()["items"]
        assert {one["id"] for one in found} == expected
