"""Rectification orders over the API: access, versions, keys, photos, statistics."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import cv2
import httpx
import numpy as np

from tests.api.conftest import CookieOf, LogIn
from tests.api.world import World
from tests.support.clock import FakeClock

URL = "/api/v1/rectifications"


def jpeg(shade: int = 90, side: int = 64) -> bytes:
    return bytes(cv2.imencode(".jpg", np.full((side, side, 3), shade, np.uint8))[1])


def wanted(world: World, **changes: Any) -> dict[str, Any]:
    return {
        "site_id": world.ids["north"],
        "level": "general",
        "title": "临边防护缺失",
        "requirement": "立即恢复临边防护",
        "person": "code-officer",
        **changes,
    }


async def send(client: httpx.AsyncClient, path: str, body: dict[str, Any], key: str = "") -> httpx.Response:
    key = key or hashlib.sha256(f"{path} {body}".encode()).hexdigest()
    return await client.post(f"{URL}{path}", json=body, headers={"Idempotency-Key": key})


@contextlib.asynccontextmanager
async def sending(
    server: str, path: str, headers: dict[str, str], beginning: bytes, size: int
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection on which only the beginning of a body of `size` bytes was sent."""
    host, _, port = server.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = {"Host": server, "Content-Type": "image/jpeg", "Content-Length": str(size), **headers}
    head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
    try:
        writer.write(head.encode() + beginning)
        await writer.drain()
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_the_whole_loop(log_in: LogIn, world: World, clock: FakeClock) -> None:
    supervisor, officer = await log_in("supervisor"), await log_in("officer")
    placed = await send(supervisor, "", wanted(world))
    assert placed.status_code == 200, placed.text
    order = placed.json()
    assert (order["number"], order["state"], order["version"]) == ("north-2026-0001", "ordered", 1)
    assert order["person"] == {"code": "code-officer", "name": "人员 officer", "name_en": "officer"}
    path = f"/{order['id']}"
    assert (await send(officer, f"{path}/start", {"version": 1})).json()["state"] == "rectifying"
    uploaded = await officer.post(f"{URL}{path}/photos", content=jpeg(), headers={"Content-Type": "image/jpeg"})
    assert uploaded.status_code == 200, uploaded.text
    sha256 = uploaded.json()["sha256"]
    again = await officer.post(f"{URL}{path}/photos", content=jpeg(), headers={"Content-Type": "image/jpeg"})
    assert again.json()["sha256"] == sha256
    submitted = await send(officer, f"{path}/submit", {"version": 2, "text": "已恢复", "photos": [sha256]})
    assert submitted.json()["state"] == "submitted"
    assert [photo["event_id"] is not None for photo in submitted.json()["photos"]] == [True]
    assert (await supervisor.get(f"/api/v1/evidence/{sha256}")).status_code == 200
    assert (await (await log_in("southerner")).get(f"/api/v1/evidence/{sha256}")).status_code == 404
    passed = await send(supervisor, f"{path}/review", {"version": 3, "passed": True, "text": "合格"})
    assert passed.json()["state"] == "passed"
    assert [event["kind"] for event in passed.json()["events"]] == ["ordered", "started", "submitted", "passed"]
    assert all(event["actor_name_en"] == event["actor"].removeprefix("code-") for event in passed.json()["events"])
    assert passed.json()["ordered_by_name_en"] == passed.json()["ordered_by"].removeprefix("code-")
    statement = "SELECT action FROM audit WHERE object LIKE 'rectification:%' ORDER BY id"
    actions = await (await world.connection.execute(statement)).fetchall()
    assert [action for (action,) in actions] == [
        "rectification.order",
        "rectification.start",
        "rectification.photo",
        "rectification.photo",
        "rectification.submit",
        "rectification.review",
    ]


