"""A person changes their own password."""

from __future__ import annotations

import httpx
import psycopg
import pytest

from api import audit
from tests.api.conftest import LogIn
from tests.api.world import PASSWORD, World
from tests.support.clock import FakeClock

URL = "/api/v1/session/password"
SESSION = "/api/v1/session"
NEW = "another horse, another staple"


async def test_the_new_password_holds_and_other_sessions_end(
    log_in: LogIn, visitor: httpx.AsyncClient, world: World, connection: psycopg.AsyncConnection
) -> None:
    client, elsewhere, neighbour = [await log_in(name) for name in ("officer", "officer", "operator")]
    answer = await client.put(URL, json={"old": PASSWORD, "new": NEW})
    assert (answer.status_code, answer.json()) == (200, {"sessions_ended": 1})
    assert (await client.get(SESSION)).status_code == 200
    assert (await elsewhere.get(SESSION)).status_code == 401
    assert (await neighbour.get(SESSION)).status_code == 200
    old = await visitor.post(SESSION, json={"login": "officer", "password": PASSWORD})
    assert (old.status_code, old.json()["error"]["code"]) == (401, "bad_credentials")
    assert (await visitor.post(SESSION, json={"login": "officer", "password": NEW})).status_code == 200
    cursor = await connection.execute("SELECT actor, object, detail FROM audit WHERE action = 'session.password'")
    assert await cursor.fetchall() == [("code-officer", f"person:{world.ids['officer']}", {"sessions_ended": 1})]
    assert (await audit.verify(connection)).broken_at is None


@pytest.mark.parametrize("new", ["short", PASSWORD, "a\nlong one", "x" * 257, "long-login-name"])
async def test_a_new_password_that_will_not_do_is_told_at_its_field(
    log_in: LogIn, world: World, connection: psycopg.AsyncConnection, new: str
) -> None:
    client = await log_in("officer")
    await connection.execute("UPDATE person SET login = 'long-login-name' WHERE login = 'officer'")
    answer = await client.put(URL, json={"old": PASSWORD, "new": new})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_input")
    assert [one["field"] for one in answer.json()["error"]["fields"]] == ["body.new"]
    assert PASSWORD not in answer.text


async def test_wrong_old_passwords_lock_as_failed_log_ins_do(
    log_in: LogIn, visitor: httpx.AsyncClient, world: World, clock: FakeClock
) -> None:
    client = await log_in("officer")
    for _ in range(5):
        answer = await client.put(URL, json={"old": "a guess", "new": NEW})
        assert answer.status_code == 422
        assert [one["field"] for one in answer.json()["error"]["fields"]] == ["body.old"]
    locked = await client.put(URL, json={"old": PASSWORD, "new": NEW})
    assert (locked.status_code, locked.json()["error"]["code"]) == (429, "too_many_requests")
    assert (await visitor.post(SESSION, json={"login": "officer", "password": PASSWORD})).status_code == 429
    await clock.advance(901)
    assert (await client.put(URL, json={"old": PASSWORD, "new": NEW})).status_code == 200


async def test_of_two_changes_at_once_the_second_is_told(
    log_in: LogIn, world: World, connection: psycopg.AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the old password and the change somebody else changes it."""
    client = await log_in("officer")

    async def matches(_hashed: str, _password: str) -> bool:
        await connection.execute("UPDATE person SET password_hash = 'another' WHERE login = 'officer'")
        return True

    monkeypatch.setattr("api.own_password.matches", matches)
    answer = await client.put(URL, json={"old": PASSWORD, "new": NEW})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
    cursor = await connection.execute("SELECT password_hash FROM person WHERE login = 'officer'")
    assert await cursor.fetchall() == [("another",)]


async def test_a_token_of_a_machine_changes_nobodys_password(
    log_in: LogIn, visitor: httpx.AsyncClient, world: World
) -> None:
    leader = await log_in("leader")
    made = (await leader.post("/api/v1/tokens", json={"name": "machine"})).json()
    headers = {"Authorization": f"Bearer {made['token']}"}
    answer = await visitor.put(URL, json={"old": PASSWORD, "new": NEW}, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
    assert (await visitor.post(SESSION, json={"login": "leader", "password": PASSWORD})).status_code == 200
