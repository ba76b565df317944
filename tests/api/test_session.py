"""Log-in, the session's cookie and token, lock-out and expiry."""

from __future__ import annotations

import httpx
import psycopg
import pytest

from api import audit
from tests.api.conftest import LogIn
from tests.api.world import PASSWORD, World
from tests.support.clock import FakeClock

URL = "/api/v1/session"


async def test_log_in_sets_a_cookie_that_scripts_cannot_read(visitor: httpx.AsyncClient, world: World) -> None:
    answer = await visitor.post(URL, json={"login": "officer", "password": PASSWORD})
    assert answer.status_code == 200
    person = answer.json()["person"]
    assert person["code"] == "code-officer"
    assert person["sites"] == [world.ids["north"]]
    assert person["all_sites"] is False
    assert person["rights"] == ["acknowledge", "command", "documents", "ptz", "rectify", "rota"]
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Secure" not in cookie  # plain http
    assert (await visitor.get(URL)).json() == answer.json()


async def test_over_https_the_cookie_is_secure(app: object, world: World) -> None:
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="https://smartsite.test") as client:
        answer = await client.post(URL, json={"login": "officer", "password": PASSWORD})
    assert "Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize(("login", "password"), [("officer", "wrong"), ("ghost", PASSWORD)])
async def test_a_refused_log_in_does_not_tell_why(
    visitor: httpx.AsyncClient, world: World, login: str, password: str
) -> None:
    answer = await visitor.post(URL, json={"login": login, "password": password})
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "bad_credentials"
    assert answer.json()["error"]["message"] == "log-in or password is wrong"


async def test_a_disabled_person_is_out_at_once(
    log_in: LogIn, world: World, connection: psycopg.AsyncConnection
) -> None:
    client = await log_in("officer")
    await connection.execute("UPDATE person SET enabled = false WHERE login = 'officer'")
    assert (await client.get(URL)).status_code == 401


async def test_repeated_failures_lock_the_log_in_for_the_address(
    visitor: httpx.AsyncClient, world: World, clock: FakeClock
) -> None:
    for _ in range(5):
        assert (await visitor.post(URL, json={"login": "officer", "password": "wrong"})).status_code == 401
    locked = await visitor.post(URL, json={"login": "officer", "password": PASSWORD})
    assert locked.status_code == 429
    assert locked.json()["error"]["code"] == "too_many_requests"
    assert int(locked.headers["retry-after"]) == 900
    assert (await visitor.post(URL, json={"login": "operator", "password": PASSWORD})).status_code == 200
    await clock.advance(901)
    assert (await visitor.post(URL, json={"login": "officer", "password": PASSWORD})).status_code == 200


async def test_guesses_from_many_addresses_lock_the_log_in_everywhere(
    visitor: httpx.AsyncClient, world: World, connection: psycopg.AsyncConnection, clock: FakeClock
) -> None:
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO login_failure (at, login, address) VALUES (%s, 'officer', %s)",
            [(clock.now(), f"10.0.0.{n}") for n in range(50)],
        )
    locked = await visitor.post(URL, json={"login": "officer", "password": PASSWORD})
    assert locked.status_code == 429
    assert (await visitor.post(URL, json={"login": "operator", "password": PASSWORD})).status_code == 200
    await clock.advance(901)
    assert (await visitor.post(URL, json={"login": "officer", "password": PASSWORD})).status_code == 200


async def test_a_session_expires(log_in: LogIn, world: World, clock: FakeClock) -> None:
    client = await log_in("officer")
    await clock.advance(12 * 3600 - 1)
    assert (await client.get(URL)).status_code == 200
    await clock.advance(1)
    assert (await client.get(URL)).status_code == 401


async def test_log_out_ends_the_session_on_the_server(log_in: LogIn, world: World) -> None:
    client = await log_in("officer")
    token = client.cookies["smartsite_session"]
    assert (await client.delete(URL)).status_code == 204
    again = await client.get(URL, headers={"Cookie": f"smartsite_session={token}"})
    assert again.status_code == 401
    assert again.json()["error"]["code"] == "unauthenticated"


async def test_a_write_without_the_sessions_token_is_refused(log_in: LogIn, world: World) -> None:
    client = await log_in("officer")
    del client.headers["X-CSRF-Token"]
    for headers in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "wrong"}):
        answer = await client.delete(URL, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "csrf")
    assert (await client.get(URL)).status_code == 200


async def test_a_form_of_another_page_cannot_log_in(visitor: httpx.AsyncClient, world: World) -> None:
    body = f'{{"login": "officer", "password": "{PASSWORD}"}}'
    answer = await visitor.post(URL, content=body, headers={"Content-Type": "text/plain"})
    assert answer.status_code == 422
    assert "smartsite_session" not in visitor.cookies


async def test_the_password_is_in_no_error(visitor: httpx.AsyncClient, world: World) -> None:
    answer = await visitor.post(URL, json={"login": 7, "password": "hunter2-hunter2"})
    assert answer.status_code == 422
    assert answer.json()["error"]["fields"][0]["field"] == "body.login"
    assert "hunter2" not in answer.text


async def test_log_ins_and_refusals_are_audited(
    visitor: httpx.AsyncClient, world: World, connection: psycopg.AsyncConnection
) -> None:
    await visitor.post(URL, json={"login": "officer", "password": "wrong"})
    await visitor.post(URL, json={"login": "officer", "password": PASSWORD})
    rows = await (await connection.execute("SELECT actor, action, object FROM audit ORDER BY id")).fetchall()
    person = f"person:{world.ids['officer']}"
    assert rows == [("", "session.refused", "login:officer"), ("code-officer", "session.log_in", person)]
    assert (await audit.verify(connection)).broken_at is None