async def test_sent_again_it_is_done_once_and_at_once_it_is_done_once(log_in: LogIn, world: World) -> None:
    client = await log_in("supervisor")
    answers = await asyncio.gather(*(send(client, "", wanted(world), "the-same-key") for _ in range(4)))
    assert {(answer.status_code, answer.json()["id"]) for answer in answers} == {(200, answers[0].json()["id"])}
    other = await send(client, "", wanted(world, title="另一处"), "the-same-key")
    assert (other.status_code, other.json()["error"]["code"]) == (409, "conflict")
    rows = await (await world.connection.execute("SELECT count(*) FROM rectification")).fetchone()
    assert rows == (1,)
    missing = await client.post(URL, json=wanted(world))
    assert missing.status_code == 422
    assert missing.json()["error"]["fields"][0]["field"] == "header.Idempotency-Key"


async def test_a_stale_version_is_a_conflict_and_a_failed_write_uses_up_no_key(log_in: LogIn, world: World) -> None:
    officer = await log_in("officer")
    order = (await send(await log_in("supervisor"), "", wanted(world))).json()
    stale = await send(officer, f"/{order['id']}/start", {"version": 7}, "start-key-1")
    assert (stale.status_code, stale.json()["error"]["code"]) == (409, "conflict")
    assert (await send(officer, f"/{order['id']}/start", {"version": 1}, "start-key-1")).status_code == 200


async def test_who_may_do_what(log_in: LogIn, world: World) -> None:
    supervisor, officer, auditor = await log_in("supervisor"), await log_in("officer"), await log_in("auditor")
    assert (await send(officer, "", wanted(world))).status_code == 403
    order = (await send(supervisor, "", wanted(world))).json()
    path = f"/{order['id']}"
    listing = {"version": 1, "listed": True, "text": "挂牌"}
    for client, tail, body in (
        (auditor, "start", {"version": 1}),
        (supervisor, "start", {"version": 1}),
        (officer, "review", {"version": 1, "passed": True}),
        (supervisor, "supervision", listing),
        (supervisor, "stop-work", {"version": 1, "scope": "全部", "text": "x"}),
        (officer, "withdraw", {"version": 1}),
        (auditor, "comment", {"version": 1, "text": "x"}),
    ):
        assert (await send(client, f"{path}/{tail}", body)).status_code == 403, tail
    assert (await auditor.post(f"{URL}{path}/photos", content=jpeg())).status_code == 403
    assert (await auditor.get(f"{URL}{path}")).status_code == 200


async def test_a_listed_order_is_passed_by_those_who_supervise(log_in: LogIn, world: World) -> None:
    await world.person("inspector", "inspector", sites=["north"])
    inspector, supervisor, officer = await log_in("inspector"), await log_in("supervisor"), await log_in("officer")
    order = (await send(inspector, "", wanted(world, level="serious", source="inspection"))).json()
    path = f"/{order['id']}"
    assert order["source"] == "inspection"
    await send(inspector, f"{path}/supervision", {"version": 1, "listed": True, "text": "市级挂牌"})
    sha256 = (await officer.post(f"{URL}{path}/photos", content=jpeg(7))).json()["sha256"]
    await send(officer, f"{path}/submit", {"version": 2, "photos": [sha256]})
    assert (await send(supervisor, f"{path}/review", {"version": 3, "passed": True})).status_code == 403
    done = await send(inspector, f"{path}/review", {"version": 3, "passed": True})
    assert (done.status_code, done.json()["state"]) == (200, "passed")


async def test_photos_that_are_none_or_too_large_are_refused(log_in: LogIn, world: World) -> None:
    officer = await log_in("officer")
    order = (await send(await log_in("supervisor"), "", wanted(world))).json()
    url = f"{URL}/{order['id']}/photos"
    assert (await officer.post(url, content=b"<svg/>")).json()["error"]["code"] == "invalid_input"
    assert (await officer.post(url, content=b"")).json()["error"]["code"] == "invalid_input"
    assert (await officer.post(url, content=bytes(11 * 1024 * 1024))).status_code == 413
    # The larger limit is that of photos alone.
    assert (await officer.post(f"{URL}/{order['id']}/start", content=bytes(100_000))).status_code == 413


