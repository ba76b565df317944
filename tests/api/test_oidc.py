"""Log-in through an OpenID Connect provider: a real one on a free port, good, lying, away."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from api import audit
from api.oidc.provider import Provider
from core.errors import ConfigurationError
from core.settings import OidcSettings, Settings
from tests.api.conftest import BASE, LogIn
from tests.api.world import PASSWORD, World
from tests.support.clock import FakeClock
from tests.support.oidc import CLIENT, SECRET, Idp
from tests.support.wait import eventually

URL = "/api/v1/session"
BEGIN = f"{URL}/oidc"
Claims = dict[str, Any]


@pytest.fixture
def idp(clock: FakeClock) -> Idp:
    return Idp(clock)


@pytest.fixture
async def up(idp: Idp) -> AsyncIterator[None]:
    async with idp.running():
        yield


@pytest.fixture
def oidc(idp: Idp, tmp_path: Path) -> dict[str, Any]:
    """The settings; a test may change them before the application is made."""
    secret = tmp_path / "client-secret"
    secret.write_text(f"{SECRET}\n")
    return {"issuer": idp.url, "client_id": CLIENT, "client_secret_file": secret}


@pytest.fixture
def settings(settings: Settings, oidc: dict[str, Any], request: pytest.FixtureRequest) -> Settings:
    """`@pytest.mark.parametrize("more", ...)` gives a test further settings of the section."""
    more = request.node.callspec.params.get("more", {}) if hasattr(request.node, "callspec") else {}
    api = settings.api.model_copy(update={"oidc": OidcSettings(**oidc, **more)})
    return settings.model_copy(update={"api": api})


async def at_provider(visitor: httpx.AsyncClient, path: str = BEGIN) -> str:
    """Begin, be let in by the provider; where it sends the browser back to."""
    sent = await visitor.get(path)
    assert sent.status_code == 302, sent.text
    async with httpx.AsyncClient(trust_env=False) as browser:
        answer = await browser.get(sent.headers["location"])
    assert answer.status_code == 302, answer.text
    return str(answer.headers["location"])


async def through(visitor: httpx.AsyncClient, path: str = BEGIN) -> httpx.Response:
    """The whole way; the answer that leads to the page."""
    answer = await visitor.get(await at_provider(visitor, path))
    assert answer.status_code == 302, answer.text
    return answer


def fault(answer: httpx.Response) -> str:
    """The code that the log-in page is told; the way leads there, and nobody is logged in."""
    assert "smartsite_session" not in answer.headers.get("set-cookie", "")
    where = urlsplit(answer.headers["location"])
    assert (where.netloc, where.path) == ("", "/login")
    return parse_qs(where.query)["fault"][0]


@pytest.mark.usefixtures("up")
async def test_a_user_of_the_provider_gets_the_very_same_session(
    visitor: httpx.AsyncClient, world: World, connection: psycopg.AsyncConnection
) -> None:
    answer = await through(visitor, f"{BEGIN}?next=/sites/3%3Ftab%3Dcameras")
    assert answer.headers["location"] == "/entered?next=%2Fsites%2F3%3Ftab%3Dcameras"
    (cookie,) = [one for one in answer.headers.get_list("set-cookie") if one.startswith("smartsite_session=")]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Secure" not in cookie  # plain http
    session = (await visitor.get(URL)).json()
    by_password = (await visitor.post(URL, json={"login": "officer", "password": PASSWORD})).json()
    assert session["person"] == by_password["person"]
    rows = await (await connection.execute("SELECT actor, action, object, detail FROM audit ORDER BY id")).fetchall()
    person = f"person:{world.ids['officer']}"
    assert [row[:3] for row in rows[:2]] == [("", "account.link", person), ("code-officer", "session.log_in", person)]
    assert rows[1][3]["issuer"].startswith("http://127.0.0.1")
    assert "issuer" not in rows[2][3]
    assert (await audit.verify(connection)).broken_at is None


@pytest.mark.usefixtures("up")
async def test_what_the_browser_keeps_meanwhile_is_short_lived_and_of_this_way_alone(
    app: FastAPI, world: World
) -> None:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="https://smartsite.test") as client:
        sent = await client.get(BEGIN)
        (cookie,) = sent.headers.get_list("set-cookie")
        for part in ("HttpOnly", "SameSite=lax", "Secure", "Path=/api/v1/session/oidc", "Max-Age=600"):
            assert part in cookie
        query = parse_qs(urlsplit(sent.headers["location"]).query)
        assert query["redirect_uri"] == ["https://smartsite.test/api/v1/session/oidc/callback"]
        assert query["scope"] == ["openid profile"]
        assert "prompt" not in query
        entered = await through(client)
        assert all("Secure" in one for one in entered.headers.get_list("set-cookie") if "smartsite_session" in one)
        assert (await client.get(URL)).status_code == 200


@pytest.mark.usefixtures("up")
async def test_two_windows_are_on_their_way_at_once(visitor: httpx.AsyncClient, world: World) -> None:
    first, second = await at_provider(visitor), await at_provider(visitor)
    for back in (first, second):
        assert (await visitor.get(back)).headers["location"] == "/entered"


@pytest.mark.parametrize("more", [{"public_url": "https://sites.city.example", "prompt": "login"}])
@pytest.mark.usefixtures("up")
async def test_the_address_of_the_page_and_a_prompt_may_be_set(visitor: httpx.AsyncClient, more: Any) -> None:
    query = parse_qs(urlsplit((await visitor.get(BEGIN)).headers["location"]).query)
    assert query["redirect_uri"] == ["https://sites.city.example/api/v1/session/oidc/callback"]
    assert query["prompt"] == ["login"]


@pytest.mark.parametrize(
    "away", ["//evil.example", "https://evil.example/", "/\\evil.example", "/a\r\nX: y", "x" * 2000]
)
@pytest.mark.usefixtures("up")
async def test_nobody_is_led_to_another_host(visitor: httpx.AsyncClient, world: World, away: str) -> None:
    path = str(httpx.URL(BEGIN, params={"next": away}))
    assert (await through(visitor, path)).headers["location"] == "/entered"


def _changed(**changes: Any) -> Callable[[Claims], None]:
    return lambda claims: claims.update(changes)


@pytest.mark.parametrize(
    "twist",
    [
        pytest.param(_changed(nonce="another"), id="nonce"),
        pytest.param(lambda claims: claims.pop("nonce"), id="no nonce"),
        pytest.param(_changed(aud="another-client"), id="aud"),
        pytest.param(_changed(aud="another-client", azp=CLIENT), id="aud of another for us"),
        pytest.param(_changed(aud=[CLIENT, "another-client"]), id="aud of several, no azp"),
        pytest.param(_changed(azp="another-client"), id="azp"),
        pytest.param(_changed(iss="http://127.0.0.1:1"), id="iss"),
        pytest.param(lambda claims: claims.update(exp=claims["iat"] - 61), id="expired"),
        pytest.param(lambda claims: claims.update(iat=claims["iat"] + 3600), id="of the future"),
        pytest.param(lambda claims: claims.pop("exp"), id="no end"),
        pytest.param(lambda claims: claims.pop("sub"), id="nobody"),
        pytest.param(_changed(sub=""), id="empty subject"),
        pytest.param(_changed(at_hash="AAAA"), id="at_hash"),
    ],
)
@pytest.mark.usefixtures("up")
async def test_an_id_token_that_says_something_else_is_refused(
    visitor: httpx.AsyncClient, world: World, idp: Idp, twist: Callable[[Claims], None]
) -> None:
    idp.twist = twist
    assert fault(await through(visitor)) == "oidc_invalid"
    assert (await visitor.get(URL)).status_code == 401


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _unsigned(_idp: Idp, claims: Claims) -> str:
    return b".".join([*(_base64(json.dumps(part).encode()) for part in ({"alg": "none"}, claims)), b""]).decode()


def _of_another_key(idp: Idp, claims: Claims) -> str:
    key = RSAKey.generate_key(2048)
    return jwt.encode({"alg": "RS256", "kid": idp.key.kid}, claims, key)


def _by_the_public_key(idp: Idp, claims: Claims) -> str:
    # The public key as if it were a secret that both know; no library signs so.
    parts = ({"alg": "HS256", "kid": idp.key.kid}, claims)
    text = b".".join(_base64(json.dumps(part).encode()) for part in parts)
    return (text + b"." + _base64(hmac.digest(idp.key.as_pem(private=False), text, "sha256"))).decode()


def _by_the_client_secret(idp: Idp, claims: Claims) -> str:
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(SECRET))


def _changed_afterwards(idp: Idp, claims: Claims) -> str:
    head, _, signature = idp.signed(claims).split(".")
    body = _base64(json.dumps(claims | {"preferred_username": "leader"}).encode())
    return f"{head}.{body.decode()}.{signature}"


def _of_an_unknown_key(idp: Idp, claims: Claims) -> str:
    return jwt.encode({"alg": "RS256", "kid": "nowhere"}, claims, RSAKey.generate_key(2048))


@pytest.mark.parametrize(
    "sign",
    [
        _unsigned,
        _of_another_key,
        _by_the_public_key,
        _by_the_client_secret,
        _changed_afterwards,
        _of_an_unknown_key,
        lambda _idp, _claims: "no.token",
        lambda _idp, _claims: "",
    ],
)
@pytest.mark.usefixtures("up")
async def test_an_id_token_that_the_provider_did_not_sign_is_refused(
    visitor: httpx.AsyncClient, world: World, idp: Idp, sign: Callable[[Idp, Claims], str]
) -> None:
    idp.sign = lambda claims: sign(idp, claims)
    assert fault(await through(visitor)) == "oidc_invalid"
    assert (await visitor.get(URL)).status_code == 401


@pytest.mark.usefixtures("up")
async def test_a_new_key_is_looked_for_and_a_withdrawn_one_is_no_longer_good(
    visitor: httpx.AsyncClient, world: World, idp: Idp, clock: FakeClock
) -> None:
    assert (await through(visitor)).headers["location"] == "/entered"
    old = idp.key
    idp.turn_keys("k-2")
    assert (await through(visitor)).headers["location"] == "/entered"
    assert idp.asked.count("jwks") == 2
    assert idp.asked.count("discovery") == 1
    idp.sign = lambda claims: jwt.encode({"alg": "RS256", "kid": "k-1"}, claims, old)
    assert fault(await through(visitor)) == "oidc_invalid"
    idp.sign = None
    await clock.advance(3601)
    assert (await through(visitor)).headers["location"] == "/entered"
    assert idp.asked.count("discovery") == 2


@pytest.mark.usefixtures("up")
async def test_a_way_back_leads_in_once(visitor: httpx.AsyncClient, world: World) -> None:
    back = await at_provider(visitor)
    cookies = dict(visitor.cookies)
    assert (await visitor.get(back)).headers["location"] == "/entered"
    visitor.cookies.clear()
    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
    assert fault(await visitor.get(back, headers={"Cookie": cookie})) == "oidc_expired"


@pytest.mark.usefixtures("up")
async def test_a_way_back_of_another_browser_leads_nowhere(
    visitor: httpx.AsyncClient, app: FastAPI, world: World
) -> None:
    back = await at_provider(visitor)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as victim:
        assert fault(await victim.get(back)) == "oidc_expired"
        await victim.get(BEGIN)
        assert fault(await victim.get(back)) == "oidc_expired"
        assert (await victim.get(URL)).status_code == 401
    # The attacker's own browser has still got its way back.
    assert (await visitor.get(back)).headers["location"] == "/entered"


@pytest.mark.usefixtures("up")
async def test_a_way_back_is_good_for_ten_minutes(
    visitor: httpx.AsyncClient, world: World, clock: FakeClock, connection: psycopg.AsyncConnection
) -> None:
    late = await at_provider(visitor)
    await clock.advance(600)
    assert fault(await visitor.get(late)) == "oidc_expired"
    await at_provider(visitor)
    await clock.advance(600)
    await visitor.get(BEGIN)
    assert await (await connection.execute("SELECT count(*) FROM oidc_attempt")).fetchone() == (1,)


@pytest.mark.usefixtures("up")
async def test_a_code_of_another_way_is_refused(visitor: httpx.AsyncClient, world: World) -> None:
    first, second = httpx.URL(await at_provider(visitor)), httpx.URL(await at_provider(visitor))
    mixed = second.copy_set_param("code", first.params["code"])
    assert fault(await visitor.get(mixed)) == "oidc_invalid"


@pytest.mark.parametrize("iss", ["http://127.0.0.1:1", None])
@pytest.mark.usefixtures("up")
async def test_an_answer_of_another_issuer_is_refused(
    visitor: httpx.AsyncClient, world: World, iss: str | None
) -> None:
    back = httpx.URL(await at_provider(visitor))
    back = back.copy_remove_param("iss") if iss is None else back.copy_set_param("iss", iss)
    assert fault(await visitor.get(back)) == "oidc_invalid"


async def test_while_the_provider_is_away_the_page_says_so_and_passwords_go_on(
    visitor: httpx.AsyncClient, world: World, idp: Idp
) -> None:
    answer = await visitor.get(f"{BEGIN}?next=/alerts")
    assert fault(answer) == "oidc_away"
    assert parse_qs(urlsplit(answer.headers["location"]).query)["next"] == ["/alerts"]
    assert (await visitor.post(URL, json={"login": "officer", "password": PASSWORD})).status_code == 200
    async with idp.running():
        back = await at_provider(visitor)
    assert fault(await visitor.get(back)) == "oidc_away"
    async with idp.running():
        assert (await through(visitor)).headers["location"] == "/entered"


async def test_all_who_wait_for_a_provider_that_hangs_get_its_one_answer(
    visitor: httpx.AsyncClient, world: World, idp: Idp
) -> None:
    idp.held = asyncio.Event()
    async with idp.running():
        waiting = [asyncio.create_task(visitor.get(BEGIN)) for _ in range(5)]
        await eventually(lambda: idp.asked)
        idp.held.set()
        answers = [await one for one in waiting]
    assert all(one.headers["location"].startswith(f"{idp.url}/authorize?") for one in answers)
    assert idp.asked.count("discovery") == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [("access_denied", "oidc_denied"), ("server_error", "oidc_provider"), ("<script>", "oidc_provider")],
)
@pytest.mark.usefixtures("up")
async def test_what_the_provider_refuses_is_told_in_our_words(
    visitor: httpx.AsyncClient, world: World, idp: Idp, error: str, code: str
) -> None:
    idp.denies = error
    answer = await through(visitor)
    assert fault(answer) == code
    assert "script" not in answer.headers["location"]
    assert "words" not in answer.headers["location"]


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "http://127.0.0.1:1"},
        {"token_endpoint": "http://far.example/token"},
        {"jwks_uri": None},
        {"authorization_endpoint": 7},
    ],
)
@pytest.mark.usefixtures("up")
async def test_a_provider_that_is_not_what_the_settings_say_is_not_used(
    visitor: httpx.AsyncClient, idp: Idp, changes: dict[str, Any]
) -> None:
    idp.changes = changes
    assert fault(await visitor.get(BEGIN)) == "oidc_provider"
    idp.changes = {}
    assert (await visitor.get(BEGIN)).headers["location"].startswith(idp.url)


@pytest.mark.usefixtures("up")
async def test_a_wrong_secret_is_our_fault_and_is_told_nobody(
    visitor: httpx.AsyncClient, world: World, idp: Idp, caplog: pytest.LogCaptureFixture
) -> None:
    idp.secret = "another"
    with caplog.at_level(logging.DEBUG):
        answer = await through(visitor)
    assert fault(answer) == "oidc_provider"
    said = [f"{record.getMessage()} {record.__dict__}" for record in caplog.records]
    assert any("invalid_client" in one for one in said)
    assert not [one for one in said if SECRET in one]
    assert SECRET not in str(answer.headers)


@pytest.mark.usefixtures("up")
async def test_nobody_enters_who_is_unknown_or_disabled(
    visitor: httpx.AsyncClient, world: World, idp: Idp, connection: psycopg.AsyncConnection
) -> None:
    idp.claims = {"sub": "s-9", "preferred_username": "ghost"}
    assert fault(await through(visitor)) == "oidc_unknown"
    idp.claims = {"sub": "s-1", "preferred_username": "officer"}
    await connection.execute("UPDATE person SET enabled = false WHERE login = 'officer'")
    assert fault(await through(visitor)) == "oidc_disabled"
    assert await (await connection.execute("SELECT count(*) FROM person_link")).fetchone() == (0,)
    rows = await (await connection.execute("SELECT action, object, detail FROM audit ORDER BY id")).fetchall()
    assert [row[:2] for row in rows] == [("session.refused", "login:ghost"), ("session.refused", "login:officer")]
    assert [row[2]["oidc"] for row in rows] == ["oidc_unknown", "oidc_disabled"]


@pytest.mark.usefixtures("up")
async def test_a_name_that_changes_hands_at_the_provider_opens_nobody_elses_account(
    visitor: httpx.AsyncClient, world: World, idp: Idp
) -> None:
    await through(visitor)
    idp.claims = {"sub": "s-2", "preferred_username": "officer"}
    visitor.cookies.clear()
    assert fault(await through(visitor)) == "oidc_taken"
    # Who is linked stays who they are under another name, even where that is somebody's login.
    idp.claims = {"sub": "s-1", "preferred_username": "leader"}
    await through(visitor)
    assert (await visitor.get(URL)).json()["person"]["code"] == "code-officer"


@pytest.mark.usefixtures("up")
async def test_somebody_without_a_password_enters(
    visitor: httpx.AsyncClient, world: World, connection: psycopg.AsyncConnection
) -> None:
    await connection.execute("UPDATE person SET password_hash = NULL WHERE login = 'officer'")
    await through(visitor)
    session = (await visitor.get(URL)).json()
    assert (session["person"]["code"], session["person"]["has_password"]) == ("code-officer", False)
    wanted = {"old": "there is none", "new": "a longer password"}
    answer = await visitor.put(f"{URL}/password", json=wanted, headers={"X-CSRF-Token": session["csrf"]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")


@pytest.mark.usefixtures("up")
async def test_a_link_is_undone_by_who_administers_people(
    visitor: httpx.AsyncClient, world: World, idp: Idp, log_in: LogIn, connection: psycopg.AsyncConnection
) -> None:
    async def account(client: httpx.AsyncClient) -> Claims:
        items = (await client.get("/api/v1/accounts")).json()["items"]
        return dict(next(one for one in items if one["code"] == "code-officer"))

    leader = await log_in("leader")
    before = await account(leader)
    await through(visitor)
    linked = await account(leader)
    assert (before["linked"], linked["linked"]) == (False, True)
    assert before["etag"] == linked["etag"]
    for _ in range(2):
        assert (await leader.delete("/api/v1/accounts/code-officer/links")).status_code == 204
    assert (await account(leader))["linked"] is False
    assert (await visitor.get(URL)).status_code == 401
    assert (await leader.delete("/api/v1/accounts/nobody-of-this-code/links")).status_code == 404
    cursor = await connection.execute("SELECT actor FROM audit WHERE action = 'account.unlink'")
    assert await cursor.fetchall() == [("code-leader",)]
    idp.claims = {"sub": "s-2", "preferred_username": "officer"}
    await through(visitor)
    assert (await visitor.get(URL)).json()["person"]["code"] == "code-officer"


@pytest.mark.parametrize("more", [{"unknown_users": "create", "default_role": "inspector"}])
@pytest.mark.usefixtures("up")
async def test_unknown_users_may_be_made_people_who_see_nothing_yet(
    visitor: httpx.AsyncClient, world: World, idp: Idp, connection: psycopg.AsyncConnection, more: Any
) -> None:
    idp.claims = {"sub": "s-7", "preferred_username": "zhao", "name": "赵新", "locale": "en-GB"}
    for _ in range(2):
        await through(visitor)
    person = (await visitor.get(URL)).json()["person"]
    told = {name: person[name] for name in ("code", "name", "role", "language", "all_sites", "sites")}
    assert told == {
        "code": "zhao", "name": "赵新", "role": "inspector", "language": "en", "all_sites": False, "sites": []
    }  # fmt: skip
    # A code that somebody has, and a name that is none.
    for subject, user in (("s-8", "code-leader"), ("s-9", "王 工")):
        idp.claims = {"sub": subject, "preferred_username": user}
        await through(visitor)
        assert (await visitor.get(URL)).json()["person"]["code"].startswith("oidc-")
    cursor = await connection.execute("SELECT count(*) FROM audit WHERE action = 'account.make'")
    assert await cursor.fetchone() == (3,)


GROUPS = {"groups_claim": "realm_access.roles", "roles": {"chiefs": "leader", "desk": "operator"}}


@pytest.mark.parametrize("more", [GROUPS])
@pytest.mark.usefixtures("up")
async def test_groups_decide_the_role_at_each_log_in(
    visitor: httpx.AsyncClient, world: World, idp: Idp, connection: psycopg.AsyncConnection, more: Any
) -> None:
    async def role(groups: Any, user: str = "officer") -> str:
        idp.claims = {"sub": f"s-{user}", "preferred_username": user, "realm_access": {"roles": groups}}
        await through(visitor)
        return str((await visitor.get(URL)).json()["person"]["role"])

    assert await role(["others", "desk"]) == "operator"
    assert await role(["desk", "chiefs"]) == "leader"
    assert await role("desk") == "operator"
    idp.userinfo = {"sub": "s-officer"}
    for groups in (["others"], [], None, {"desk": 1}):
        idp.claims["realm_access"] = {"roles": groups}
        assert fault(await through(visitor)) == "oidc_role"
    cursor = await connection.execute("SELECT detail ->> 'role' FROM audit WHERE action = 'account.change' ORDER BY id")
    assert await cursor.fetchall() == [("operator",), ("leader",), ("operator",)]


@pytest.mark.parametrize("more", [GROUPS])
@pytest.mark.usefixtures("up")
async def test_the_last_who_administers_people_stays_so(
    visitor: httpx.AsyncClient, world: World, idp: Idp, connection: psycopg.AsyncConnection, more: Any
) -> None:
    idp.claims = {"sub": "s-3", "preferred_username": "leader", "realm_access": {"roles": ["desk"]}}
    assert fault(await through(visitor)) == "oidc_role"
    assert await (await connection.execute("SELECT role FROM person WHERE login = 'leader'")).fetchone() == ("leader",)


@pytest.mark.usefixtures("up")
async def test_claims_that_the_id_token_leaves_out_are_asked_for(
    visitor: httpx.AsyncClient, world: World, idp: Idp
) -> None:
    idp.claims = {"sub": "s-1"}
    idp.userinfo = {"sub": "s-1", "preferred_username": "officer"}
    await through(visitor)
    assert (await visitor.get(URL)).json()["person"]["code"] == "code-officer"
    visitor.cookies.clear()
    idp.claims = {"sub": "s-1", "preferred_username": None}
    assert (await through(visitor)).headers["location"] == "/entered"
    visitor.cookies.clear()
    idp.userinfo = {"sub": "s-2", "preferred_username": "officer"}
    assert fault(await through(visitor)) == "oidc_invalid"
    idp.userinfo = {"sub": "s-1"}
    assert fault(await through(visitor)) == "oidc_provider"


@pytest.mark.usefixtures("up")
async def test_many_refusals_lock_the_way_for_their_address_and_no_password(
    visitor: httpx.AsyncClient, world: World, idp: Idp, clock: FakeClock
) -> None:
    idp.refuses = "invalid_grant"
    for _ in range(50):
        assert fault(await through(visitor)) == "oidc_invalid"
    idp.refuses = ""
    assert fault(await through(visitor)) == "oidc_locked"
    await clock.advance(901)
    assert (await through(visitor)).headers["location"] == "/entered"


@pytest.mark.usefixtures("up")
async def test_a_lock_of_the_password_keeps_nobody_out_who_comes_by_the_provider(
    visitor: httpx.AsyncClient, world: World
) -> None:
    for _ in range(5):
        await visitor.post(URL, json={"login": "officer", "password": "wrong"})
    assert (await visitor.post(URL, json={"login": "officer", "password": PASSWORD})).status_code == 429
    assert (await through(visitor)).headers["location"] == "/entered"


@pytest.mark.usefixtures("up")
async def test_while_the_database_is_away_the_page_says_so(
    app: FastAPI, visitor: httpx.AsyncClient, world: World
) -> None:
    back = await at_provider(visitor)
    await app.state.context.pool.close()
    assert fault(await visitor.get(back)) == "unavailable"
    assert fault(await visitor.get(BEGIN)) == "unavailable"


async def test_the_ways_are_told_before_anybody_is_logged_in(visitor: httpx.AsyncClient, log_in: LogIn) -> None:
    answer = await visitor.get(f"{URL}/ways")
    assert answer.json() == {"oidc": "统一身份认证登录", "oidc_en": "Single sign-on"}


@pytest.mark.parametrize("content", [None, "", "  \n", "geheim\nnoch eins", "schlüssel"])
def test_a_secret_that_cannot_be_used_is_told_at_the_start(
    tmp_path: Path, clock: FakeClock, content: str | None
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_text(content)
    settings = OidcSettings(issuer="https://idp.example", client_id="x", client_secret_file=file)
    with pytest.raises(ConfigurationError) as told:
        Provider(settings, clock=clock)
    assert str(file) in str(told.value)
    assert "geheim" not in str(told.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": "http://idp.example"},
        {"issuer": "https://u:p@idp.example"},
        {"issuer": "https://idp.example?x=1"},
        {"issuer": "idp"},
        {"scopes": ["profile"]},
        {"groups_claim": "groups"},
        {"roles": {"chiefs": "leader"}},
        {"groups_claim": "groups", "roles": {"chiefs": "king"}},
        {"public_url": "https://sites.city.example/path"},
        {"client_secret": "in the file of settings"},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        OidcSettings(**{"issuer": "https://idp.example", "client_id": "x"} | wrong)
