"""Tokens of machines: narrower than their owner, shown once, over in time."""

from __future__ import annotations

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from api import audit
from tests.api.conftest import BASE, LogIn
from tests.api.world import World
from tests.support.clock import FakeClock

URL = "/api/v1/tokens"


async def made(client: httpx.AsyncClient, **wanted: object) -> dict[str, object]:
    answer = await client.post(URL, json={"name": "machine", **wanted})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def machine(app: FastAPI, token: object) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url=BASE, headers={"Authorization": f"Bearer {token}"})


async def test_a_token_is_shown_once_and_kept_as_a_hash(
    log_in: LogIn, world: World, connection: psycopg.AsyncConnection
) -> None:
    client = await log_in("integrator")
    token = (await made(client))["token"]
    assert str(token).startswith("sst_")
    listed = (await client.get(URL)).json()["items"]
    assert [one["name"] for one in listed] == ["machine"]
    assert str(token) not in str(listed)
    rows = await (await connection.execute("SELECT * FROM api_token")).fetchall()
    assert str(token) not in str(rows)
    assert str(token) not in str(await (await connection.execute("SELECT detail FROM audit")).fetchall())


async def test_a_token_does_what_it_was_given_and_no_more(app: FastAPI, log_in: LogIn, world: World) -> None:
    alert = await world.alert("a", device="dust-north")
    token = (await made(await log_in("leader"), rights=["acknowledge"]))["token"]
    async with machine(app, token) as client:
        assert len((await client.get("/api/v1/sites")).json()["items"]) == 2
        assert (await client.post(f"/api/v1/alerts/{alert}/acknowledge")).status_code == 200
        answer = await client.post(f"/api/v1/alerts/{alert}/review", json={"verdict": "confirmed"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
        assert "this token" in answer.json()["error"]["message"]
    row = await (
        await world.connection.execute("SELECT actor, detail FROM audit WHERE action = 'alert.acknowledge'")
    ).fetchone()
    assert row is not None
    assert (row[0], row[1]["token"]) == ("code-leader", 1)
    assert (await audit.verify(world.connection)).broken_at is None


async def test_a_token_sees_the_sites_that_it_was_given(app: FastAPI, log_in: LogIn, world: World) -> None:
    token = (await made(await log_in("leader"), sites=[world.ids["north"]], rights=["system", "review"]))["token"]
    async with machine(app, token) as client:
        assert [one["code"] for one in (await client.get("/api/v1/sites")).json()["items"]] == ["north"]
        assert (await client.get(f"/api/v1/sites/{world.ids['south']}")).status_code == 404
        # What belongs to no site needs all of them.
        assert (await client.get("/api/v1/system")).status_code == 403


async def test_a_token_shrinks_with_its_owner(app: FastAPI, log_in: LogIn, world: World) -> None:
    token = (await made(await log_in("leader"), rights=["review"], sites=[world.ids["north"]]))["token"]
    async with machine(app, token) as client:
        await world.connection.execute("UPDATE person SET all_sites = false WHERE login = 'leader'")
        assert (await client.get("/api/v1/sites")).json()["items"] == []
        await world.connection.execute("UPDATE person SET all_sites = true, role = 'officer' WHERE login = 'leader'")
        alert = await world.alert("a", device="dust-north")
        answer = await client.post(f"/api/v1/alerts/{alert}/review", json={"verdict": "confirmed"})
        assert answer.status_code == 403
        await world.connection.execute("UPDATE person SET enabled = false WHERE login = 'leader'")
        assert (await client.get("/api/v1/sites")).status_code == 401


async def test_nobody_gives_what_they_have_not(log_in: LogIn, world: World) -> None:
    client = await log_in("integrator")
    answer = await client.post(URL, json={"name": "x", "rights": ["people"], "sites": [2**20]})
    assert answer.json()["error"]["code"] == "invalid_input"
    assert "people" in answer.text


async def test_it_is_over_after_its_days_and_when_revoked(
    app: FastAPI, log_in: LogIn, world: World, clock: FakeClock
) -> None:
    leader = await log_in("leader")
    first, second = await made(leader, days=1), await made(leader, name="other", days=366)
    async with machine(app, first["token"]) as one, machine(app, second["token"]) as other:
        assert (await one.get("/api/v1/sites")).status_code == 200
        for _ in range(2):
            assert (await leader.delete(f"{URL}/{second['id']}")).status_code == 200
        assert (await other.get("/api/v1/sites")).status_code == 401
        await clock.advance(86_400)
        assert (await one.get("/api/v1/sites")).status_code == 401
    actions = await (
        await world.connection.execute("SELECT count(*) FROM audit WHERE action = 'token.revoke'")
    ).fetchone()
    assert actions == (1,)


async def test_a_form_that_is_sent_twice_makes_one_token(log_in: LogIn, world: World) -> None:
    client = await log_in("leader")
    first = await made(client)
    answer = await client.post(URL, json={"name": "machine"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
    await client.delete(f"{URL}/{first['id']}")
    await made(client)


async def test_ones_own_tokens_are_seen_and_everybodys_by_who_administers_people(log_in: LogIn, world: World) -> None:
    integrator, leader = await log_in("integrator"), await log_in("leader")
    mine, theirs = await made(integrator), await made(leader)
    assert [one["id"] for one in (await integrator.get(URL)).json()["items"]] == [mine["id"]]
    assert {one["id"] for one in (await leader.get(URL)).json()["items"]} == {mine["id"], theirs["id"]}
    assert (await integrator.delete(f"{URL}/{theirs['id']}")).status_code == 404


async def test_a_token_makes_no_tokens_and_has_no_session(app: FastAPI, log_in: LogIn, world: World) -> None:
    token = (await made(await log_in("leader"), rights=["tokens", "people"]))["token"]
    async with machine(app, token) as client:
        for method, url in (("POST", URL), ("GET", "/api/v1/session"), ("DELETE", f"{URL}/1")):
            answer = await client.request(method, url, json={"name": "child"})
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden"), url
        assert (await client.get(URL)).status_code == 200


async def test_when_it_was_used_last_is_told_to_the_minute(
    app: FastAPI, log_in: LogIn, world: World, clock: FakeClock
) -> None:
    leader = await log_in("leader")
    token = (await made(leader))["token"]
    async with machine(app, token) as client:
        seen = []
        for _ in range(3):
            await client.get("/api/v1/kinds")
            seen.append((await leader.get(URL)).json()["items"][0]["last_used_at"])
            await clock.advance(40)
    assert seen[0] == seen[1]
    assert seen[2] == seen[0] + 80_000


@pytest.mark.parametrize("body", [{"name": ""}, {"name": "x", "days": 367}, {"name": "x", "rights": ["all"]}, {}])
async def test_a_wrong_form_names_the_field(log_in: LogIn, world: World, body: dict[str, object]) -> None:
    answer = await (await log_in("leader")).post(URL, json=body)
    assert answer.status_code == 422
    assert answer.json()["error"]["fields"][0]["field"].startswith("body.")