async def test_who_has_no_part_is_answered_before_the_photo_is_read(
    server: str, current_world: World, cookie_of: CookieOf
) -> None:
    """Senders of a large body that never comes: those who may not upload are answered, the others are waited for."""
    officer = await cookie_of("officer")
    headers = await cookie_of("supervisor") | {"Idempotency-Key": "an-order-of-north"}
    async with httpx.AsyncClient(base_url=f"http://{server}", headers=headers, trust_env=False) as client:
        order = (await client.post(URL, json=wanted(current_world))).json()
    path = f"{URL}/{order['id']}/photos"
    beginning = jpeg()[:100]
    for headers, status in (
        ({}, 401),
        ({"Cookie": officer["Cookie"]}, 403),  # another page's form has no CSRF token
        (await cookie_of("southerner"), 404),
        (await cookie_of("auditor"), 403),
    ):
        async with sending(server, path, headers, beginning, 9_000_000) as (reader, _):
            answer = await asyncio.wait_for(reader.readline(), 30)
        assert int(answer.split()[1]) == status, headers
    photo = jpeg()
    async with sending(server, path, officer, photo[:100], len(photo)) as (reader, writer):
        writer.write(photo[100:])
        answer = await asyncio.wait_for(reader.readline(), 30)
    assert int(answer.split()[1]) == 200


async def test_lists_filter_and_statistics_count(log_in: LogIn, world: World, clock: FakeClock) -> None:
    operator = await log_in("operator")
    for number, site in enumerate(("north", "north", "south")):
        person = "code-officer" if site == "north" else "code-southerner"
        body = wanted(world, site_id=world.ids[site], person=person, title=f"隐患 {number}")
        await send(operator, "", body, f"order-key-{number}")
    await clock.advance(73 * 3600)
    operator, officer = await log_in("operator"), await log_in("officer")
    assert [one["title"] for one in (await officer.get(URL)).json()["items"]] == ["隐患 1", "隐患 0"]
    assert len((await operator.get(URL, params={"overdue": True})).json()["items"]) == 3
    first = (await operator.get(URL, params={"limit": 2})).json()
    rest = (await operator.get(URL, params={"before": first["next"]})).json()
    assert [one["title"] for one in first["items"] + rest["items"]] == ["隐患 2", "隐患 1", "隐患 0"]
    assert (await operator.get(URL, params={"mine": True})).json()["items"] == []
    assert len((await officer.get(URL, params={"mine": True, "state": ["ordered"]})).json()["items"]) == 2
    counted = (await operator.get(f"{URL}/statistics")).json()["rows"]
    figures = [(row["name"], row["ordered"], row["overdue"], row["late"]) for row in counted]
    assert figures == [("工地 north", 2, 2, 2), ("工地 south", 1, 1, 1)]
    for title, state, after_s in (("隐患 0", "submitted", 1), ("隐患 2", "passed", 0)):
        await world.connection.execute(
            "UPDATE rectification SET state = %s, submitted_at = deadline_at + make_interval(secs => %s)"
            " WHERE title = %s",
            [state, after_s, title],
        )
    north, south = (await operator.get(f"{URL}/statistics")).json()["rows"]
    assert (north["overdue"], north["late"], south["overdue"], south["late"]) == (1, 2, 0, 0)
    states = dict.fromkeys(("ordered", "rectifying", "submitted", "returned", "passed", "withdrawn"), 0)
    assert (north["states"], south["states"]) == ({**states, "ordered": 1, "submitted": 1}, {**states, "passed": 1})
    own = (await officer.get(f"{URL}/statistics", params={"by": "unit"})).json()["rows"]
    assert [(row["key"], row["ordered"]) for row in own] == [(None, 2)]


async def test_an_alert_of_another_site_orders_nothing(log_in: LogIn, world: World) -> None:
    alert = await world.alert("a", device="dust-south")
    supervisor = await log_in("supervisor")
    assert (await send(supervisor, "", wanted(world, alert_id=alert))).status_code == 404
    operator = await log_in("operator")
    assert (await send(operator, "", wanted(world, alert_id=alert))).status_code == 404
    own = await world.alert("b", device="dust-north")
    assert (await send(supervisor, "", wanted(world, alert_id=own))).json()["source"] == "alert"
    people = (await supervisor.get(f"/api/v1/sites/{world.ids['north']}/people")).json()
    assert "code-officer" in [one["code"] for one in people["people"]]
    assert "contacts" not in people["people"][0]
    stranger = await send(supervisor, "", wanted(world, person="code-southerner"))
    assert stranger.status_code == 422
