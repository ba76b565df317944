"""Messages over the API, rotas, and the page that acknowledges without a log-in."""

from __future__ import annotations

from datetime import timedelta

import httpx

from alerts.notices import links
from tests.api.conftest import LogIn
from tests.api.world import World
from tests.support.clock import FakeClock

WEEK = [1, 2, 3, 4, 5, 6, 7]


async def link(world: World, clock: FakeClock, alert: int, person: str = "officer", hours: float = 1) -> str:
    key = await links.signing_key(world.connection, now=clock.now())
    expires_at = clock.now() + timedelta(hours=hours)
    return "/a/" + links.make(key, alert_id=alert, person_id=world.ids[person], expires_at=expires_at)


async def acknowledged(world: World) -> tuple[str | None, ...] | None:
    return await (await world.connection.execute("SELECT acknowledged_by FROM alert")).fetchone()


async def test_looking_never_acknowledges_and_pressing_does(
    visitor: httpx.AsyncClient, world: World, clock: FakeClock
) -> None:
    address = await link(world, clock, await world.alert("<b>a</b>", device="dust-north"))
    page = await visitor.get(address)
    assert page.status_code == 200
    for shown in ("工地 north", "设备 dust-north", "170.5", "150", "喷淋", "我已知悉", "人员 officer"):
        assert shown in page.text, shown
    assert "<b>" not in page.text
    assert "<script" not in page.text
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"
    for method in ("HEAD", "OPTIONS", "PUT"):
        await visitor.request(method, address)
    assert await acknowledged(world) == (None,)

    done = await visitor.post(address, data={"comment": "洒水车已到位"})
    assert "人员 officer 已于 2026-08-01 16:00:00 确认" in done.text
    assert "<form" not in done.text
    assert await acknowledged(world) == ("code-officer",)
    again = await visitor.post(address)
    assert "已于" in again.text
    rows = await (await world.connection.execute("SELECT actor, action, detail FROM audit")).fetchall()
    assert rows == [("code-officer", "alert.acknowledge", {"comment": "洒水车已到位", "by": "link"})]
    events = await (await world.connection.execute("SELECT kind, actor FROM alert_event")).fetchall()
    assert events == [("acknowledged", "code-officer")]


async def test_the_page_speaks_the_persons_language(visitor: httpx.AsyncClient, world: World, clock: FakeClock) -> None:
    await world.connection.execute("UPDATE person SET language = 'en' WHERE id = %s", [world.ids["officer"]])
    page = await visitor.get(await link(world, clock, await world.alert("a", device="dust-north")))
    assert "I know of it: acknowledge" in page.text
    assert "Site north" in page.text


async def test_a_link_ends_with_its_time_and_with_the_persons_part_in_the_site(
    visitor: httpx.AsyncClient, world: World, clock: FakeClock
) -> None:
    alert = await world.alert("a", device="dust-north")
    foreign = await link(world, clock, alert, "southerner")
    ours = await link(world, clock, alert)
    wrong = [foreign, ours[:-2], ours + "A", "/a/x", "/a/%00", await link(world, clock, 10**12)]
    for address in wrong:
        for method in ("GET", "POST"):
            answer = await visitor.request(method, address)
            assert answer.status_code == 404, address
            assert "链接无效或已过期" in answer.text
            assert "工地 north" not in answer.text
    await clock.advance(3600)
    assert (await visitor.post(ours)).status_code == 404
    assert await acknowledged(world) == (None,)


async def test_every_message_is_listed_with_its_reason(log_in: LogIn, world: World, clock: FakeClock) -> None:
    north = await world.alert("a", device="dust-north")
    south = await world.alert("b", device="dust-south")
    for number, (alert, person, state, reason) in enumerate(
        [
            (north, "officer", "sent", "first_raise"),
            (north, "supervisor", "withheld", "off_duty"),
            (south, "southerner", "sent", "first_raise"),
        ]
    ):
        await world.connection.execute(
            "INSERT INTO notification (alert_id, phase, person_id, channel, state, reason, next_attempt_at, created_at)"
            " VALUES (%s, 'raised', %s, %s, %s, %s, %s, %s)",
            [alert, world.ids[person], f"log-{number}", state, reason, clock.now(), clock.now()],
        )
    client = await log_in("officer")
    found = (await client.get("/api/v1/notifications")).json()
    assert [(item["person"], item["reason"]) for item in found["items"]] == [
        ("code-supervisor", "off_duty"),
        ("code-officer", "first_raise"),
    ]
    only = (await client.get("/api/v1/notifications", params={"state": "withheld", "limit": 1})).json()
    assert [item["person"] for item in only["items"]] == ["code-supervisor"]
    rest = await client.get("/api/v1/notifications", params={"before": only["next"]})
    assert [item["person"] for item in rest.json()["items"]] == ["code-officer"]
    everything = (await (await log_in("operator")).get("/api/v1/notifications")).json()
    assert len(everything["items"]) == 3


async def test_a_rota_is_read_and_replaced(log_in: LogIn, world: World) -> None:
    client = await log_in("officer")
    url = f"/api/v1/sites/{world.ids['north']}/rota"
    empty = (await client.get(url)).json()
    assert (empty["version"], empty["shifts"], empty["on_duty"]) == (0, [], [])
    # It is 16:00 in Shanghai.
    shifts = [
        {"person": "code-officer", "weekdays": WEEK, "starts": "06:00", "ends": "18:00"},
        {"person": "code-supervisor", "weekdays": WEEK, "starts": "18:00", "ends": "06:00"},
    ]
    answer = await client.put(url, json={"version": 0, "shifts": shifts})
    assert (answer.status_code, answer.json()["version"]) == (200, 1)
    assert answer.json()["on_duty"] == ["code-officer"]
    assert (await client.get(url)).json()["shifts"][0]["starts"] == "06:00:00"
    stale = await client.put(url, json={"version": 0, "shifts": []})
    assert (stale.status_code, stale.json()["error"]["code"]) == (409, "conflict")
    stranger = [{"person": "code-southerner", "weekdays": [1], "starts": "06:00", "ends": "18:00"}]
    refused = await client.put(url, json={"version": 1, "shifts": stranger})
    assert refused.status_code == 422
    assert "code-southerner" in refused.json()["error"]["fields"][0]["message"]
    audited = await (await world.connection.execute("SELECT action, detail FROM audit ORDER BY id DESC")).fetchone()
    assert audited == ("rota.replace", {"version": 1, "shifts": 2, "changes": 0})


async def test_a_rota_is_changed_by_those_who_may(log_in: LogIn, world: World) -> None:
    body = {"version": 0, "shifts": []}
    assert (
        await (await log_in("auditor")).put(f"/api/v1/sites/{world.ids['north']}/rota", json=body)
    ).status_code == 403
    southerner = await log_in("southerner")
    assert (await southerner.put(f"/api/v1/sites/{world.ids['south']}/rota", json=body)).status_code == 403
    assert (await southerner.get(f"/api/v1/sites/{world.ids['south']}/rota")).status_code == 200


async def test_periodic_work_is_shown_with_its_last_run(log_in: LogIn, world: World, clock: FakeClock) -> None:
    await world.connection.execute(
        "INSERT INTO job_run (job, schedule, holder, started_at, ended_at, outcome, result)"
        " VALUES ('escalations', 'alerts', 'host:1', %s, %s, 'ok', '2 told, 0 cancelled')",
        [clock.now(), clock.now()],
    )
    (job,) = (await (await log_in("operator")).get("/api/v1/system")).json()["jobs"]
    assert (job["job"], job["outcome"], job["result"], job["next_run_at"]) == (
        "escalations", "ok", "2 told, 0 cancelled", None,
    )  # fmt: skip
